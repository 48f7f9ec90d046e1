"""The first minute: the key in the address, and the empty state."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.page.conftest import Problems
    from tests.support.stack import Stack


def test_key_in_the_fragment_opens_the_page_and_leaves_the_address(stranger: Page, stack: Stack) -> None:
    stranger.goto(f"/#key={quote(stack.key, safe='')}")
    expect(stranger.get_by_role("link", name="Generate")).to_be_visible()
    assert stack.key not in stranger.url
    assert stranger.evaluate("sessionStorage.getItem('imagegateway.key')") == stack.key
    stranger.go_back()
    assert stack.key not in stranger.url


def test_key_in_the_fragment_of_an_open_page_replaces_the_earlier_one(
    stranger: Page, problems: Problems, stack: Stack
) -> None:
    problems.expect("status of 401")
    stranger.goto("/#key=igw_wrong")
    expect(stranger.get_by_label("API key")).to_be_visible()
    stranger.goto(f"/#key={quote(stack.key, safe='')}")
    expect(stranger.get_by_role("link", name="Generate")).to_be_visible()
    assert stack.key not in stranger.url
