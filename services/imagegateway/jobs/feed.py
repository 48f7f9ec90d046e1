"""This replica's live view of all jobs: one ordered feed in, waiting calls and subscribers out."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from imagegateway.jobs import states
from imagegateway.jobs.held_bytes import HeldBytes
from imagegateway.platform import logs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from imagegateway.jobs.list_index import JobIndex
    from imagegateway.jobs.stream import Entry, JobStream
    from imagegateway.platform.supervision import Supervisor

MAX_BEHIND: Final = 64
"""Events that a subscriber may leave unread before it is dropped."""

_AT_ONCE: Final = 100
"""Subscribers of one job that learn of a change in one turn of the loop."""
_log = logs.get(__name__)


class TooSlowError(Exception):
    """A subscriber left too much unread."""


class ClosingError(Exception):
    """This replica stops; another one will go on."""


@dataclass(slots=True, eq=False)
class Subscription:
    """One follower of one job."""

    unread: deque[Entry] = field(default_factory=deque)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    overrun: bool = False
    closing: bool = False
    patient: bool = False
    """A call that waits for an end: it is given some time when this replica stops, a stream is not."""

    def push(self, entry: Entry) -> None:
        if len(self.unread) >= MAX_BEHIND:
            self.overrun = True
            self.unread.clear()
        elif not self.overrun:
            self.unread.append(entry)
        self.wake.set()

    async def next(self, seconds: float | None = None) -> Entry | None:
        """The next change; None when there is none for that long. Raises TooSlowError, ClosingError."""
        if not self.unread and not self.overrun and not self.closing:
            self.wake.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self.wake.wait()
            except TimeoutError:
                return None
        if self.overrun:
            raise TooSlowError
        if not self.unread:
            raise ClosingError
        return self.unread.popleft()


class Hub:
    """What is known of jobs that have not ended, and who waits for what."""

    def __init__(self, stream: JobStream, index: JobIndex) -> None:
        self._stream = stream
        self._index = index
        self._subscriptions: dict[str, set[Subscription]] = {}
        self._reached = index.position
        self._progress = asyncio.Event()
        self._watchers: list[Callable[[Entry], None]] = []
        self._closing: set[bool] = set()  # whether streams, and patient waits, are to end
        self._ahead: dict[str, int] = {}  # newest own writes that the feed has not brought yet
        self.held = HeldBytes()
        """What the records in `live` take up."""
        self.live: dict[str, Entry] = {}
        """Jobs that have not ended, and ended ones whose webhook is not delivered or whose provider call goes on."""

    def stored(self, tenant: str) -> int:
        """Return the bytes that a tenant's records take up in the stream, those of ended jobs included."""
        return self._index.stored(tenant)

    def watch(self, watcher: Callable[[Entry], None]) -> None:
        """Call `watcher` with every change that this replica learns of."""
        self._watchers.append(watcher)

    async def start(self, supervisor: Supervisor) -> None:
        """Catch up with the stream, then follow it.

        Raises RuntimeError when the stream has lost what this replica has seen of it: better not to serve than to
        serve quietly from a damaged or older store.
        """
        last = await self._stream.last_sequence()
        if last < self._reached:
            raise RuntimeError(
                f"the job stream ends at {last}, but {self._reached} was seen before: it has lost "
                "records. Restore it, or delete the jobs-*.sqlite files in the data directory to accept the loss."
            )
        for job_id in await self._index.unended():
            entry = await self._stream.last(job_id)
            if entry:
                self._apply(entry)
        supervisor.spawn("job feed", self._follow())
        await self.catch_up()

    async def catch_up(self) -> None:
        """Wait until all that has been written by now has been seen. Raises OutcomeUnknownError."""
        await self.reach(await self._stream.newest())

    async def reach(self, seq: int) -> None:
        """Wait until the feed has come as far as a sequence."""
        while self._reached < seq:
            self._progress.clear()
            await self._progress.wait()

    def wrote(self, entry: Entry) -> None:
        """Take in this replica's own write at once: the feed will bring it again, later."""
        if entry.seq <= self._reached:
            return  # the feed was faster than the answer, and may have brought newer ones since
        self._ahead[entry.record.id] = entry.seq
        self._apply(entry)

    def _apply(self, entry: Entry) -> None:
        record = entry.record
        known = self.live.get(record.id)
        if known and known.seq >= entry.seq:
            return
        self._keep(entry)
        self._tell(list(self._subscriptions.get(record.id, ())), entry)
        for watcher in self._watchers:
            watcher(entry)

    def _tell(self, subscriptions: list[Subscription], entry: Entry) -> None:
        """Some now, the others in later turns of the loop: thousands at once would keep everybody else waiting."""
        for subscription in subscriptions[:_AT_ONCE]:
            subscription.push(entry)
        if rest := subscriptions[_AT_ONCE:]:
            asyncio.get_running_loop().call_soon(self._tell, rest, entry)

    def _keep(self, entry: Entry) -> None:
        if entry.ended and not entry.record.webhook.next_at and not entry.record.call_open:
            self.live.pop(entry.record.id, None)
            self.held.drop(entry.record.id)
        else:
            self.live[entry.record.id] = entry
            self.held.hold(entry.record.id, entry.record.tenant, entry.record.ByteSize())

    @contextlib.contextmanager
    def subscribe(self, job_id: str, *, patient: bool = False) -> Iterator[Subscription]:
        """Follow a job from now on. `patient`: its end is waited for when this replica stops, for some time."""
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
        """This replica stops: let streams end, and with `patient` also the calls that wait for a job's end."""
        self._closing = {False, patient}
        for subscriptions in self._subscriptions.values():
            for subscription in subscriptions:
                if subscription.patient in self._closing:
                    subscription.closing = True
                    subscription.wake.set()

    async def changes(
        self, job_id: str, after: int | None, quiet: float | None = None, *, patient: bool = False
    ) -> AsyncIterator[Entry | None]:
        """A job's changes, in order, up to its end: those after a sequence, or the present state first.

        None says that nothing has come for `quiet` seconds. Nothing at all comes for a job that does not exist.
        `patient` as in `subscribe`. Raises TooSlowError, ClosingError, OutcomeUnknownError.
        """
        with self.subscribe(job_id, patient=patient) as subscription:
            last = -1
            if after is None:
                present = await self._stream.last(job_id)
                missed = [present] if present else []
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
        """The job's end, waited for; None when it has not come in that time. Raises OutcomeUnknownError."""
        return await self.when(job_id, lambda entry: entry.ended, seconds)

    async def when(self, job_id: str, wanted: Callable[[Entry], bool], seconds: float) -> Entry | None:
        """The job once it is as wanted; None when it does not become so in that time."""
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
        async for item in self._stream.feed(self._reached):
            entry, seq = (None, item) if isinstance(item, int) else (item, item.seq)
            if entry is not None:
                try:
                    self._take(entry)
                except Exception:  # noqa: BLE001  no watcher may stop the feed
                    _log.exception("feed_entry_failed", seq=seq)
            self._index.note(seq, entry)
            self._reached = seq
            self._progress.set()

    def _take(self, entry: Entry) -> None:
        job_id = entry.record.id
        ahead = self._ahead.get(job_id, -1)
        if ahead <= entry.seq:
            self._ahead.pop(job_id, None)
        if ahead < entry.seq:
            self._apply(entry)


def public_type(entry: Entry) -> str:
    """Name of the event that a change is."""
    if entry.record.state == states.RUNNING or entry.record.partial_images:
        return "job.progress"
    return f"job.{states.PUBLIC[entry.record.state]}"
