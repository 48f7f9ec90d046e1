"""Two routes of one model: calls that the first one certainly refused use the second. A failing route is avoided."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.emulators.bfl import Bfl
from tests.gateway.jobs.calls import ASYNC
from tests.gateway.jobs.stacks import kill, wait_back
from tests.gateway.providers.asking import KLEIN, assert_served_by, over_both, over_rest, request
from tests.gateway.providers.failing import ROUTES
from tests.gateway.providers.providers import submissions
from tests.gateway.providers.test_byok import SDXL
from tests.gateway.providers.test_failures import changed
from tests.gateway.test_metrics import scraped
from tests.support.stack import eventually

if TYPE_CHECKING:
    from tests.gateway.jobs.calls import Caller
    from tests.gateway.providers.providers import Providers

_UNAVAILABLE: Final = (503, b"<html>no healthy upstream</html>", {"retry-after": "0"})
_TRIES: Final = 2
"""Calls to a route that responds 503 before the job fails, where no other route exists."""
_PAUSE: Final = 6
"""Seconds of the pause that a route requests."""
_LIMITED: Final = (
    429,
    {"success": False, "errors": [], "messages": [], "result": None},
    {"retry-after": str(_PAUSE)},
)


def test_first_route_serves_while_its_circuit_breaker_is_closed(caller: Caller, providers: Providers) -> None:
    for said in over_both(caller, request(KLEIN)):
        assert_served_by(said, "cloudflare")
    assert providers.billed() == providers.calls() == {"cloudflare": 2}


def test_call_that_a_route_did_not_accept_falls_back_to_the_next(caller: Caller, providers: Providers) -> None:
    providers["cloudflare"].failures[:] = [_UNAVAILABLE] * 2
    for said in over_both(caller, request(KLEIN)):
        assert_served_by(said, "bfl")
    assert providers.billed() == {"bfl": 2}
    assert len(submissions(providers["bfl"])) == 2
    assert len(submissions(providers["cloudflare"])) == 2, "asked once by each call"
    assert_served_by(over_rest(caller, request(KLEIN)), "cloudflare")  # and is asked again


def test_route_that_requests_a_pause_is_avoided_and_callers_do_not_wait(caller: Caller, providers: Providers) -> None:
    cloudflare = providers["cloudflare"]
    cloudflare.failures[:] = [_LIMITED]
    assert_served_by(over_rest(caller, request(KLEIN)), "bfl")
    refused = cloudflare.sent[0].at
    assert submissions(providers["bfl"])[0].at - refused < _PAUSE, "the call does not wait"
    eventually(lambda: _is_served_by(caller, "cloudflare"), 60, "the route is asked again")
    assert cloudflare.sent[1].at - refused > _PAUSE - 0.1, "and is left alone until then"


def _is_served_by(caller: Caller, route: str) -> bool:
    said = over_rest(caller, request(KLEIN))
    assert said.failure is None, said.failure
    return bool(said.document["provider"] == route)


def test_job_that_falls_back_waits_for_the_next_routes_places(caller: Caller, providers: Providers) -> None:
    """The job waits for a slot of the second route, also over a kill of the router."""
    bfl = providers["bfl"]
    assert isinstance(bfl, Bfl)
    with changed(bfl, script=("Pending",)):
        full = [caller.submit(**request("bfl/flux-2-pro", size="64x64", n=n)) for n in (10, 10, 4)]
        eventually(lambda: len(bfl.tasks) >= 24, 20, "its places are taken")
        providers["cloudflare"].failures[:] = [_UNAVAILABLE] * 2
        waiting = [caller.submit(**request(KLEIN)) for _ in range(2)]
        eventually(lambda: len(submissions(providers["cloudflare"])) == 2, 20, "the first route is asked")
        eventually(lambda: caller.job(waiting[1])["provider"] == "bfl", 20, "it is left")
        assert [caller.job(job_id)["status"] for job_id in waiting] == ["running"] * 2
        eventually(lambda: len(bfl.polled) == 24, 20, "the others are polled")
        killed = kill(caller.stack, "router-0")
        wait_back(caller.stack, "router-0", killed)
        assert len(submissions(bfl)) == 24, "nothing goes over the limit"
        bfl.script = ("Ready",)
        for task in bfl.tasks.values():
            task.states[:] = ["Ready"]
        ended = [caller.end(job_id) for job_id in (*full, *waiting)]
    assert [job["status"] for job in ended] == ["completed"] * 5
    assert {job["provider"] for job in ended} == {"bfl"}
    assert providers.billed() == {"bfl": 26}
    assert len(submissions(bfl)) == 26, "none was refused, none was begun twice"
    assert len(submissions(providers["cloudflare"])) == 2, "what took nothing is not asked again"


@pytest.mark.parametrize("code", ["moderation_blocked", "provider_credentials", "provider_billing"])
def test_refusal_of_a_route_causes_no_fallback(caller: Caller, providers: Providers, code: str) -> None:
    providers["cloudflare"].failures[:] = [ROUTES["cloudflare"].answers[code]]
    said = over_rest(caller, request(KLEIN))
    assert said.failure is not None
    assert said.failure.code == code
    assert providers.calls() == {"cloudflare": 1}
    assert_served_by(over_rest(caller, request(KLEIN)), "cloudflare")


def test_failure_after_acceptance_is_paid_once_only(caller: Caller, providers: Providers) -> None:
    providers["cloudflare"].failures[:] = [(520, b"<html>web server returned an unknown error</html>", {})]
    said = over_rest(caller, request(KLEIN))
    assert said.failure is not None
    assert said.failure.code == "provider_error"
    assert providers.calls() == {"cloudflare": 1}
    assert_served_by(over_rest(caller, request(KLEIN)), "cloudflare")


def test_callers_invalid_keys_do_not_open_the_circuit_breaker(caller: Caller, providers: Providers) -> None:
    for _ in range(4):
        said = over_rest(caller, request(KLEIN), {"x-byok-cloudflare": "caller-wrong"})
        assert said.failure is not None
        assert said.failure.code == "provider_credentials"
    assert_served_by(over_rest(caller, request(KLEIN)), "cloudflare")


def test_callers_key_selects_its_route_without_fallback(caller: Caller, providers: Providers) -> None:
    cloudflare = providers["cloudflare"]
    cloudflare.failures[:] = [_UNAVAILABLE] * _TRIES
    said = over_rest(caller, request(KLEIN), {"x-byok-cloudflare": cloudflare.key})
    assert said.failure is not None
    assert said.failure.code == "provider_unavailable"
    assert providers.calls() == {"cloudflare": _TRIES}
    assert_served_by(over_rest(caller, request(KLEIN), {"x-byok-bfl": providers["bfl"].key}), "bfl")


def test_job_at_its_provider_survives_a_kill_of_the_router(caller: Caller, providers: Providers) -> None:
    bfl = providers["bfl"]
    assert isinstance(bfl, Bfl)
    with changed(bfl, script=(*["Pending"] * 4, "Ready")):
        answer = caller.generate(ASYNC, **request("bfl/flux-2-pro"), size="256x256")
        assert answer.status == 202, answer.body
        job_id = answer.json()["id"]
        eventually(lambda: bool(bfl.polled), 20, "it is polled")
        killed = kill(caller.stack, "router-0")
        wait_back(caller.stack, "router-0", killed)
        job = caller.end(job_id)
    assert job["status"] == "completed", job
    assert len(submissions(bfl)) == 1, "submitted once"
    assert bfl.billed == 1
    assert caller.fetch(job["result_url"])


def test_route_that_keeps_failing_is_avoided(caller: Caller, providers: Providers) -> None:
    """The circuit breaker stays open for a minute: later tests call other routes."""
    assert_served_by(over_rest(caller, request(KLEIN)), "cloudflare")
    providers["cloudflare"].failures[:] = [_UNAVAILABLE] * 3
    for _ in range(3):
        assert_served_by(over_rest(caller, request(KLEIN)), "bfl")
    providers.forget()
    for _ in range(3):
        assert_served_by(over_rest(caller, request(KLEIN)), "bfl")
    assert "cloudflare" not in providers.calls(), "it is not asked for a while"
    assert providers.billed() == {"bfl": 3}
    # A caller who names it by a key gets it still.
    said = over_rest(caller, request(KLEIN), {"x-byok-cloudflare": providers["cloudflare"].key})
    assert_served_by(said, "cloudflare")


def test_unreachable_route_falls_back_at_once(caller: Caller, providers: Providers) -> None:
    job_id = caller.submit(**request(SDXL))
    assert caller.end(job_id)["provider"] == "fal"
    retries = scraped(caller.stack).total("imagegateway_provider_retries_total", provider="replicate")
    assert retries == 0, "the first refusal is enough"
    for said in over_both(caller, request(SDXL)):
        assert_served_by(said, "fal")
    assert providers.billed() == {"fal": 3}


def test_model_is_available_by_the_key_of_one_route_and_unavailable_without_any(caller: Caller) -> None:
    listed = {model["id"]: model for model in caller.ask("GET", "/v1/models").json()["data"]}
    for model_id in (KLEIN, "local/sketch"):
        assert listed[model_id]["available"]
        assert "unavailable_reason" not in listed[model_id]
    model = caller.ask("GET", "/v1/models/recraft/recraft-v3").json()
    assert model["available"] is False
    assert [route["available"] for route in model["routes"]] == [False]
