"""The history: the tenant's jobs, with every action on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from playwright.sync_api import expect

from tests.gateway import rest
from tests.page.conftest import screenshot

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page, Route

    from tests.gateway.jobs.calls import Caller
    from tests.page.conftest import Problems


@pytest.fixture
def job(caller: Caller) -> dict[str, Any]:
    """Return a completed job of two images with a unique prompt."""
    answer = caller.generate(prompt=f"a lake, {uuid4()}", n=2, seed=7)
    assert answer.status == 200, answer.body
    return caller.job(answer.json()["id"])


def card(page: Page, job_id: str) -> Locator:
    return page.locator(f"#{job_id}")


def test_history_shows_the_jobs_of_the_api_after_a_reload(page: Page, job: dict[str, Any]) -> None:
    page.goto("/#/history")
    page.reload()
    shown = card(page, job["id"])
    expect(shown.get_by_role("heading")).to_have_text(job["request"]["prompt"])
    expect(shown.get_by_text("Completed")).to_be_visible()
    expect(shown.get_by_role("img")).to_have_count(2)
    shown.get_by_text("Request", exact=True).click()
    expect(shown.locator("dl")).to_contain_text(f"seed7provider{job['provider']}")
    screenshot(page, "history")


def test_download_saves_the_bytes_of_the_image(page: Page, job: dict[str, Any], caller: Caller) -> None:
    page.goto("/#/history")
    with page.expect_download() as download:
        card(page, job["id"]).get_by_role("button", name="Download: image 2").click()
    assert download.value.suggested_filename == f"{job['id']}-1.png"
    link = rest.link(caller.stack, job["result"]["data"][1]["url"])
    assert download.value.path().read_bytes() == caller.ask("GET", link).body


def test_copied_link_serves_the_image(page: Page, job: dict[str, Any], caller: Caller) -> None:
    page.goto("/#/history")
    card(page, job["id"]).get_by_role("button", name="Copy link").first.click()
    expect(card(page, job["id"]).get_by_role("button", name="Copied")).to_be_visible()
    link = rest.link(caller.stack, page.evaluate("navigator.clipboard.readText()"))
    assert caller.ask("GET", link).headers["content-type"] == "image/png"


def test_link_that_fails_is_renewed_from_the_job(page: Page, problems: Problems, job: dict[str, Any]) -> None:
    problems.expect("status of 403")
    refused: list[str] = []

    def refuse_once(route: Route) -> None:
        if refused:
            return route.fallback()
        refused.append(route.request.url)
        return route.fulfill(status=403)

    page.route("**/media/**/0.png*", refuse_once)
    page.goto(f"/#/history?job={job['id']}")
    image = card(page, job["id"]).get_by_role("img").first
    page.wait_for_function("image => image.complete && image.naturalWidth > 0", arg=image.element_handle())
    assert refused


def test_filters_stand_in_the_address_and_survive_a_reload(page: Page, job: dict[str, Any]) -> None:
    page.goto("/#/history")
    expect(card(page, job["id"])).to_be_visible()
    page.get_by_label("Status").select_option("cancelled")
    expect(card(page, job["id"])).to_have_count(0)
    page.get_by_label("Status").select_option("completed")
    page.get_by_label("Model").select_option("local/sketch")
    expect(card(page, job["id"])).to_be_visible()
    assert page.url.endswith("#/history?status=completed&model=local%2Fsketch")
    page.reload()
    expect(page.get_by_label("Model")).to_have_value("local/sketch")
    expect(card(page, job["id"])).to_be_visible()


def test_further_pages_follow_on_demand(page: Page, job: dict[str, Any], caller: Caller) -> None:
    newer = [caller.generate().json()["id"] for _ in range(2)]
    page.route("**/v1/jobs?page_size=20*", lambda route: route.continue_(url=route.request.url.replace("20", "2", 1)))
    page.goto("/#/history")
    expect(card(page, newer[0])).to_be_visible()
    expect(card(page, job["id"])).to_have_count(0)
    page.get_by_role("button", name="Show more").click()
    expect(card(page, job["id"])).to_be_visible()
    expect(page.get_by_role("article")).to_have_count(4)


def test_cancel_ends_an_unfinished_job_at_the_gateway(page: Page, caller: Caller) -> None:
    job_id = caller.submit(delay=60)
    page.goto("/#/history")
    card(page, job_id).get_by_role("button", name="Cancel").click()
    expect(card(page, job_id).get_by_text("Cancelled")).to_be_visible()
    assert caller.job(job_id)["status"] == "cancelled"


def test_unfinished_job_is_followed_to_its_images(page: Page, caller: Caller) -> None:
    job_id = caller.submit(delay=8)
    page.goto("/#/history")
    expect(card(page, job_id).get_by_role("button", name="Cancel")).to_be_visible()
    expect(card(page, job_id).get_by_role("img")).to_be_visible()


def test_erase_asks_first_and_leaves_no_prompt(page: Page, job: dict[str, Any], caller: Caller) -> None:
    page.goto("/#/history")
    shown = card(page, job["id"])
    shown.get_by_role("button", name="Erase").click()
    page.get_by_role("dialog").get_by_role("button", name="Keep").click()
    assert "erased_at" not in caller.job(job["id"])
    shown.get_by_role("button", name="Erase").click()
    page.get_by_role("dialog").get_by_role("button", name="Erase").click()
    expect(shown.get_by_role("heading")).to_have_text("Erased")
    expect(shown.get_by_role("img")).to_have_count(0)
    assert "request" not in caller.job(job["id"])


def test_unknown_job_is_refused_in_the_words_of_the_api(page: Page, problems: Problems) -> None:
    problems.expect("status of 404")
    page.goto("/#/history?job=job_00000000000000000000000000")
    expect(page.get_by_role("alert")).to_contain_text("job")


def test_repeat_fills_the_form_with_the_settings_of_the_job(page: Page, job: dict[str, Any]) -> None:
    page.goto("/#/history")
    card(page, job["id"]).get_by_role("button", name="Repeat with these settings").click()
    expect(page.get_by_role("link", name="Generate", exact=True)).to_have_attribute("aria-current", "page")
    expect(page.get_by_label("Prompt", exact=True)).to_have_value(job["request"]["prompt"])
    expect(page.locator(".model-button .model-name")).to_have_text("local/sketch")
    expect(page.get_by_label("Images", exact=True)).to_have_value("2")
    page.get_by_text("More options").click()
    expect(page.get_by_label("Seed")).to_have_value("7")


def test_image_goes_from_the_history_into_an_edit(page: Page, job: dict[str, Any]) -> None:
    page.goto("/#/history")
    card(page, job["id"]).get_by_role("button", name="Use as input").first.click()
    expect(page.get_by_role("link", name="Edit", exact=True)).to_have_attribute("aria-current", "page")
    expect(page.locator(".input-list img")).to_have_count(1)
