"""Steps on the views that generate and edit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page


def open_view(page: Page, name: str = "generate", model: str = "") -> None:
    """Open a view and, if given, choose a model."""
    page.goto(f"/#/{name}")
    expect(page.get_by_label("Prompt", exact=True)).to_be_visible()
    if model:
        choose_model(page, model)


def choose_model(page: Page, model: str) -> None:
    page.locator(".model-button").click()
    page.get_by_role("combobox", name="Search models").fill(model)
    page.get_by_role("option").filter(has=page.locator("strong").get_by_text(model, exact=True)).click()
    expect(page.locator(".model-button .model-name")).to_have_text(model)


def more_options(page: Page) -> None:
    page.get_by_text("More options").click()


def submit(page: Page, prompt: str) -> Locator:
    """Submit the form and return the card of the new run."""
    page.get_by_label("Prompt", exact=True).fill(prompt)
    page.locator("form.request button[type=submit]").click()
    return card(page, prompt)


def card(page: Page, prompt: str) -> Locator:
    """Return the newest card with this prompt."""
    return page.locator("article.run").filter(has_text=prompt).first


def expect_status(run: Locator, status: str) -> None:
    expect(run.locator(".tag").first).to_have_text(status)


def fields(page: Page) -> list[str]:
    """Return the names of the fields that the form shows, as the API spells them."""
    named: list[str] = page.locator("form.request [data-field]:not([hidden])").evaluate_all(
        "elements => elements.map((element) => element.dataset.field)"
    )
    return named
