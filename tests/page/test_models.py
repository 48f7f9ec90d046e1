"""Choice of a model: the picker of the forms, and the catalog. Cost and code of the chosen call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import expect

from tests.gateway.jobs.calls import Caller
from tests.page.conftest import screenshot

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    from tests.gateway.providers.providers import Providers
    from tests.page.conftest import Problems
    from tests.support.stack import Stack


def open_picker(page: Page) -> Locator:
    page.goto("/#/generate")
    page.locator(".model-button").click()
    return page.get_by_role("dialog", name="Model")


def test_default_of_the_api_is_chosen_and_comes_first(page: Page, caller: Caller) -> None:
    plan = caller.generate({"prefer": "dry-run"}, model=None).json()
    dialog = open_picker(page)
    expect(page.locator(".model-button .model-name")).to_have_text(plan["model"])
    expect(dialog.get_by_role("option").first).to_contain_text(f"{plan['model']}default")
    expect(dialog.get_by_role("combobox")).to_be_focused()
    screenshot(page, "picker")


def test_picker_works_by_keyboard(page: Page) -> None:
    dialog = open_picker(page)
    page.keyboard.type("openai mask gpt-image")
    options = dialog.get_by_role("option")
    expect(options.first).to_contain_text("openai/")
    page.keyboard.press("ArrowDown")
    second = options.nth(1)
    assert dialog.get_by_role("combobox").get_attribute("aria-activedescendant") == second.get_attribute("id")
    name = second.locator("strong").text_content()
    page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    expect(page.locator(".model-button .model-name")).to_have_text(name or "")
    expect(page.locator(".model-button")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


def test_picker_closes_with_its_view_and_opens_again(page: Page) -> None:
    page.goto("/#/history")
    page.get_by_role("link", name="Generate", exact=True).click()
    page.locator(".model-button").click()
    page.go_back()
    expect(page.get_by_role("heading", name="History")).to_be_visible()
    page.go_forward()
    dialog = page.get_by_role("dialog", name="Model")
    expect(dialog).to_be_hidden()
    page.locator(".model-button").click()
    expect(dialog).to_be_visible()


def test_picker_says_that_no_model_matches(page: Page) -> None:
    dialog = open_picker(page)
    dialog.get_by_role("combobox", name="Search models").fill("no such model")
    expect(dialog.get_by_role("status")).to_have_text("No model matches.")
    page.keyboard.press("Enter")
    expect(dialog).to_be_visible()


def test_catalog_filters_and_opens_a_form_with_the_model(page: Page) -> None:
    page.goto("/#/models")
    page.get_by_role("searchbox", name="Search").fill("bria")
    page.get_by_role("button", name="Masks").click()
    page.get_by_role("button", name="Edits").click()
    expect(page.get_by_role("heading", name="bria/eraser")).to_be_visible()
    expect(page.get_by_role("heading", name="bria/fibo/generate")).to_have_count(0)
    page.get_by_role("button", name="Edit with bria/eraser").click()
    expect(page.get_by_role("link", name="Edit", exact=True)).to_have_attribute("aria-current", "page")
    expect(page.locator(".model-button .model-name")).to_have_text("bria/eraser")


def test_retired_model_names_its_successor(page: Page) -> None:
    page.goto("/#/models?q=dall-e-3")
    card = page.get_by_role("listitem").filter(has=page.get_by_role("heading", name="openai/dall-e-3"))
    expect(card).to_contain_text("Retired on 2026-05-12. Successor: openai/gpt-image-")
    expect(card.get_by_text("not ready")).to_be_visible()


def test_expected_cost_follows_the_form(page: Page) -> None:
    page.goto("/#/generate")
    page.locator(".model-button").click()
    page.get_by_role("combobox", name="Search models").fill("bfl/flux-kontext-pro")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Costs about $0.04.")).to_be_visible()
    page.get_by_label("Images", exact=True).fill("3")
    expect(page.get_by_text("Costs about $0.12.")).to_be_visible()


def test_estimate_says_why_the_call_would_be_refused(
    stranger: Page, problems: Problems, stack: Stack, caller: Caller
) -> None:
    problems.expect("status of 402")
    problems.expect("status of 403")
    key = caller.ask("POST", "/v1/admin/keys", {"tenant": "poor", "budget": 0}).json()["key"]
    stranger.goto(f"/#key={key}")
    stranger.locator(".model-button").click()
    stranger.get_by_role("combobox", name="Search models").fill("bfl/flux-kontext-pro")
    stranger.keyboard.press("Enter")
    expect(stranger.locator(".cost")).to_contain_text("budget")
    assert Caller(stack, key).ask("GET", "/v1/jobs").json()["data"] == []


def test_code_follows_the_form_and_hides_the_key(page: Page, caller: Caller, providers: Providers) -> None:
    page.goto("/#/generate")
    page.get_by_label("Prompt", exact=True).fill('a "red" house')
    page.get_by_text("The same call as code").click()
    code = page.get_by_role("tabpanel").locator("code")
    expect(code).to_contain_text('"prompt": "a \\"red\\" house"')
    page.get_by_role("tab", name="curl").press("ArrowRight")
    expect(page.get_by_role("tab", name="Python")).to_be_focused()
    expect(code).to_contain_text("client.images.generate(")
    expect(code).not_to_contain_text(caller.key)
    page.get_by_label("Show my key").check()
    expect(code).to_contain_text(caller.key)
    page.get_by_role("button", name="Copy", exact=True).click()
    assert page.evaluate("navigator.clipboard.readText()") == code.text_content()
    assert providers.calls() == {}
