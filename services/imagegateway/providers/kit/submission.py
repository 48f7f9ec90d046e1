"""One call to a provider, from its first request to an outcome: repeats that cost nothing, pauses, cancellation."""

from __future__ import annotations

import asyncio
import itertools
import random
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from imagegateway.providers.kit.error_table import NOT_BEGUN, Failure
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from imagegateway.providers.kit.adapter import Call, Outcome
    from imagegateway.providers.kit.route_pauses import RoutePauses
    from imagegateway.providers.kit.task_state import Item

TRIES: Final = 4
"""Most requests for one call, as long as none of them can have been accepted."""
MAX_PAUSE: Final = 20.0
"""Longest pause between such requests; a provider that asks for more has its failure passed on."""
SHARED_PAUSE: Final = 2.0
"""Longest pause of everyone who uses a key, where its provider named none."""

CANCELLED: Final = Failure(
    ErrorReason.ERROR_REASON_CANCELLED, "The job was cancelled before the provider was called."
)


@dataclass(slots=True)
class OpenStart:
    """A start that is under way: which of its calls are at the provider now, and whether it was cancelled."""

    route: str
    at_provider: dict[int, Call] = field(default_factory=dict)
    """The calls whose request is sent and not answered, by `Call.index`."""
    items: list[Item] = field(default_factory=list)
    """The calls that were answered, and where they stand."""
    _cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def cancelled(self) -> bool:
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """End every pause, and send no further request."""
        self._cancelled.set()

    @contextmanager
    def sending(self, call: Call) -> Iterator[None]:
        """Count a call as being at the provider."""
        self.at_provider[call.index] = call
        try:
            yield
        finally:
            del self.at_provider[call.index]

    async def pause(self, sleeping: Awaitable[Any]) -> None:
        """Wait until `sleeping` is over, or the start is cancelled."""
        waits = [asyncio.ensure_future(sleeping), asyncio.ensure_future(self._cancelled.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()


class OpenStarts:
    """The starts of a family that are under way, by job."""

    def __init__(self) -> None:
        self._by_job: dict[str, OpenStart] = {}

    @contextmanager
    def open(self, job_id: str, route: str) -> Iterator[OpenStart]:
        """Begin a start; within the block it is found."""
        start = self._by_job[job_id] = OpenStart(route)
        try:
            yield start
        finally:
            if self._by_job.get(job_id) is start:
                del self._by_job[job_id]

    def find(self, job_id: str) -> OpenStart | None:
        """Return the job's start, if it is under way here."""
        return self._by_job.get(job_id)

    def at_provider(self, route: str) -> int:
        """Return the number of calls that are at the route's provider."""
        return sum(len(start.at_provider) for start in self._by_job.values() if start.route == route)


@dataclass(frozen=True, slots=True)
class Submitter:
    """Makes calls. What can't have been accepted is repeated for `retry_seconds` at most, pauses included; a 5xx once
    at most, and only where `Failure.again` says that another call may be made.
    """

    pauses: RoutePauses
    retry_seconds: float
    clock: Callable[[], float]
    sleep: Callable[[float], Any]

    async def submit(
        self,
        send: Callable[[], Awaitable[Outcome]],
        *,
        start: OpenStart,
        route: str,
        key: str,
        tries: int,
    ) -> Outcome:
        """Return what came of a call; with one try it neither waits nor repeats what another route may take."""
        deadline: float | None = None
        sent_again = False
        for attempt in itertools.count(1):
            pause = self.pauses.remaining(route, key)
            if pause > 0:
                deadline = deadline or self.clock() + self.retry_seconds
                if tries == 1 or self.clock() + pause > deadline:
                    return _busy(pause)
                await start.pause(self.sleep(pause))
            if start.cancelled:
                return CANCELLED
            outcome = await send()
            if not isinstance(outcome, Failure) or not _repeatable(outcome) or (outcome.again and sent_again):
                return outcome
            deadline = deadline or self.clock() + self.retry_seconds
            wait = 0.0 if outcome.accepted else self._pause_after(outcome, attempt, route, key)
            last = attempt >= (TRIES if outcome.accepted else tries)
            if last or wait > MAX_PAUSE or self.clock() + wait > deadline:
                return outcome
            sent_again = sent_again or outcome.again
            if wait:
                spread = wait * random.uniform(1, 1.1)  # noqa: S311  only spreads load
                await start.pause(self.sleep(min(spread, deadline - self.clock())))
        raise AssertionError("unreachable")

    def _pause_after(self, failure: Failure, attempt: int, route: str, key: str) -> float:
        """Return the seconds until a call that was not taken may be repeated; a limit pauses everyone on its key."""
        wait = failure.retry_after if failure.retry_after is not None else 0.5 * 2**attempt
        if failure.reason == ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED and wait <= MAX_PAUSE:
            self.pauses.extend(route, key, wait if failure.retry_after is not None else min(wait, SHARED_PAUSE))
        return wait


async def submit_all(submits: Sequence[Callable[[int], Awaitable[Outcome]]], *, fail_fast: bool) -> list[Outcome]:
    """Make calls side by side; each of `submits` takes the number of its tries. With `fail_fast` each is made once,
    unless others of them were taken: then no other route may have the task, and the rest is worth the usual patience.
    """
    outcomes = list(await asyncio.gather(*(submit(1 if fail_fast else TRIES) for submit in submits)))
    again = [index for index, outcome in enumerate(outcomes) if not_taken(outcome)]
    if fail_fast and len(again) < len(submits):
        late = await asyncio.gather(*(submits[index](TRIES) for index in again))
        for index, outcome in zip(again, late, strict=True):
            outcomes[index] = outcome
    return outcomes


def not_taken(outcome: Outcome) -> bool:
    """Whether the provider surely took nothing, and this or another route may yet take it."""
    return isinstance(outcome, Failure) and not outcome.accepted and _repeatable(outcome)


def _repeatable(failure: Failure) -> bool:
    return failure.again or (not failure.accepted and failure.reason in NOT_BEGUN)


def _busy(pause: float) -> Failure:
    return Failure(
        ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED,
        "The provider is receiving too many requests.",
        retry_after=pause,
    )
