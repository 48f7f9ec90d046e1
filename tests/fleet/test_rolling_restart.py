"""Rolling restart of everything under load: no call fails, no connection is refused, nothing is paid twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.gateway.jobs.traffic import KINDS, traffic

if TYPE_CHECKING:
    from tests.fleet.fleet import Fleet
    from tests.gateway.providers.providers import Providers


def test_restart_of_everything_fails_no_call(fleet: Fleet, paid: Providers) -> None:
    paid.forget()
    with traffic(fleet.gateway()) as calls:
        for name in fleet.parts:
            fleet.restart(name)
            fleet.wait_ready()
    assert calls.failures == []
    assert fleet.balancer.refused == []
    assert min(calls.answered[kind.__name__] for kind, _ in KINDS) > 10
    assert paid["openai"].billed == calls.answered["calling_by_sdk"]
