"""Accessibility of every view: axe-core's rules, light and dark, and 320 pixels of width."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # ships no types
from playwright.sync_api import expect

from tests.page.conftest import screenshot

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.gateway.jobs.calls import Caller

VIEWS: Final = {
    "generate": "Generate",
    "history": "History",
    "models?q=flux": "Models",  # axe takes seconds for all of them
    "operator": "Operator",
}
PHONE: Final = {"width": 320, "height": 640}


@pytest.fixture(scope="module", autouse=True)
def _job(caller: Caller) -> None:
    """Make a job with a warning, so that no view is empty."""
    assert caller.generate(prompt="a" * 200, complexity="high", n=2).status == 200


def findings(page: Page) -> list[str]:
    """Return axe's findings of every impact, each with its first element."""
    violations: list[dict[str, Any]] = Axe().run(page).response["violations"]
    return [f"{each['impact']} {each['id']}: {each['nodes'][0]['html']}" for each in violations]


def open_view(page: Page, view: str) -> None:
    page.goto(f"/#/{view}")
    expect(page.get_by_role("link", name=VIEWS[view], exact=True)).to_have_attribute("aria-current", "page")
    page.wait_for_load_state("networkidle")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_view_has_no_finding_of_axe(page: Page, view: str, scheme: Any) -> None:
    page.emulate_media(color_scheme=scheme)
    open_view(page, view)
    screenshot(page, f"{VIEWS[view].lower()}-{scheme}")
    assert findings(page) == []


@pytest.mark.parametrize("view", VIEWS)
def test_view_fits_a_phone(page: Page, view: str) -> None:
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    open_view(page, view)
    screenshot(page, f"{VIEWS[view].lower()}-phone")
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


def test_key_form_has_no_finding_of_axe(stranger: Page) -> None:
    stranger.goto("/")
    expect(stranger.get_by_label("API key")).to_be_focused()
    assert findings(stranger) == []
