"""The comparison: one prompt, several models side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import expect

from tests.gateway.providers.providers import submissions
from tests.page.conftest import screenshot

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.gateway.providers.providers import Providers
    from tests.page.conftest import Problems


def choose(page: Page, *models: str) -> None:
    """Compare these models instead of the ones that are chosen at first."""
    chosen = page.get_by_role("button", name="Remove")
    expect(chosen.first).to_be_visible()
    while chosen.count():
        chosen.first.click()
    for model in models:
        page.locator(".model-button").click()
        page.get_by_role("combobox", name="Search models").fill(model)
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name=f"Remove {model}")).to_be_visible()


def test_models_make_images_of_one_prompt_side_by_side(page: Page, providers: Providers) -> None:
    page.goto("/#/compare")
    choose(page, "local/sketch", "bfl/flux-2-pro", "openai/gpt-image-2")
    page.get_by_label("Shape").select_option("3:2")
    page.get_by_label("Prompt").fill("a red house")
    expect(page.get_by_text("Costs about $")).to_be_visible()
    page.get_by_role("button", name="Compare", exact=True).click()
    comparison = page.get_by_role("region", name="a red house")
    expect(comparison.get_by_text("Completed")).to_have_count(3)
    expect(comparison.get_by_role("img")).to_have_count(3)
    screenshot(page, "compare")
    assert providers.billed() == {"bfl": 1, "openai": 1}
    assert [sent.json["prompt"] for route in ("bfl", "openai") for sent in submissions(providers[route])] == [
        "a red house",
        "a red house",
    ]


def test_failure_of_one_model_leaves_the_others(page: Page, providers: Providers) -> None:
    providers["openai"].failures.append((400, {"error": {"message": "no", "type": "x", "code": "y"}}, {}))
    page.goto("/#/compare")
    choose(page, "local/sketch", "openai/gpt-image-2")
    page.get_by_label("Prompt").fill("a blue house")
    page.get_by_label("Prompt").press("Control+Enter")
    comparison = page.get_by_role("region", name="a blue house")
    expect(comparison.get_by_text("Completed")).to_have_count(1)
    expect(comparison.get_by_text("Failed")).to_have_count(1)
    expect(comparison.get_by_role("alert")).to_be_visible()


def test_comparison_without_a_prompt_is_refused_before_a_call(page: Page, providers: Providers) -> None:
    page.goto("/#/compare")
    page.get_by_role("button", name="Compare", exact=True).click()
    expect(page.get_by_role("alert")).to_have_text("Write a prompt.")
    expect(page.get_by_label("Prompt")).to_be_focused()
    assert providers.calls() == {}


def test_fifth_model_is_refused(page: Page) -> None:
    page.goto("/#/compare")
    choose(page, "local/sketch", "bfl/flux-2-pro", "bfl/flux-2-max", "bfl/flux-2-flex")
    page.locator(".model-button").click()
    page.get_by_role("combobox", name="Search models").fill("openai/gpt-image-2")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("At most 4 models at once.")


def test_comparison_stays_while_another_view_is_shown(page: Page, problems: Problems) -> None:
    page.goto("/#/compare")
    choose(page, "local/sketch")
    page.get_by_label("Prompt").fill("a green house")
    page.get_by_role("button", name="Compare", exact=True).click()
    page.get_by_role("link", name="History").click()
    page.get_by_role("link", name="Compare").click()
    expect(page.get_by_role("region", name="a green house").get_by_text("Completed")).to_be_visible()
    assert problems.found == []
