"""The frame around the views: key, navigation, policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import expect

from tests.page.conftest import screenshot

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.page.conftest import Problems
    from tests.support.stack import Stack


def test_key_opens_the_page_and_is_kept_for_the_tab(stranger: Page, stack: Stack) -> None:
    stranger.goto("/")
    key = stranger.get_by_label("API key")
    expect(key).to_be_focused()
    screenshot(stranger, "key")
    key.fill(f" {stack.key} ")
    key.press("Enter")
    expect(stranger.get_by_role("link", name="Generate")).to_have_attribute("aria-current", "page")
    stranger.reload()
    expect(stranger.get_by_role("link", name="Generate")).to_be_visible()
    stranger.get_by_role("button", name="Change key").click()
    expect(stranger.get_by_label("API key")).to_have_value("")


def test_wrong_key_is_refused_in_the_words_of_the_api(stranger: Page, problems: Problems) -> None:
    problems.expect("status of 401")
    stranger.goto("/")
    stranger.get_by_label("API key").fill("igw_wrong")
    stranger.get_by_role("button", name="Continue").click()
    expect(stranger.get_by_role("status").filter(has_text="key")).to_be_visible()
    expect(stranger.get_by_label("API key")).to_be_focused()


def test_inline_script_is_refused_by_the_policy(page: Page, problems: Problems) -> None:
    problems.expect("Content Security Policy")
    page.goto("/")
    page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = 1'}))"
    )
    assert page.evaluate("window.ran") is None
    assert any("Content Security Policy" in text for text in problems.found)
