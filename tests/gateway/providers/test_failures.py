"""Every provider's refusals as callers read them: the same over REST and gRPC, without a second request."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.gateway.providers.asking import MODELS, over_both, over_rest, request
from tests.gateway.providers.failing import ROUTES
from tests.gateway.providers.providers import submissions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.emulators.base import Emulator
    from tests.gateway.cases import Failure
    from tests.gateway.jobs.calls import Caller
    from tests.gateway.providers.providers import Providers

ROWS: Final = [(route, code) for route, refusals in ROUTES.items() for code in refusals.answers]
_LIMITED: Final[dict[str, Any]] = {"detail": "secret words"}


@contextmanager
def changed(emulator: Emulator, **values: Any) -> Iterator[None]:
    """Set attributes of an emulator during the context."""
    before = {name: getattr(emulator, name) for name in values}
    for name, value in values.items():
        setattr(emulator, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(emulator, name, value)


@pytest.fixture(params=sorted(ROUTES))
def route(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def refused(caller: Caller, providers: Providers, route: str) -> Failure:
    """Return the failure, after checking that both protocols agree."""
    refusals = ROUTES[route]
    fields = request(refusals.model)
    first, second = over_both(caller, fields, refusals.headers(route, providers[route]))
    assert first.failure is not None, first.document
    assert first.failure == second.failure
    # A provider's text may be shown where the caller can fix the request.
    assert "secret" not in first.failure.message or first.failure.code == "moderation_blocked"
    return first.failure


def assert_works_again(caller: Caller, providers: Providers, route: str) -> None:
    """Assert that later calls succeed after a refusal."""
    refusals = ROUTES[route]
    before = providers[route].billed
    said = over_rest(caller, request(refusals.model), refusals.headers(route, providers[route]))
    assert said.failure is None, said.failure
    assert said.document["provider"] == route
    assert providers[route].billed == before + 1


def test_every_route_is_here(providers: Providers) -> None:
    assert set(ROUTES) == set(providers.by_route)
    assert {route.name for model in MODELS.values() for route in model.routes} == {*ROUTES, "local"}


@pytest.mark.parametrize(("route", "code"), ROWS)
def test_refusal_is_reported_and_not_repeated(caller: Caller, providers: Providers, route: str, code: str) -> None:
    emulator = providers[route]
    emulator.failures[:] = [ROUTES[route].answers[code]] * 2
    failure = refused(caller, providers, route)
    assert failure.code == code
    assert len(submissions(emulator)) == 2, "one for each protocol: no repeat"
    assert providers.calls() == {route: 2}, "no other provider was asked"
    assert not providers.billed()
    successor = MODELS[ROUTES[route].model].successor
    if code == "model_retired" and successor:
        assert successor in failure.message
    assert_works_again(caller, providers, route)


@pytest.mark.parametrize("status", [500, 502])
def test_server_error_after_the_work_is_paid_once(
    caller: Caller, providers: Providers, route: str, status: int
) -> None:
    """A repeat would be billed again: the error forbids a retry."""
    if (route, status) == ("ideogram", 500):
        return  # by its page no 500 is billed
    emulator, refusals = providers[route], ROUTES[route]
    with changed(emulator, spoiled=[(status, b"secret words", {})] * 4):
        said = over_rest(caller, request(refusals.model), refusals.headers(route, emulator))
    assert said.failure is not None
    assert said.failure.code == "provider_error"
    assert said.headers["x-should-retry"] == "false"
    repeated = route == "replicate"  # whose 5xx without an id has made no prediction
    assert len(submissions(emulator)) == 1 + repeated
    assert set(providers.calls()) == {route}


@pytest.mark.parametrize("route", [route for route, refusals in ROUTES.items() if refusals.moderated])
def test_refused_result_is_moderation_in_every_form(caller: Caller, providers: Providers, route: str) -> None:
    emulator = providers[route]
    refusals = ROUTES[route]
    values = {name: value * 2 if isinstance(value, list) else value for name, value in refusals.moderated.items()}
    with changed(emulator, **values):
        assert refused(caller, providers, route).code == "moderation_blocked"
    assert len(submissions(emulator)) == 2, "one for each protocol: no repeat"
    assert set(providers.calls()) == {route}
    emulator.billed = 0
    assert_works_again(caller, providers, route)


def test_wait_of_a_limit_reaches_the_caller(caller: Caller, providers: Providers, route: str) -> None:
    """A wait over the limit is not held open: the caller receives it."""
    emulator = providers[route]
    emulator.failures[:] = [(429, _LIMITED, {"retry-after": "77"})] * 2
    refusals = ROUTES[route]
    first, second = over_both(caller, request(refusals.model), refusals.headers(route, emulator))
    assert first.failure is not None, first.document
    assert first.failure == second.failure
    assert (first.failure.code, first.failure.waits) == ("provider_rate_limited", True)
    assert 70 <= int(first.headers["retry-after"]) <= 77
    assert len(submissions(emulator)) == 2
    assert set(providers.calls()) == {route}
    assert_works_again(caller, providers, route)


def test_short_limit_is_waited_out(caller: Caller, providers: Providers, route: str) -> None:
    emulator = providers[route]
    emulator.failures[:] = [(429, _LIMITED, {"retry-after": "0.2"})]
    assert_works_again(caller, providers, route)
    assert len(submissions(emulator)) == 2


def test_persistent_rate_limit_is_reported_after_a_few_calls(caller: Caller, providers: Providers) -> None:
    providers["openai"].failures[:] = [(429, _LIMITED, {"retry-after": "1"})] * 4
    said = over_rest(caller, request("openai/gpt-image-1"))
    assert said.failure is not None
    assert (said.failure.code, said.headers["retry-after"]) == ("provider_rate_limited", "1")
    assert providers.calls() == {"openai": 4}
    assert_works_again(caller, providers, "openai")
