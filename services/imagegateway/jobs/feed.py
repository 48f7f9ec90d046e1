"""Job feed: this replica's live view of all jobs, and subscriptions to their changes."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from imagegateway.jobs import states
from imagegateway.jobs.live_jobs import LiveJobs
from imagegateway.platform import logs
from imagegateway.platform.clock import unix_millis

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from imagegateway.jobs.list_index import JobListIndex
    from imagegateway.jobs.stream import Entry, JobStream
    from imagegateway.platform.supervision import Supervisor

MAX_UNREAD: Final = 64
"""Most unread changes of a subscriber; with more, the subscription fails."""

_BATCH: Final = 100
"""Subscribers of one job that are notified in one iteration of the event loop."""
_log = logs.get(__name__)


class TooSlowError(Exception):
    """A subscriber has more than `MAX_UNREAD` unread changes."""


class ClosingError(Exception):
    """This replica stops; the subscriber reconnects to another one."""


@dataclass(slots=True, eq=False)
class Subscription:
    """One subscriber of one job."""

    unread: deque[Entry] = field(default_factory=deque)
    waiting: asyncio.Future[None] | None = None
    """Wait of the subscriber for a change, if it waits."""
    overrun: bool = False
    closing: bool = False
    patient: bool = False
    """True for a call that waits for the job's end: such a subscription outlives streams while this replica stops."""

    def push(self, entry: Entry) -> None:
        """Add a change, or fail the subscription when too many are unread."""
        if len(self.unread) >= MAX_UNREAD:
            self.overrun = True
            self.unread.clear()
        elif not self.overrun:
            self.unread.append(entry)
        self.wake()

    def wake(self) -> None:
        """End the wait for a change."""
        if self.waiting and not self.waiting.done():
            self.waiting.set_result(None)

    async def next(self, seconds: float | None = None) -> Entry | None:
        """Return the next change; None after `seconds` without one. Raises TooSlowError, ClosingError."""
        if not self.unread and not self.overrun and not self.closing:
            loop = asyncio.get_running_loop()
            self.waiting = loop.create_future()
            timer = None if seconds is None else loop.call_later(seconds, self.wake)
            try:
                await self.waiting
            finally:
                if timer:
                    timer.cancel()
        if self.overrun:
            raise TooSlowError
        if self.unread:
            return self.unread.popleft()
        if self.closing:
            raise ClosingError
        return None


class JobFeed:
    """Replicated live view of jobs, fed by the stream and by this replica's own writes."""

    def __init__(self, stream: JobStream, index: JobListIndex) -> None:
        self._stream = stream
        self._index = index
        self._subscriptions: dict[str, set[Subscription]] = {}
        self._position = index.position
        """Sequence up to which the feed has been read."""
        self._current_at = unix_millis()
        """Time of the newest change that has been read, or at which all changes had been read."""
        self._progress = asyncio.Event()
        self._listeners: list[Callable[[Entry], None]] = []
        self._closing: set[bool] = set()
        """Values of `Subscription.patient` that are closing."""
        self._own_writes: dict[str, int] = {}
        """Sequence of the newest own write of each job that the feed has not brought yet."""
        self.live = LiveJobs()
        """Unfinished jobs, and ended ones whose webhook is pending or whose provider call is open."""

    def stored_bytes(self, tenant: str) -> int:
        """Return the size of a tenant's records in the stream, ended jobs included."""
        return self._index.stored_bytes(tenant)

    def lag(self) -> float:
        """Return the seconds by which this view of the jobs is late; a second at most while the stream is idle."""
        return max(0.0, (unix_millis() - self._current_at) / 1000)

    def add_listener(self, listener: Callable[[Entry], None]) -> None:
        """Call `listener` with every change of any job."""
        self._listeners.append(listener)

    async def start(self, supervisor: Supervisor) -> None:
        """Catch up with the stream, then follow it.

        Raises RuntimeError when the stream has lost records that this replica has seen: serving from a damaged or
        older store would lose jobs silently.
        """
        last = await self._stream.last_sequence()
        if last < self._position:
            raise RuntimeError(
                f"the job stream ends at {last}, but {self._position} was seen before: it has lost "
                "records. Restore it, or delete the jobs-*.sqlite files in the data directory to accept the loss."
            )
        for job_id in await self._index.unfinished():
            entry = await self._stream.last(job_id)
            if entry:
                self._apply(entry)
        supervisor.spawn("job feed", self._follow())
        await self.catch_up()

    async def catch_up(self) -> None:
        """Wait until the feed has seen every write made before the call. Raises OutcomeUnknownError."""
        await self.wait_for(await self._stream.newest())

    async def wait_for(self, seq: int) -> None:
        """Wait until the feed has read up to a sequence."""
        while self._position < seq:
            self._progress.clear()
            await self._progress.wait()

    def apply_own_write(self, entry: Entry) -> None:
        """Apply this replica's own write at once; the feed brings the same write later."""
        if entry.seq <= self._position:
            return  # the feed was faster than the acknowledgement, and may have brought newer changes since
        self._own_writes[entry.record.id] = entry.seq
        self._apply(entry)

    def _apply(self, entry: Entry) -> None:
        record = entry.record
        known = self.live.summary(record.id)
        if known and known.seq >= entry.seq:
            return
        self._update_live(entry)
        self._notify(list(self._subscriptions.get(record.id, ())), entry)
        for listener in self._listeners:
            listener(entry)

    def _notify(self, subscriptions: list[Subscription], entry: Entry) -> None:
        """Notify subscribers in batches: thousands at once would block the event loop."""
        for subscription in subscriptions[:_BATCH]:
            subscription.push(entry)
        if rest := subscriptions[_BATCH:]:
            asyncio.get_running_loop().call_soon(self._notify, rest, entry)

    def _update_live(self, entry: Entry) -> None:
        if entry.ended and not entry.record.webhook.next_at and not entry.record.call_open:
            self.live.drop(entry.record)
        else:
            self.live.hold(entry)

    @contextlib.contextmanager
    def subscribe(self, job_id: str, *, patient: bool = False) -> Iterator[Subscription]:
        """Subscribe to a job's changes from now on. `patient`: outlive streams while this replica stops."""
        subscription = Subscription(patient=patient, closing=patient in self._closing)
        self._subscriptions.setdefault(job_id, set()).add(subscription)
        try:
            yield subscription
        finally:
            remaining = self._subscriptions[job_id]
            remaining.discard(subscription)
            if not remaining:
                del self._subscriptions[job_id]

    def end_streams(self, *, patient: bool = False) -> None:
        """Close all streams because this replica stops, and with `patient` also calls that wait for a job's end."""
        self._closing = {False, patient}
        for subscriptions in self._subscriptions.values():
            for subscription in subscriptions:
                if subscription.patient in self._closing:
                    subscription.closing = True
                    subscription.wake()

    async def changes(
        self, job_id: str, after: int | None, quiet: float | None = None, *, patient: bool = False
    ) -> AsyncIterator[Entry | None]:
        """Yield a job's changes in order up to its end: those after a sequence, or the current state first.

        Yield None after each `quiet` seconds without a change, and nothing for a job that does not exist. `patient`
        as in `subscribe`. Raises TooSlowError, ClosingError, OutcomeUnknownError.
        """
        with self.subscribe(job_id, patient=patient) as subscription:
            last = -1
            if after is None:
                current = await self._stream.last(job_id)
                missed = [current] if current else []
            else:
                missed = [entry async for entry in self._stream.history(job_id, after)]
            for entry in missed:
                yield entry
                if entry.ended:
                    return
                last = entry.seq
            while True:
                change = await subscription.next(quiet)
                if change is None:
                    yield None
                elif change.seq > last:
                    yield change
                    if change.ended:
                        return
                    last = change.seq

    async def ended(self, job_id: str, seconds: float) -> Entry | None:
        """Return the job as soon as it has ended; None after `seconds`. Raises OutcomeUnknownError."""
        return await self.when(job_id, lambda entry: entry.ended, seconds)

    async def when(self, job_id: str, wanted: Callable[[Entry], bool], seconds: float) -> Entry | None:
        """Return the job as soon as `wanted` accepts it; None after `seconds`. Raises OutcomeUnknownError."""
        deadline = asyncio.get_running_loop().time() + seconds
        with self.subscribe(job_id, patient=True) as subscription:
            entry = self.live.get(job_id) or await self._stream.last(job_id)
            while entry is None or not wanted(entry):
                left = deadline - asyncio.get_running_loop().time()
                try:
                    changed = await subscription.next(left) if left > 0 else None
                except (TooSlowError, ClosingError):
                    changed = None
                if changed is None:
                    return None
                entry = changed
            return entry

    async def _follow(self) -> None:
        async for item in self._stream.feed(self._position):
            entry, seq = (None, item) if isinstance(item, int) else (item, item.seq)
            if entry is not None:
                try:
                    self._apply_from_feed(entry)
                except Exception:  # noqa: BLE001  a failing listener must not stop the feed
                    _log.exception("feed_entry_failed", seq=seq)
            self._index.add(seq, entry)
            self._current_at = entry.record.updated_at if entry else unix_millis()
            self._position = seq
            self._progress.set()

    def _apply_from_feed(self, entry: Entry) -> None:
        job_id = entry.record.id
        own = self._own_writes.get(job_id, -1)
        if own <= entry.seq:
            self._own_writes.pop(job_id, None)
        if own < entry.seq:
            self._apply(entry)


def public_type(entry: Entry) -> str:
    """Return the public event type of a change."""
    if entry.record.state == states.RUNNING or entry.record.partial_images:
        return "job.progress"
    return f"job.{states.PUBLIC[entry.record.state]}"
