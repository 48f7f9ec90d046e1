"""The web page in a real Chromium: one stack, one browser, and emulators in place of the providers.

A test fails on any message of an error in the browser's console, on an uncaught exception, and on a violation of the
Content-Security-Policy, unless the test expects the message (`Problems.expect`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.gateway.jobs.calls import Caller
from tests.gateway.providers.providers import every, serving
from tests.support.stack import running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, BrowserContext, Page

    from tests.gateway.providers.providers import Providers
    from tests.support.stack import Stack

CHROMIUM: Final = "/usr/bin/chromium"
SCREENSHOTS: Final = Path(__file__).parents[2] / "build" / "screenshots"
DESKTOP: Final = (1280, 900)
MILLISECONDS: Final = 15_000
"""Longest wait for a change of the page."""


@dataclass(slots=True)
class Problems:
    """Messages of errors that the browser reported."""

    found: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    def expect(self, part: str) -> None:
        """Accept messages with this part."""
        self.expected.append(part)

    def unexpected(self) -> list[str]:
        return [text for text in self.found if not any(part in text for part in self.expected)]

    def watch(self, page: Page) -> None:
        page.on("console", lambda message: self._note(message.type, message.text))
        page.on("pageerror", lambda error: self.found.append(f"uncaught: {error}"))

    def _note(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"}:
            self.found.append(text)


@pytest.fixture(scope="session")
def all_providers() -> Iterator[Providers]:
    with serving(every()) as served:
        yield served


@pytest.fixture
def providers(all_providers: Providers) -> Providers:
    """Return the emulators with their counts reset."""
    all_providers.forget()
    return all_providers


@pytest.fixture(scope="session")
def stack(all_providers: Providers) -> Iterator[Stack]:
    with running(**all_providers.settings()) as shared:
        yield shared


@pytest.fixture(scope="session")
def caller(stack: Stack) -> Caller:
    return Caller(stack, stack.key)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=MILLISECONDS)
    with sync_playwright() as playwright:
        # Chromium's sandbox needs rights that containers lack; the pages are the project's own.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def problems() -> Iterator[Problems]:
    found = Problems()
    yield found
    assert found.unexpected() == []


@pytest.fixture
def stranger(browser: Browser, stack: Stack, problems: Problems) -> Iterator[Page]:
    """Yield an empty page of a browser without a key."""
    with browser.new_context(
        base_url=stack.url, viewport={"width": DESKTOP[0], "height": DESKTOP[1]}, reduced_motion="reduce"
    ) as context:
        yield _page(context, problems)


@pytest.fixture
def page(stranger: Page, stack: Stack) -> Page:
    """Return an empty page of a browser that holds a key."""
    stranger.add_init_script(f"sessionStorage.setItem('imagegateway.key', {json.dumps(stack.key)})")
    return stranger


def _page(context: BrowserContext, problems: Problems) -> Page:
    context.set_default_timeout(MILLISECONDS)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    problems.watch(page)
    return page


def screenshot(page: Page, name: str) -> None:
    """Write a screenshot of the whole page to build/screenshots, for people to look at."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)
