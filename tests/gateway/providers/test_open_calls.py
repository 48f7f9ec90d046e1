"""Provider calls under way when a process dies or a caller cancels: none is lost, none is paid twice, none is
uncounted.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.emulators.openai import OpenAI
from tests.gateway.jobs.calls import ASYNC, Caller
from tests.gateway.jobs.stacks import kill, wait_back
from tests.gateway.providers.providers import serving
from tests.support.stack import eventually, running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiohttp import web

    from tests.gateway.providers.providers import Providers
    from tests.support.stack import Stack

MODEL = "openai/gpt-image-1-mini"


@dataclass
class SlowOpenAI(OpenAI):
    """OpenAI that takes `seconds` for each image; `most`: the highest number of concurrent calls."""

    seconds: float = 1.0
    in_flight: int = 0
    most: int = 0

    async def _generate(self, request: web.Request) -> web.StreamResponse:
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        try:
            await asyncio.sleep(self.seconds)
            return await super()._generate(request)
        finally:
            self.in_flight -= 1


@pytest.fixture(scope="module")
def slow() -> Iterator[Providers]:
    with serving({"openai": SlowOpenAI(key="operator-key")}) as served:
        yield served


@pytest.fixture
def emulator(slow: Providers) -> SlowOpenAI:
    found = slow["openai"]
    assert isinstance(found, SlowOpenAI)
    # Calls whose caller was killed are billed when they end.
    eventually(lambda: found.in_flight == 0, 20, "earlier calls have ended")
    slow.forget()
    found.most = 0
    return found


def _submit(caller: Caller) -> str:
    answer = caller.ask("POST", "/v1/images/generations", {"model": MODEL, "prompt": "a red kite over hills"}, ASYNC)
    assert answer.status == 202, answer.body
    job_id: str = answer.json()["id"]
    return job_id


def _finished(stack: Stack, jobs: list[str]) -> list[dict[str, Any]]:
    return [line for line in stack.events() if line["event"] == "job_finished" and line["job_id"] in jobs]


@pytest.mark.parametrize("victim", ["router-0", "providers"])
def test_twelve_calls_outlive_a_killed_router(slow: Providers, emulator: SlowOpenAI, victim: str) -> None:
    """All calls complete and are billed once. If the provider server dies, their outcome is unknown."""
    emulator.seconds = 5.0
    with running(**slow.settings()) as stack:
        caller = Caller(stack, stack.key)
        jobs = [_submit(caller) for _ in range(12)]
        eventually(lambda: emulator.in_flight == 12, 30, "all calls are under way")
        wait_back(stack, victim, kill(stack, victim))
        ended = [caller.end(job_id, 60) for job_id in jobs]
        # Log lines of a moment are written together.
        eventually(lambda: len(_finished(stack, jobs)) >= 12, 10, "every end is logged")
        finished = _finished(stack, jobs)
    if victim == "router-0":
        assert {job["status"] for job in ended} == {"completed"}
        assert emulator.billed == 12
    else:
        assert {job["error"]["code"] for job in ended} == {"provider_outcome_unknown"}
    assert len(emulator.sent) == 12, "no call is made twice"
    assert sorted(line["job_id"] for line in finished) == sorted(jobs)
    assert all(line["request_id"] for line in finished)


def test_cancelled_calls_count_until_they_end(slow: Providers, emulator: SlowOpenAI) -> None:
    emulator.seconds = 0.5
    with running(**slow.settings(), openai_concurrency="1") as stack:
        caller = Caller(stack, stack.key)
        jobs: list[str] = []
        for _ in range(12):
            jobs.append(_submit(caller))
            assert caller.cancel(jobs[-1])["status"] == "cancelled"
        last = _submit(caller)
        assert caller.end(last)["status"] == "completed"
        ended: list[dict[str, Any]] = [caller.job(job_id) for job_id in jobs]
    assert emulator.most == 1
    assert {job["status"] for job in ended} == {"cancelled"}
    assert emulator.billed == sum("cost" in job for job in ended) + 1, "each cost is on its job's record"
