"""Scripted providers: a provider client whose calls a test answers."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

from imagegateway.jobs.provider_client import ProviderClient
from imagegateway.providers.kit.provider_calls import ProviderCalls
from imagegateway.providers.kit.task_state import outcome_unknown

from tests.jobs import records

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence

    from imagegateway.provider.v1 import provider_service_pb2 as provider
    from imagegateway.providers.kit.family import OnProgress


async def _done(_request: object) -> provider.TaskState:
    return records.done()


async def _nothing(_request: object) -> AsyncIterator[provider.TaskState]:
    return
    yield  # makes it a generator


class PendingCall:
    """A provider call that waits until the test answers it."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self._answer: asyncio.Future[provider.TaskState] = asyncio.get_running_loop().create_future()

    async def __call__(self, _request: object) -> provider.TaskState:
        self.begun.set()
        return await asyncio.shield(self._answer)

    def answer(self, state: provider.TaskState) -> None:
        self._answer.set_result(state)


class ScriptedProviders(ProviderClient):
    """Counts calls by job, and answers with the results of `on_start` and `on_poll`. `stops`: confirms cancels.

    Like a provider server it owns its calls: they outlive the replica that started them.
    """

    def __init__(self) -> None:
        self._calls = ProviderCalls()
        self.stops = True
        self.starts: Counter[str] = Counter()
        self.polls: Counter[str] = Counter()
        self.cancels: list[tuple[str, str]] = []
        self.partial_images: Callable[[provider.StartRequest], AsyncIterator[provider.TaskState]] = _nothing
        self.on_start: Callable[[provider.StartRequest], Awaitable[provider.TaskState]] = _done
        self.on_poll: Callable[[provider.PollRequest], Awaitable[provider.TaskState | None]] = _done

    async def close(self) -> None:
        """End the calls in progress."""
        await self._calls.drain(0)

    async def restart(self) -> None:
        """Restart the provider server, which forgets all calls."""
        await self._calls.drain(0)
        self._calls = ProviderCalls()

    async def start(
        self, family: str, request: provider.StartRequest, metadata: Sequence[tuple[str, str]] = ()
    ) -> AsyncGenerator[provider.TaskState, None]:
        key = ("start", request.job_id, str(request.attempt))

        async def work(on_progress: OnProgress) -> provider.TaskState:
            self.starts[request.job_id] += 1
            async for state in self.partial_images(request):
                await on_progress(state.running)
            return await self.on_start(request)

        call = self._calls.find(key) if request.join_only else self._calls.join(key, work, keep=lambda _state: True)
        if call is None:
            yield outcome_unknown()
            return
        async for state in call.states():
            yield state

    async def poll(
        self, family: str, request: provider.PollRequest, metadata: Sequence[tuple[str, str]] = ()
    ) -> provider.TaskState | None:
        self.polls[request.job_id] += 1
        return await self.on_poll(request)

    async def cancel(
        self, family: str, request: provider.CancelRequest, metadata: Sequence[tuple[str, str]] = ()
    ) -> bool:
        self.cancels.append((request.job_id, request.task_ref))
        return self.stops
