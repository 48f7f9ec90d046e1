"""A provider that does as a test tells it."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

from services.jobs.families import Families
from tests.jobs import records

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

    from imagegateway.provider.v1 import provider_service_pb2 as provider


async def _done(_request: object) -> provider.TaskState:
    return records.done()


async def _nothing(_request: object) -> AsyncIterator[provider.TaskState]:
    return
    yield  # makes it a generator


class Call:
    """A provider call that is answered when the test says what."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self._answer: asyncio.Future[provider.TaskState] = asyncio.get_running_loop().create_future()

    async def __call__(self, _request: object) -> provider.TaskState:
        self.begun.set()
        return await asyncio.shield(self._answer)

    def answer(self, state: provider.TaskState) -> None:
        self._answer.set_result(state)


class ScriptedFamilies(Families):
    """Counts calls by job, and answers with what `on_start`, `on_poll` and `on_cancel` give."""

    def __init__(self) -> None:
        self.starts: Counter[str] = Counter()
        self.polls: Counter[str] = Counter()
        self.cancels: list[tuple[str, str]] = []
        self.on_the_way: Callable[[provider.StartRequest], AsyncIterator[provider.TaskState]] = _nothing
        self.on_start: Callable[[provider.StartRequest], Awaitable[provider.TaskState]] = _done
        self.on_poll: Callable[[provider.PollRequest], Awaitable[provider.TaskState | None]] = _done

    async def close(self) -> None:
        """Nothing is open."""

    async def start(self, family: str, request: provider.StartRequest) -> AsyncGenerator[provider.TaskState, None]:
        self.starts[request.job_id] += 1
        async for state in self.on_the_way(request):
            yield state
        yield await self.on_start(request)

    async def poll(self, family: str, request: provider.PollRequest) -> provider.TaskState | None:
        self.polls[request.job_id] += 1
        return await self.on_poll(request)

    async def cancel(self, family: str, request: provider.CancelRequest) -> bool:
        self.cancels.append((request.job_id, request.task_ref))
        return True
