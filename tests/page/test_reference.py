"""The reference page at /docs: it shows the whole API description, and calls no other origin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import expect

from tests.page.conftest import MILLISECONDS, SCREENSHOTS

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.support.stack import Stack


def test_reference_shows_operations_without_another_origin(stranger: Page, stack: Stack) -> None:
    requests: list[str] = []
    stranger.on("request", lambda request: requests.append(request.url))
    stranger.goto("/docs#tag/Images/operation/Generate")
    expect(stranger.get_by_role("heading", name="Make images from a prompt")).to_be_visible(timeout=4 * MILLISECONDS)
    expect(stranger.get_by_text("Idempotency-Key").first).to_be_visible()
    foreign = [url for url in requests if not url.startswith((stack.url, "blob:", "data:"))]
    assert foreign == []
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    stranger.screenshot(path=SCREENSHOTS / "reference.png")
