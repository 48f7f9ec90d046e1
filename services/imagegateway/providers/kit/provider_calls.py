"""Provider calls that a family's server owns.

A call is a task of the server: the call goes on when the RPC that began it ends, any number of RPCs may wait for it,
and the server keeps its answer for a while, for a router that takes the job over.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, TypeAlias

from imagegateway.provider.v1 import provider_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from imagegateway.providers.kit.family import OnProgress

    Work = Callable[[OnProgress], Coroutine[None, None, pb.TaskState]]

ANSWER_SECONDS: Final = 900.0
"""Time that an answer is kept, in seconds: longer than a takeover takes."""
ANSWER_BYTES: Final = 32 * 1024 * 1024
"""Memory limit of kept answers, in bytes; the oldest are dropped first."""
_OVERHEAD_BYTES: Final = 512
"""Estimated memory of a kept answer beside its serialized state."""

CallKey: TypeAlias = tuple[str, ...]
"""Identity of a call: equal keys are one call."""


class ServerStoppingError(Exception):
    """The server stopped before the call ended."""


class NotBegunError(Exception):
    """The server stops, and begins no new call."""


class ProviderCall:
    """Call in progress or ended. Any number of RPCs may wait for it."""

    def __init__(self) -> None:
        self._end: pb.TaskState | BaseException | None = None
        """Final state or exception; None: the call is in progress."""
        self._progress: pb.Running | None = None
        self._waiters: set[asyncio.Future[None]] = set()
        """One for each RPC that waits for the next change."""

    async def answer(self) -> pb.TaskState:
        """Return the final state of the call. Raises the call's exception."""
        while self._end is None:
            await self._change()
        if isinstance(self._end, BaseException):
            raise self._end
        return self._end

    async def ends_within(self, seconds: float) -> bool:
        """Wait for the end of the call, its next partial image or `seconds`. Return whether the call has ended."""
        if self._end is None:
            timer = asyncio.get_running_loop().call_later(seconds, self._wake)
            try:
                await self._change()
            finally:
                timer.cancel()
        return self._end is not None

    async def states(self) -> AsyncIterator[pb.TaskState]:
        """Yield a running state for each change of the partial images, and last the final state.

        Raises the call's exception.
        """
        seen = 0
        while True:
            if self._progress and len(self._progress.partial_images) > seen:
                seen = len(self._progress.partial_images)
                yield pb.TaskState(running=self._progress)
            elif self._end is not None:
                yield await self.answer()
                return
            else:
                await self._change()

    async def on_progress(self, running: pb.Running) -> None:
        """Publish the partial images so far."""
        self._progress = pb.Running()
        self._progress.CopyFrom(running)
        self._wake()

    def end(self, result: pb.TaskState | BaseException) -> None:
        """Publish the final state, or the call's exception."""
        self._end = result
        self._wake()

    async def _change(self) -> None:
        """Wait for the next partial image, or the end of the call."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)


class ProviderCalls:
    """Calls of one family's server. `clock` returns monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, answer_bytes: int = ANSWER_BYTES) -> None:
        self._clock = clock
        self._answer_bytes = answer_bytes
        self._open: dict[CallKey, ProviderCall] = {}
        self._answers: dict[CallKey, tuple[float, bytes]] = {}
        """Kept answers, oldest first: expiry time and serialized state."""
        self._kept_bytes = 0
        self._accepting = True
        self._tasks: set[asyncio.Task[None]] = set()

    def find(self, key: CallKey) -> ProviderCall | None:
        """Return the call in progress, or the ended one whose answer is kept; None for an unknown call."""
        if call := self._open.get(key):
            return call
        self._expire()
        if kept := self._answers.get(key):
            call = ProviderCall()
            call.end(pb.TaskState.FromString(kept[1]))
            return call
        return None

    def join(self, key: CallKey, work: Work, keep: Callable[[pb.TaskState], bool]) -> ProviderCall:
        """Return the call with this key, started with `work` where it is unknown.

        `keep` decides whether the answer is kept after the call; an exception never is. Raises NotBegunError after
        `refuse_new`.
        """
        if call := self.find(key):
            return call
        if not self._accepting:
            raise NotBegunError
        call = self._open[key] = ProviderCall()
        task = asyncio.create_task(self._run(key, call, work, keep))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return call

    def refuse_new(self) -> None:
        """Begin no further call."""
        self._accepting = False

    async def drain(self, seconds: float) -> None:
        """Wait at most `seconds` for the calls in progress, then cancel the rest."""
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=seconds)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)

    async def _run(self, key: CallKey, call: ProviderCall, work: Work, keep: Callable[[pb.TaskState], bool]) -> None:
        try:
            state = await work(call.on_progress)
        except BaseException as error:
            del self._open[key]
            call.end(ServerStoppingError() if isinstance(error, asyncio.CancelledError) else error)
            if not isinstance(error, Exception):
                raise
        else:
            del self._open[key]
            if keep(state):
                self._keep(key, state)
            call.end(state)

    def _keep(self, key: CallKey, state: pb.TaskState) -> None:
        data = state.SerializeToString()
        self._answers[key] = (self._clock() + ANSWER_SECONDS, data)
        self._kept_bytes += len(data) + _OVERHEAD_BYTES
        self._expire()

    def _expire(self) -> None:
        now = self._clock()
        while self._answers:
            key = next(iter(self._answers))
            expires_at, data = self._answers[key]
            if expires_at > now and self._kept_bytes <= self._answer_bytes:
                return
            del self._answers[key]
            self._kept_bytes -= len(data) + _OVERHEAD_BYTES
