"""Two routes of one model: calls that the first one certainly refused use the second. A failing route is avoided."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import pytest

from tests.emulators.bfl import Bfl
from tests.gateway.jobs.calls import ASYNC, Caller
from tests.gateway.jobs.stacks import kill, wait_back
from tests.gateway.providers.asking import over_both, over_rest, request
from tests.gateway.providers.failing import ROUTES
from tests.gateway.providers.providers import every, serving, submissions
from tests.gateway.providers.test_failures import changed
from tests.support.stack import eventually, free_port, running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.gateway.providers.asking import Reply
    from tests.gateway.providers.providers import Providers

KLEIN: Final = "bfl/flux-2-klein-9b"
_UNAVAILABLE: Final = (503, b"<html>no healthy upstream</html>", {"retry-after": "0"})
_TRIES: Final = 2
"""Calls to a route that responds 503 before the job fails, where no other route exists."""
_LIMITED: Final = (429, {"success": False, "errors": [], "messages": [], "result": None}, {"retry-after": "3"})


@pytest.fixture(scope="module")
def two_served() -> Iterator[Providers]:
    emulators = every()
    with serving({route: emulators[route] for route in ("bfl", "cloudflare")}) as served:
        yield served


@pytest.fixture(scope="module")
def two_caller(two_served: Providers) -> Iterator[Caller]:
    with running(**two_served.settings()) as stack:
        yield Caller(stack, stack.key)


@pytest.fixture
def two(two_served: Providers) -> Providers:
    two_served.forget()
    return two_served


def assert_served_by(said: Reply, route: str) -> None:
    assert said.failure is None, said.failure
    assert said.document["provider"] == said.headers["x-imagegateway-provider"] == route
    assert len(said.images) == 1


def test_first_route_serves_while_its_circuit_breaker_is_closed(two_caller: Caller, two: Providers) -> None:
    for said in over_both(two_caller, request(KLEIN)):
        assert_served_by(said, "cloudflare")
    assert two.billed() == two.calls() == {"cloudflare": 2}


def test_call_that_a_route_did_not_accept_falls_back_to_the_next(two_caller: Caller, two: Providers) -> None:
    two["cloudflare"].failures[:] = [_UNAVAILABLE] * 2
    for said in over_both(two_caller, request(KLEIN)):
        assert_served_by(said, "bfl")
    assert two.billed() == {"bfl": 2}
    assert len(submissions(two["bfl"])) == 2
    assert len(submissions(two["cloudflare"])) == 2, "asked once by each call"
    assert_served_by(over_rest(two_caller, request(KLEIN)), "cloudflare")  # and is asked again


def test_route_that_requests_a_pause_is_avoided_and_callers_do_not_wait(two_caller: Caller, two: Providers) -> None:
    two["cloudflare"].failures[:] = [_LIMITED]
    began = time.monotonic()
    for said in (*over_both(two_caller, request(KLEIN)), over_rest(two_caller, request(KLEIN))):
        assert said.failure is None, said.failure
    assert time.monotonic() - began < 3
    two["cloudflare"].sent.clear()
    while time.monotonic() - began < 3:
        assert_served_by(over_rest(two_caller, request(KLEIN)), "bfl")
    assert "cloudflare" not in two.calls(), "it is left alone"
    assert_served_by(over_rest(two_caller, request(KLEIN)), "cloudflare")


def test_job_that_falls_back_waits_for_the_next_routes_places(two_caller: Caller, two: Providers) -> None:
    """The job waits for a slot of the second route, also over a kill of the router."""
    bfl = two["bfl"]
    assert isinstance(bfl, Bfl)
    with changed(bfl, script=("Pending",)):
        full = [two_caller.submit(**request("bfl/flux-2-pro", size="64x64", n=n)) for n in (10, 10, 4)]
        eventually(lambda: len(bfl.tasks) >= 24, 20, "its places are taken")
        two["cloudflare"].failures[:] = [_UNAVAILABLE] * 2
        waiting = [two_caller.submit(**request(KLEIN)) for _ in range(2)]
        eventually(lambda: len(submissions(two["cloudflare"])) == 2, 20, "the first route is asked")
        eventually(lambda: two_caller.job(waiting[1])["provider"] == "bfl", 20, "it is left")
        assert [two_caller.job(job_id)["status"] for job_id in waiting] == ["running"] * 2
        eventually(lambda: {sent.path for sent in bfl.sent} >= {"/v1/get_result"}, 20, "the others are polled")
        time.sleep(0.5)
        killed = kill(two_caller.stack, "router-0")
        wait_back(two_caller.stack, "router-0", killed)
        assert len(submissions(bfl)) == 24, "nothing goes over the limit"
        bfl.script = ("Ready",)
        for task in bfl.tasks.values():
            task.states[:] = ["Ready"]
        ended = [two_caller.end(job_id) for job_id in (*full, *waiting)]
    assert [job["status"] for job in ended] == ["completed"] * 5
    assert {job["provider"] for job in ended} == {"bfl"}
    assert two.billed() == {"bfl": 26}
    assert len(submissions(bfl)) == 26, "none was refused, none was begun twice"
    assert len(submissions(two["cloudflare"])) == 2, "what took nothing is not asked again"


@pytest.mark.parametrize("code", ["moderation_blocked", "provider_credentials", "provider_billing"])
def test_refusal_of_a_route_causes_no_fallback(two_caller: Caller, two: Providers, code: str) -> None:
    two["cloudflare"].failures[:] = [ROUTES["cloudflare"].answers[code]]
    said = over_rest(two_caller, request(KLEIN))
    assert said.failure is not None
    assert said.failure.code == code
    assert two.calls() == {"cloudflare": 1}
    assert_served_by(over_rest(two_caller, request(KLEIN)), "cloudflare")


def test_failure_after_acceptance_is_paid_once_only(two_caller: Caller, two: Providers) -> None:
    two["cloudflare"].failures[:] = [(520, b"<html>web server returned an unknown error</html>", {})]
    said = over_rest(two_caller, request(KLEIN))
    assert said.failure is not None
    assert said.failure.code == "provider_error"
    assert two.calls() == {"cloudflare": 1}
    assert_served_by(over_rest(two_caller, request(KLEIN)), "cloudflare")


def test_callers_invalid_keys_do_not_open_the_circuit_breaker(two_caller: Caller, two: Providers) -> None:
    for _ in range(4):
        said = over_rest(two_caller, request(KLEIN), {"x-byok-cloudflare": "caller-wrong"})
        assert said.failure is not None
        assert said.failure.code == "provider_credentials"
    assert_served_by(over_rest(two_caller, request(KLEIN)), "cloudflare")


def test_callers_key_selects_its_route_without_fallback(two_caller: Caller, two: Providers) -> None:
    cloudflare = two["cloudflare"]
    cloudflare.failures[:] = [_UNAVAILABLE] * _TRIES
    said = over_rest(two_caller, request(KLEIN), {"x-byok-cloudflare": cloudflare.key})
    assert said.failure is not None
    assert said.failure.code == "provider_unavailable"
    assert two.calls() == {"cloudflare": _TRIES}
    assert_served_by(over_rest(two_caller, request(KLEIN), {"x-byok-bfl": two["bfl"].key}), "bfl")


def test_job_at_its_provider_survives_a_kill_of_the_router(two_caller: Caller, two: Providers) -> None:
    bfl = two["bfl"]
    with changed(bfl, script=(*["Pending"] * 4, "Ready")):
        answer = two_caller.generate(ASYNC, **request("bfl/flux-2-pro"), size="256x256")
        assert answer.status == 202, answer.body
        job_id = answer.json()["id"]
        # Before the first poll its start may not be written down: such a job is never begun again, and ends.
        eventually(lambda: any("get_result" in sent.path for sent in bfl.sent), 20, "it is polled")
        killed = kill(two_caller.stack, "router-0")
        wait_back(two_caller.stack, "router-0", killed)
        job = two_caller.end(job_id)
    assert job["status"] == "completed", job
    assert len(submissions(bfl)) == 1, "submitted once"
    assert bfl.billed == 1
    assert two_caller.fetch(job["result_url"])


def test_route_that_keeps_failing_is_avoided(two_caller: Caller, two: Providers) -> None:
    """The last test of this stack: the circuit breaker stays open for a minute."""
    assert_served_by(over_rest(two_caller, request(KLEIN)), "cloudflare")
    two["cloudflare"].failures[:] = [_UNAVAILABLE] * 3
    for _ in range(3):
        assert_served_by(over_rest(two_caller, request(KLEIN)), "bfl")
    two.forget()
    for _ in range(3):
        assert_served_by(over_rest(two_caller, request(KLEIN)), "bfl")
    assert "cloudflare" not in two.calls(), "it is not asked for a while"
    assert two.billed() == {"bfl": 3}
    # A caller who names it by a key gets it still.
    said = over_rest(two_caller, request(KLEIN), {"x-byok-cloudflare": two["cloudflare"].key})
    assert_served_by(said, "cloudflare")


def test_unreachable_route_falls_back_and_models_without_a_key_are_unavailable(two: Providers) -> None:
    """The stack has a route that refuses connections, a working one, and no key for others."""
    values = {**two.settings(), "cloudflare_base_url": f"http://127.0.0.1:{free_port()}"}
    with running(**values) as stack:
        caller = Caller(stack, stack.key)
        began = time.monotonic()
        job_id = caller.submit(**request(KLEIN))
        eventually(lambda: bool(submissions(two["bfl"])), 1, "the first refusal is enough")
        assert time.monotonic() - began < 1
        assert caller.end(job_id)["provider"] == "bfl"
        for said in over_both(caller, request(KLEIN)):
            assert_served_by(said, "bfl")
        assert two.billed() == {"bfl": 3}
        check_unconfigured(caller)


def test_unavailable_model_has_an_unavailable_reason(two_caller: Caller) -> None:
    model = two_caller.ask("GET", "/v1/models/openai/gpt-image-2").json()
    assert model["available"] is False
    assert [route["available"] for route in model["routes"]] == [False]


def check_unconfigured(caller: Caller) -> None:
    """Both the model's entry and the error name the missing setting."""
    listed = {model["id"]: model for model in caller.ask("GET", "/v1/models").json()["data"]}
    for model_id, setting in (
        ("openai/gpt-image-2", "IMAGEGATEWAY_OPENAI_API_KEY"),
        ("stability-ai/sdxl", "IMAGEGATEWAY_REPLICATE_API_KEY"),
        ("stability-ai/sdxl", "IMAGEGATEWAY_AUTOMATIC1111_BASE_URL"),
        ("google/gemini-omni-1.2-flash", "IMAGEGATEWAY_GOOGLE_API_KEY"),
        ("bria/fibo-edit/edit", "IMAGEGATEWAY_BRIA_API_KEY"),
    ):
        model = listed[model_id]
        assert not model.get("available")
        assert setting in model["unavailable_reason"]
        first, second = over_both(caller, request(model_id))
        assert first.failure is not None
        assert first.failure == second.failure
        assert (first.failure.code, first.failure.waits) == ("provider_not_configured", True)
        assert setting in first.failure.message
    assert listed[KLEIN]["available"]
    assert "unavailable_reason" not in listed[KLEIN]
    assert listed["local/sketch"]["available"]
