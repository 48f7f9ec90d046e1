"""Hosts and processes that are lost under load: jobs finish elsewhere, and nothing is paid twice."""

from __future__ import annotations

import itertools
import signal
import time
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.emulators.bfl import Bfl
from tests.fleet import load as loads
from tests.fleet.load import Load
from tests.fleet.part import READY_SECONDS
from tests.gateway.jobs import wire
from tests.support.stack import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fleet.fleet import Fleet
    from tests.fleet.part import Part
    from tests.gateway.providers.providers import Providers

TAKEOVER_SECONDS: Final = 90.0
NOTICE_SECONDS: Final = 20.0
"""Seconds within which the others notice that a host has vanished, and calls through it may fail."""
TASK: Final[dict[str, Any]] = {"model": "bfl/flux-2-pro", "prompt": "a boat", "size": "1024x1024"}
"""Fields of a job that runs as a task at its provider."""


@pytest.fixture
def bfl(paid: Providers) -> Iterator[Bfl]:
    """Yield a provider whose tasks end when the test says so."""
    paid.forget()
    emulator = paid["bfl"]
    assert isinstance(emulator, Bfl)
    before, emulator.script = emulator.script, ("Pending",)
    emulator.tasks.clear()
    yield emulator
    emulator.script = before


def release(bfl: Bfl) -> None:
    """End all tasks."""
    for task in bfl.tasks.values():
        task.states[:] = ["Ready"]


def submit(fleet: Fleet, router: str, count: int) -> list[str]:
    """Start jobs at a router, and return their ids."""
    with fleet.direct(router) as stub:
        return [wire.submit(stub, fleet.caller(), **TASK) for _ in range(count)]


def test_jobs_of_a_vanished_host_finish_elsewhere(fleet: Fleet, paid: Providers, bfl: Bfl) -> None:
    host = fleet.hosts[1]
    if not host.namespace:
        pytest.skip("network namespaces are not permitted")
    caller = fleet.caller()
    jobs = submit(fleet, "router-1", 4) + submit(fleet, "router-0", 2)
    eventually(lambda: len(bfl.polled) == len(jobs), 60, "all tasks are accepted and written down")
    with fleet.balancer.only("envoy-0"), Load(fleet, loads.paid) as load:
        load.more(5)
        host.cut()
        cut = time.monotonic()
        try:
            eventually(lambda: _taken_over(fleet) >= 4, TAKEOVER_SECONDS, "the jobs are taken over")
            release(bfl)
            ends = [caller.end(job) for job in jobs]
            load.more(5)
        finally:
            host.connect()
        fleet.wait_ready()
        load.more(5)
    assert [end["status"] for end in ends] == ["completed"] * len(jobs)
    assert load.failures(after=cut + NOTICE_SECONDS) == []
    assert load.succeeded <= paid["openai"].billed <= len(load.calls)
    assert len(bfl.tasks) == len(jobs)
    assert [caller.job(job)["status"] for job in jobs] == ["completed"] * len(jobs)
    (again,) = submit(fleet, "router-1", 1)
    eventually(lambda: len(bfl.tasks) == len(jobs) + 1, 60, "the host that is back starts jobs")
    release(bfl)
    assert caller.end(again)["status"] == "completed"


def test_jobs_of_a_killed_host_continue_when_it_returns(fleet: Fleet, bfl: Bfl) -> None:
    caller = fleet.caller()
    jobs = submit(fleet, "router-2", 4)
    eventually(lambda: len(bfl.polled) == len(jobs), 60, "all tasks are accepted and written down")
    for part in fleet.on(2):
        part.kill()
    try:
        answer = caller.generate()
        assert answer.status == 200, answer.body
    finally:
        for part in fleet.on(2):
            part.start()
        fleet.wait_ready()
    release(bfl)
    assert [caller.end(job, TAKEOVER_SECONDS)["status"] for job in jobs] == ["completed"] * len(jobs)
    assert len(bfl.tasks) == len(jobs)


def freeze(part: Part, seconds: float) -> None:
    """Freeze a process, and let it go on after some seconds."""
    part.send(signal.SIGSTOP)
    try:
        time.sleep(seconds)
    finally:
        part.send(signal.SIGCONT)


@pytest.mark.parametrize("name", ["providers-2", "router-2"])
def test_process_that_freezes_for_seconds_fails_no_call(fleet: Fleet, paid: Providers, name: str) -> None:
    paid.forget()
    with Load(fleet, loads.paid) as load:
        load.more(3)
        freeze(fleet.parts[name], 6)
        load.more(3)
    assert load.failures() == []
    assert paid["openai"].billed == len(load.calls)


@pytest.mark.parametrize("leads", [True, False], ids=["leader", "follower"])
def test_nats_server_that_freezes_for_an_election_fails_no_call(fleet: Fleet, paid: Providers, leads: bool) -> None:
    """The others elect a leader after 4 to 9 s, and may elect another one at the frozen server's return."""
    caller = fleet.caller()
    job = caller.submit()
    caller.end(job)
    leader = fleet.job_leader()
    server = next(part for part in fleet.of("nats") if (part.name == leader) is leads)
    paid.forget()
    of_jobs = (f"/v1/jobs/{job}", f"/v1/jobs/{job}/events", "/v1/jobs?page_size=2", "/v1/usage")
    paths = itertools.cycle((*of_jobs, "/v1/webhook-secret", "/v1/provider-keys", "/v1/admin/keys"))
    with Load(fleet, loads.paid) as load, Load(fleet, lambda each: each.ask("GET", next(paths))) as reads:
        load.more(3)
        freeze(server, 8)
        load.more(3)
        reads.more(4)
    assert load.failures() + reads.failures() == []
    assert paid["openai"].billed == len(load.calls)


@pytest.mark.parametrize("name", ["router-1", "providers-1", "media-1"])
def test_readiness_shows_a_killed_part_while_the_others_serve(fleet: Fleet, name: str) -> None:
    part = fleet.parts[name]
    part.kill()
    try:
        assert part.status("/readyz") == 0
        if part.kind != "providers":
            eventually(lambda: fleet.healthy(part.kind) == 2, READY_SECONDS, f"Envoy avoids {name}")
        for _ in range(6):
            answer = fleet.caller().generate()
            assert answer.status == 200, answer.body
            assert fleet.caller().fetch(answer.json()["data"][0]["url"])
    finally:
        part.start()
    fleet.wait_ready()
    if part.kind != "providers":
        eventually(lambda: fleet.healthy(part.kind) == 3, READY_SECONDS, f"Envoy uses {name}")


def _taken_over(fleet: Fleet) -> float:
    """Return the number of jobs that routers have taken over from vanished ones."""
    return sum(
        fleet.parts[name].scrape().total("imagegateway_jobs_taken_over_total") for name in ("router-0", "router-2")
    )
