"""Accessibility of every view: axe-core's rules, light and dark, and 320 pixels of width."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # ships no types
from playwright.sync_api import FilePayload, expect

from tests.gateway.inputs import image_bytes
from tests.page import workbench
from tests.page.conftest import SCREENSHOTS, screenshot

if TYPE_CHECKING:
    from playwright.sync_api import Page, ViewportSize

    from tests.gateway.jobs.calls import Caller

VIEWS: Final = {
    "generate": "Generate",
    "edit": "Edit",
    "compare": "Compare",
    "history": "History",
    "models?q=flux": "Models",  # axe takes seconds for all of them
    "operator": "Operator",
}
PHONE: Final[ViewportSize] = {"width": 320, "height": 640}


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
    page.set_viewport_size(PHONE)
    open_view(page, view)
    screenshot(page, f"{VIEWS[view].lower()}-phone")
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_used_edit_view_has_no_finding_of_axe(page: Page, scheme: Any) -> None:
    """The view with an image, all options and a result; then the dialog that paints a mask."""
    page.emulate_media(color_scheme=scheme)
    workbench.open_view(page, "edit", "local/sketch")
    page.locator("#input-files").set_input_files(
        FilePayload(name="a.png", mimeType="image/png", buffer=image_bytes())
    )
    workbench.more_options(page)
    workbench.expect_status(workbench.submit(page, "at night"), "Completed")
    screenshot(page, f"edit-used-{scheme}")
    assert findings(page) == []
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    screenshot(page, f"edit-used-phone-{scheme}")
    page.get_by_role("button", name="Paint a mask").click()
    expect(page.get_by_role("dialog", name="Mask")).to_be_visible()
    page.screenshot(path=SCREENSHOTS / f"mask-phone-{scheme}.png")
    assert findings(page) == []


def test_key_form_has_no_finding_of_axe(stranger: Page) -> None:
    stranger.goto("/")
    expect(stranger.get_by_label("API key")).to_be_focused()
    assert findings(stranger) == []


def test_skip_link_goes_to_the_content_of_the_present_view(page: Page) -> None:
    open_view(page, "history")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
    expect(page.get_by_role("heading", name="History")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_label("Status")).to_be_focused()


def test_image_is_made_and_opened_by_keyboard(page: Page) -> None:
    workbench.open_view(page, model="local/sketch")
    page.get_by_label("Prompt", exact=True).focus()
    page.keyboard.type("by keyboard")
    page.keyboard.press("Control+Enter")
    run = workbench.card(page, "by keyboard")
    workbench.expect_status(run, "Completed")
    target = run.get_by_role("link", name="Open image")
    for _ in range(30):
        page.keyboard.press("Tab")
        if target.evaluate("element => element === document.activeElement"):
            return
    raise AssertionError("the keyboard does not reach the image")


@pytest.mark.parametrize("view", ["generate", "compare"])
def test_result_is_scrolled_into_view_on_a_phone(page: Page, view: str) -> None:
    page.set_viewport_size(PHONE)
    open_view(page, view)
    page.get_by_label("Prompt", exact=True).fill("on a phone")
    page.get_by_label("Prompt", exact=True).press("Control+Enter")
    image = page.get_by_role("article").first.get_by_role("link", name="Open image")
    expect(image).to_be_in_viewport()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_open_dialogs_and_code_have_no_finding_of_axe(page: Page, scheme: Any) -> None:
    page.emulate_media(color_scheme=scheme)
    workbench.open_view(page)
    page.get_by_text("The same call as code").click()
    assert findings(page) == []
    page.locator(".model-button").click()
    page.get_by_role("combobox", name="Search models").fill("flux")
    assert findings(page) == []
    open_view(page, "operator")
    page.get_by_role("button", name="New key").click()
    assert findings(page) == []
    page.go_back()
    expect(page.get_by_role("dialog")).to_have_count(0)
    open_view(page, "history")
    page.get_by_role("button", name="Erase").first.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert findings(page) == []
