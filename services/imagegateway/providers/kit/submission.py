"""Submission of one call: retries that cost nothing, pauses, and cancellation."""

from __future__ import annotations

import asyncio
import itertools
import random
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from imagegateway.platform import metrics
from imagegateway.platform.errors import code_of
from imagegateway.providers.kit.error_table import NOT_STARTED, Failure
from imagegateway.providers.kit.parallel import in_parallel
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from imagegateway.providers.kit.call import Call
    from imagegateway.providers.kit.outcomes import Outcome
    from imagegateway.providers.kit.route_pauses import RoutePauses
    from imagegateway.providers.kit.task_state import CallState

MAX_ATTEMPTS: Final = 4
"""Most requests for one call, as long as the provider certainly accepted none of them."""
MAX_PAUSE: Final = 20.0
"""Longest pause between such requests, in seconds; a provider that asks for more has its failure passed on."""
SHARED_PAUSE: Final = 2.0
"""Longest pause, in seconds, of all calls with a key whose provider named no pause."""

CANCELLED: Final = Failure(
    ErrorReason.ERROR_REASON_CANCELLED, "The job was cancelled before the provider was called."
)


@dataclass(slots=True)
class ActiveStart:
    """Start in progress: its calls that are at the provider now, and whether the start was cancelled."""

    route: str
    at_provider: dict[int, Call] = field(default_factory=dict)
    """Calls whose request is sent and has no response yet, by `Call.index`."""
    states: list[CallState] = field(default_factory=list)
    """States of the calls that have a response."""
    _cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_cancelled(self) -> bool:
        """Return whether the start was cancelled."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """End every pause, and send no further request."""
        self._cancelled.set()

    @contextmanager
    def sending(self, call: Call) -> Iterator[None]:
        """Count the call as being at the provider within the block."""
        self.at_provider[call.index] = call
        try:
            yield
        finally:
            del self.at_provider[call.index]

    async def pause(self, sleep: Awaitable[Any]) -> None:
        """Wait until `sleep` returns or the start is cancelled."""
        waits = [asyncio.ensure_future(sleep), asyncio.ensure_future(self._cancelled.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()


class ActiveStarts:
    """Starts in progress of a family, by job."""

    def __init__(self) -> None:
        self._by_job: dict[str, ActiveStart] = {}

    @contextmanager
    def open(self, job_id: str, route: str) -> Iterator[ActiveStart]:
        """Yield a new start, which `find` returns within the block."""
        start = self._by_job[job_id] = ActiveStart(route)
        try:
            yield start
        finally:
            if self._by_job.get(job_id) is start:
                del self._by_job[job_id]

    def find(self, job_id: str) -> ActiveStart | None:
        """Return the job's start if it is in progress here."""
        return self._by_job.get(job_id)

    def at_provider(self, route: str) -> int:
        """Return the number of calls that are at the route's provider."""
        return sum(len(start.at_provider) for start in self._by_job.values() if start.route == route)


@dataclass(frozen=True, slots=True)
class Submitter:
    """Sends calls, with retries.

    A call that the provider certainly did not accept is repeated for at most `retry_seconds`, pauses included. A 5xx
    is repeated once, and only where `Failure.retry_once` allows it. `clock` returns seconds.
    """

    pauses: RoutePauses
    retry_seconds: float
    clock: Callable[[], float]
    sleep: Callable[[float], Any]

    async def submit(
        self,
        send: Callable[[], Awaitable[Outcome]],
        *,
        start: ActiveStart,
        route: str,
        key: str,
        max_attempts: int,
    ) -> Outcome:
        """Return the outcome of a call. With one attempt, a failure that another route may serve is not retried."""
        deadline: float | None = None
        has_retried_once = False
        failure: Failure | None = None
        for attempt in itertools.count(1):
            pause = self.pauses.remaining(route, key)
            if pause > 0:
                deadline = deadline or self.clock() + self.retry_seconds
                if max_attempts == 1 or self.clock() + pause > deadline:
                    return _rate_limited(pause)
                await start.pause(self.sleep(pause))
            if start.is_cancelled:
                return CANCELLED
            if failure:
                metrics.PROVIDER_RETRIES.labels(route, code_of(failure.reason)).inc()
            outcome = await send()
            if not isinstance(outcome, Failure) or not _is_retryable(outcome):
                return outcome
            if outcome.retry_once and has_retried_once:
                return outcome
            deadline = deadline or self.clock() + self.retry_seconds
            wait = 0.0 if outcome.may_be_billed else self._pause_after(outcome, attempt, route, key)
            is_last = attempt >= (MAX_ATTEMPTS if outcome.may_be_billed else max_attempts)
            if is_last or wait > MAX_PAUSE or self.clock() + wait > deadline:
                return outcome
            failure = outcome
            has_retried_once = has_retried_once or outcome.retry_once
            if wait:
                jittered = wait * random.uniform(1, 1.1)  # noqa: S311  only spreads load
                await start.pause(self.sleep(min(jittered, deadline - self.clock())))
        raise AssertionError("unreachable")

    def _pause_after(self, failure: Failure, attempt: int, route: str, key: str) -> float:
        """Return the seconds until the next attempt; a rate limit pauses all calls with the key."""
        wait = failure.retry_after if failure.retry_after is not None else 0.5 * 2**attempt
        if failure.reason == ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED and wait <= MAX_PAUSE:
            self.pauses.extend(route, key, wait if failure.retry_after is not None else min(wait, SHARED_PAUSE))
        return wait


async def submit_all(submits: Sequence[Callable[[int], Awaitable[Outcome]]], *, fail_fast: bool) -> list[Outcome]:
    """Return the outcomes of calls made side by side; each of `submits` takes its number of attempts.

    With `fail_fast` each call has one attempt, unless the provider accepted others of them: then no other route may
    take the task, and the rest is retried as usual.
    """
    outcomes = await in_parallel(submit(1 if fail_fast else MAX_ATTEMPTS) for submit in submits)
    retryable = [index for index, outcome in enumerate(outcomes) if is_safe_to_retry(outcome)]
    if fail_fast and len(retryable) < len(submits):
        retried = await in_parallel(submits[index](MAX_ATTEMPTS) for index in retryable)
        for index, outcome in zip(retryable, retried, strict=True):
            outcomes[index] = outcome
    return outcomes


def is_safe_to_retry(outcome: Outcome) -> bool:
    """Return whether the provider certainly accepted nothing, and this or another route may still take the call."""
    return isinstance(outcome, Failure) and not outcome.may_be_billed and _is_retryable(outcome)


def _is_retryable(failure: Failure) -> bool:
    return failure.retry_once or (not failure.may_be_billed and failure.reason in NOT_STARTED)


def _rate_limited(pause: float) -> Failure:
    return Failure(
        ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED,
        "The provider is receiving too many requests.",
        retry_after=pause,
    )
