"""Provider calls under way when a process dies or a caller cancels: none is lost, none is paid twice, none is
uncounted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.emulators.ideogram import Ideogram
from tests.gateway.jobs.calls import ASYNC
from tests.gateway.jobs.stacks import kill, wait_back
from tests.gateway.providers.outages.conftest import SlowOpenAI
from tests.gateway.providers.test_failures import changed
from tests.gateway.rest import GENERATIONS
from tests.support.stack import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.gateway.jobs.calls import Caller
    from tests.gateway.providers.providers import Providers
    from tests.support.stack import Stack


@pytest.fixture
def emulator(providers: Providers) -> Iterator[SlowOpenAI]:
    found = providers["openai"]
    assert isinstance(found, SlowOpenAI)
    found.released.clear()
    yield found
    found.released.set()
    # Calls whose caller was killed are billed when they end.
    eventually(lambda: found.in_flight == 0, 20, "all calls have ended")


def _submit(caller: Caller, model: str) -> str:
    answer = caller.ask("POST", GENERATIONS, {"model": model, "prompt": "a red kite over hills"}, ASYNC)
    assert answer.status == 202, answer.body
    job_id: str = answer.json()["id"]
    return job_id


def _finished(stack: Stack, jobs: list[str]) -> list[dict[str, Any]]:
    return [line for line in stack.events() if line["event"] == "job_finished" and line["job_id"] in jobs]


@pytest.mark.parametrize("victim", ["router-0", "providers"])
def test_twelve_calls_outlive_a_killed_router(caller: Caller, emulator: SlowOpenAI, victim: str) -> None:
    """All calls complete and are billed once. If the provider server dies, their outcome is unknown."""
    stack = caller.stack
    jobs = [_submit(caller, "openai/gpt-image-1-mini") for _ in range(12)]
    eventually(lambda: emulator.in_flight == 12, 30, "all calls are under way")
    wait_back(stack, victim, kill(stack, victim))
    emulator.released.set()
    ended = [caller.end(job_id, 60) for job_id in jobs]
    # Log lines of a moment are written together.
    eventually(lambda: len(_finished(stack, jobs)) >= 12, 30, "every end is logged")
    finished = _finished(stack, jobs)
    if victim == "router-0":
        assert {job["status"] for job in ended} == {"completed"}
        assert emulator.billed == 12
    else:
        assert {job["error"]["code"] for job in ended} == {"provider_outcome_unknown"}
    assert len(emulator.sent) == 12, "no call is made twice"
    assert sorted(line["job_id"] for line in finished) == sorted(jobs)
    assert all(line["request_id"] for line in finished)


def test_cancelled_calls_count_until_they_end(caller: Caller, providers: Providers) -> None:
    emulator = providers["ideogram"]
    assert isinstance(emulator, Ideogram)
    with changed(emulator, seconds=0.5):
        jobs: list[str] = []
        for _ in range(12):
            jobs.append(_submit(caller, "ideogram/ideogram-v3"))
            assert caller.cancel(jobs[-1])["status"] == "cancelled"
        last = _submit(caller, "ideogram/ideogram-v3")
        assert caller.end(last)["status"] == "completed"
        ended: list[dict[str, Any]] = [caller.job(job_id) for job_id in jobs]
    assert emulator.peak == 1
    assert {job["status"] for job in ended} == {"cancelled"}
    assert emulator.billed == sum("cost" in job for job in ended) + 1, "each cost is on its job's record"
