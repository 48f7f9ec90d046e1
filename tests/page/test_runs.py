"""Runs: live progress, several at once, cancel, and connections that break."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.gateway.providers.providers import submissions
from tests.gateway.providers.test_failures import changed
from tests.page.conftest import screenshot
from tests.page.workbench import card, expect_status, open_view, submit
from tests.support.stack import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page, Route

    from tests.emulators.openai import OpenAI
    from tests.gateway.jobs.calls import Caller
    from tests.gateway.providers.providers import Providers
    from tests.page.conftest import Problems

PROMPT = "a fox in the rain"


@pytest.fixture
def openai(providers: Providers) -> Iterator[OpenAI]:
    """OpenAI that pauses after the first event of a stream until `hold` is set."""
    found: Any = providers["openai"]
    found.hold = threading.Event()
    yield found
    found.hold.set()
    found.hold = None
    eventually(
        lambda: found.under_way == 0, 30, "calls of cancelled jobs have ended, and are billed in no later test"
    )


def newest(caller: Caller, prompt: str) -> list[dict[str, Any]]:
    """Return the jobs with a prompt."""
    return [job for job in caller.page(page_size=20)["data"] if job.get("request", {}).get("prompt") == prompt]


def test_partial_image_is_shown_before_the_result(page: Page, openai: OpenAI) -> None:
    open_view(page, model="openai/gpt-image-2")
    page.get_by_text("More options").click()
    page.get_by_label("Partial images").fill("2")
    run = submit(page, PROMPT)
    partial = run.get_by_role("img", name="Partial image")
    expect(partial).to_be_visible()
    expect_status(run, "Running")
    assert openai.billed == 0, "the image is not even made"
    screenshot(page, "run-partial")
    assert openai.hold
    openai.hold.set()
    expect_status(run, "Completed")
    expect(partial).to_be_hidden()
    expect(run.get_by_role("img", name=PROMPT)).to_be_visible()


def test_cancelled_run_is_a_cancelled_job(page: Page, providers: Providers, caller: Caller) -> None:
    own: Any = providers["automatic1111"]
    prompt = "a fox that is cancelled"
    open_view(page, model="stability-ai/sdxl")
    page.get_by_text("More options").click()
    page.get_by_label("Provider of the key").select_option("automatic1111")
    page.get_by_label("Your own provider key").fill(own.key)
    with changed(own, seconds=60.0):
        run = submit(page, prompt)
        eventually(lambda: len(own.sent) == 1, 20, "the server works on it")
        screenshot(page, "run-running")
        run.get_by_role("button", name="Cancel").click()
        expect_status(run, "Cancelled")
        expect(run.get_by_role("button", name="Cancel")).to_be_hidden()
        eventually(lambda: own.sent[-1].path == "/sdapi/v1/interrupt", 20, "the server receives the cancel")
        eventually(lambda: own.billed == 1, 20, "the server is free")
    assert [job["status"] for job in newest(caller, prompt)] == ["cancelled"]


def test_several_runs_go_on_at_once(page: Page, openai: OpenAI) -> None:
    open_view(page, model="openai/gpt-image-2")
    page.get_by_text("More options").click()
    page.get_by_label("Partial images").fill("1")
    first = submit(page, "the first fox")
    expect_status(first, "Running")
    second = submit(page, "the second fox")
    expect_status(second, "Running")
    assert openai.hold
    openai.hold.set()
    for prompt in ("the first fox", "the second fox"):
        expect_status(card(page, prompt), "Completed")
    assert len(submissions(openai)) == 2


def test_many_runs_leave_connections_for_cancels(page: Page, openai: OpenAI) -> None:
    """A browser opens six connections to one server: event streams must not take all of them."""
    open_view(page, model="openai/gpt-image-2")
    page.get_by_text("More options").click()
    page.get_by_label("Partial images").fill("1")
    runs = [submit(page, f"fox {number} of many") for number in range(8)]
    for run in runs:
        expect_status(run, "Running")
    runs[0].get_by_role("button", name="Cancel").click()
    expect_status(runs[0], "Cancelled")
    assert openai.hold
    openai.hold.set()
    for run in runs[1:]:
        expect_status(run, "Completed")


@pytest.mark.parametrize("how", ["double click", "Ctrl+Enter held down"])
def test_impatient_submission_makes_one_job(page: Page, caller: Caller, how: str) -> None:
    prompt = f"a fox by {how}"
    open_view(page, model="local/sketch")
    page.get_by_label("Prompt", exact=True).fill(prompt)
    if how == "double click":
        page.get_by_role("button", name="Generate").dblclick()
    else:
        page.get_by_label("Prompt", exact=True).focus()
        page.keyboard.down("Control")
        for _ in range(3):  # without an up between: the browser marks the later ones as repeats
            page.keyboard.down("Enter")
        page.keyboard.up("Enter")
        page.keyboard.up("Control")
    expect_status(card(page, prompt), "Completed")
    assert len(newest(caller, prompt)) == 1


def test_submission_whose_response_is_lost_is_repeated_and_paid_once(
    page: Page, providers: Providers, caller: Caller, problems: Problems
) -> None:
    problems.expect("net::ERR_FAILED")
    prompt = "a fox whose answer is lost"
    keys: list[str] = []

    def lose_first(route: Route) -> None:
        if "dry-run" in route.request.headers.get("prefer", ""):
            return route.continue_()
        keys.append(route.request.headers["idempotency-key"])
        if len(keys) > 1:
            return route.continue_()
        route.fetch()
        return route.abort()

    open_view(page, model="bfl/flux-2-pro")
    page.route("**/v1/images/generations", lose_first)
    expect_status(submit(page, prompt), "Completed")
    assert len(keys) == 2
    assert len(set(keys)) == 1
    assert len(newest(caller, prompt)) == 1
    assert len(submissions(providers["bfl"])) == providers["bfl"].billed == 1


def test_broken_event_stream_is_resumed(page: Page, openai: OpenAI, problems: Problems) -> None:
    problems.expect("net::ERR_")
    broken = threading.Event()

    def cut(route: Route) -> None:
        if broken.is_set():
            return route.continue_()
        return route.abort()

    open_view(page, model="openai/gpt-image-2")
    page.route("**/events", cut)
    run = submit(page, "a fox on a bad line")
    expect_status(run, "Connection lost, trying again")
    screenshot(page, "run-reconnecting")
    broken.set()
    assert openai.hold
    openai.hold.set()
    expect_status(run, "Completed")


def test_failed_job_says_why(page: Page, providers: Providers) -> None:
    found: Any = providers["openai"]
    open_view(page, model="openai/gpt-image-2")
    with changed(found, blocked="prompt"):
        run = submit(page, "something forbidden")
        expect_status(run, "Failed")
    expect(run.get_by_role("alert")).to_contain_text("moderation_blocked")
    screenshot(page, "run-failed")


def test_expired_link_is_renewed_from_the_job(page: Page, problems: Problems) -> None:
    problems.expect("status of 404")
    seen: list[str] = []

    def expire_first(route: Route) -> None:
        seen.append(route.request.url)
        if len(seen) == 1:
            return route.fulfill(status=404, json={"error": {"message": "This link has expired.", "code": "expired"}})
        return route.continue_()

    open_view(page, model="local/sketch")
    page.route("**/media/**", expire_first)
    run = submit(page, "a lake")
    expect_status(run, "Completed")
    image = run.get_by_role("img", name="a lake")
    expect(image).to_be_visible()
    eventually(lambda: bool(image.evaluate("image => image.complete && image.naturalWidth > 0")), 20, "it loads")
    assert len(seen) >= 2


def test_refusal_without_a_field_is_shown_on_the_card(page: Page, problems: Problems) -> None:
    problems.expect("status of 402")
    open_view(page, model="local/sketch")
    refusal = {"error": {"message": "The budget is spent.", "param": None, "code": "budget_exceeded"}}
    page.route("**/v1/images/generations", lambda route: route.fulfill(status=402, json=refusal))
    run = submit(page, "a costly fox")
    expect_status(run, "Failed")
    expect(run.get_by_role("alert")).to_contain_text("The budget is spent.")
    expect(page.get_by_role("button", name="Generate")).to_be_enabled()
