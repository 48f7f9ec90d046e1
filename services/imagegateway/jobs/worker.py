"""Worker: runs this replica's jobs at their providers, and writes what came of each call.

Nothing is called before it is written, and nothing that may have been accepted is called again. A job that waits at
its provider is an entry in a heap, not a coroutine; all that a successor needs stands in its record.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from imagegateway.jobs import states, transitions
from imagegateway.jobs.cleanup import delete_inputs, log_finished
from imagegateway.jobs.stream import RefusedError, StaleError
from imagegateway.jobs.timers import Timers
from imagegateway.platform import logs
from imagegateway.platform.errors import INTERNAL
from imagegateway.provider.v1 import provider_service_pb2 as provider
from imagegateway.providers.kit.task_state import failed_task

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.jobs.admission import Turns
    from imagegateway.jobs.background_tasks import Background
    from imagegateway.jobs.calls import Calls
    from imagegateway.jobs.feed import Hub
    from imagegateway.jobs.routing import Routing
    from imagegateway.jobs.stream import Entry, JobStream
    from imagegateway.media.store import MediaStore
    from imagegateway.v1.job_pb2 import Cost

    Price = Callable[[provider.ImageTask, provider.Done], Cost | None]

_AGAIN_SECONDS: Final = 1.0
_JITTER: Final = 0.1
_log = logs.get(__name__)


class Worker:
    """The provider calls of the jobs that this replica owns. `me`: this replica as an owner."""

    def __init__(
        self,
        *,
        stream: JobStream,
        hub: Hub,
        calls: Calls,
        store: MediaStore,
        price: Price,
        routing: Routing,
        turns: Turns,
        background: Background,
        me: str,
    ) -> None:
        self._stream = stream
        self._hub = hub
        self._calls = calls
        self._store = store
        self._price = price
        self._routing = routing
        self._turns = turns
        self._background = background
        self._me = me
        self._timers = Timers(lambda job_id: self.attend(job_id, self._poll(job_id)))
        self._steps: Counter[str] = Counter()
        self._calling: set[str] = set()
        """Jobs whose step waits for a start, and sees its end."""
        self._open: set[str] = set()
        """Ended jobs of this replica's whose call is open."""

    async def run(self) -> None:
        """Poll what is due, without end."""
        await self._timers.run()

    # ---- who goes on with a job

    def attend(self, job_id: str, step: Coroutine[Any, Any, object]) -> None:
        """Run a step of a job in the background; the job counts as busy until it is over."""
        self._steps[job_id] += 1
        self._background.spawn(self._counted(job_id, step))

    def busy(self, job_id: str) -> bool:
        """Return whether a step of a job is under way."""
        return job_id in self._steps

    def attends(self, job_id: str) -> bool:
        """Return whether something will go on with a job: a step, a timer or the queue."""
        return self.busy(job_id) or job_id in self._timers or self._turns.waits(job_id)

    def begin(self, entry: Entry) -> None:
        """Go on with a job whose record was just written and that nobody has called a provider for."""
        self._hub.wrote(entry)
        record = entry.record
        if record.owner != self._me:
            return
        if record.state == states.SUBMITTING:
            self.attend(record.id, self._call(entry, join=False))
        elif record.state in states.WAITING and self._hub.live.get(record.id) == entry:
            self._turns.wait(record)

    def resume(self, entry: Entry, pause: float = 0.0) -> None:
        """Go on with a job that nobody runs, from where its record says that it stands.

        `pause`: seconds until a running task is polled.
        """
        record = entry.record
        if record.call_open:
            self.attend(record.id, self._stop_call(entry))
        elif record.state in states.WAITING:
            self._turns.wait(record)
        elif record.state == states.SUBMITTING:
            self.attend(record.id, self._call(entry, join=True))
        elif record.state == states.RUNNING:
            self._again(record.id, pause)

    def follow(self, entry: Entry) -> None:
        """Take in a change of any job. When it ends while its call is open, its owner stops the call."""
        record = entry.record
        self._turns.follow(record)
        if not record.call_open or record.owner != self._me:
            self._open.discard(record.id)
        elif record.id not in self._open:
            self._open.add(record.id)
            if record.id in self._calling:
                self._background.spawn(self._calls.stop(record))
            else:
                self.attend(record.id, self._stop_call(entry))

    def expire(self, entry: Entry) -> None:
        """Fail a waiting job whose deadline has passed."""
        record = entry.record
        self._turns.leave(record.id)
        self.attend(record.id, self._apply(entry, failed_task(transitions.too_late(record), may_be_billed=False)))

    def give_back(self, job_id: str) -> None:
        """Free the slots that a job was to have and for which nothing is written; its newest record may hold some."""
        known = self._hub.live.get(job_id)
        if known is None:
            self._turns.leave(job_id)
        else:
            self._turns.follow(known.record)

    async def take_turn(self, job_id: str) -> None:
        """Start a queued job; its slots are counted already."""
        entry = self._hub.live.get(job_id)
        if entry is None or entry.record.state not in states.WAITING or entry.record.owner != self._me:
            self.give_back(job_id)
            return
        record = entry.copy()
        transitions.submitting(record)
        try:
            entry = await self._stream.advance(entry, record)
        except StaleError:
            self.give_back(job_id)
            return
        self._hub.wrote(entry)
        await self._call(entry, join=False)

    # ---- steps

    async def _call(self, entry: Entry, *, join: bool) -> None:
        """Call the provider for a submitting job, and wait for what the call comes to.

        `join`: another process has made the call, or may have.
        """
        job_id = entry.record.id
        if self._hub.live.get(job_id) != entry:  # cancelled, or taken over
            await self._superseded(entry, None if join else provider.TaskState())
            return
        self._calling.add(job_id)
        try:
            following = await self._called(entry, join=join)
            while following:  # another start costs nothing
                following = await self._called(following, join=False)
        finally:
            self._calling.discard(job_id)

    async def _called(self, entry: Entry, *, join: bool) -> Entry | None:
        """Make one call. Return the entry of a job that is to be called again at once."""
        hand_back = self._routing.next(entry.record) is not None
        try:
            entry, state = await self._calls.start(entry, self._previewed, join=join, hand_back=hand_back)
        except StaleError:
            await self._superseded(entry, None)
        except TimeoutError:
            await self._time_out(entry)
        else:
            return await self._apply(entry, state)
        return None

    async def _previewed(self, entry: Entry, running: provider.Running) -> Entry:
        """Write previews for those who watch. The outcome of the call stays open. Raises StaleError."""
        record = entry.copy()
        transitions.previewed(record, running)
        try:
            entry = await self._stream.advance(entry, record)
        except RefusedError:  # previews are not worth a job
            return entry
        self._hub.wrote(entry)
        return entry

    async def _poll(self, job_id: str) -> None:
        entry = self._hub.live.get(job_id)
        if entry is None or entry.record.owner != self._me:
            return
        record = entry.record
        running = record.state == states.RUNNING
        if not running and not (record.call_open and record.task_ref):
            return
        late = record.deadline < transitions.now()
        if late and running:
            await self._calls.stop(record)
            state: provider.TaskState | None = failed_task(transitions.too_late(record), may_be_billed=True)
        elif late:
            state = provider.TaskState()
        else:
            state = await self._calls.poll(record)
        if state is None:
            self._again(job_id, _AGAIN_SECONDS)
        elif running:
            await self._apply(entry, state)
        else:
            await self._end_call(entry, state)

    async def _apply(self, entry: Entry, state: provider.TaskState) -> Entry | None:
        """Write the state that a call came to. Return the entry of a job that is to be called again at once."""
        record = entry.copy()
        try:
            changed = self._fold(record, state)
        except Exception:  # noqa: BLE001  whatever happened, the job must end
            _log.exception("job_result_crashed", job_id=record.id)
            record, changed = entry.copy(), True
            transitions.failed(record, failed_task(INTERNAL, may_be_billed=True).failed)
        if changed:
            try:
                entry = await self._written(entry, record)
            except StaleError:
                await self._superseded(entry, state)
                return None
            self._hub.wrote(entry)
            record = entry.record
        if entry.ended:
            log_finished(record)
            await delete_inputs(self._store, record.upload_keys)
        elif record.state == states.RUNNING:
            self._again(record.id, _pause(state))
        elif record.state == states.SUBMITTING:
            return entry
        else:
            self._turns.wait(record)
        return None

    async def _written(self, entry: Entry, record: JobRecord) -> Entry:
        """Write a job's next record, or its failure where the server will never take that record; then the task
        that the record names is stopped.

        Raises StaleError.
        """
        try:
            return await self._stream.advance(entry, record)
        except RefusedError:
            _log.exception("job_record_refused", job_id=record.id)
            if record.state == states.RUNNING:
                self._background.spawn(self._calls.stop(record))
            failure = entry.copy()
            transitions.failed(failure, failed_task(INTERNAL, may_be_billed=True).failed)
            return await self._stream.advance(entry, failure)

    def _fold(self, record: JobRecord, state: provider.TaskState) -> bool:
        """Bring a record to a state. Return whether there is anything to write."""
        if state.HasField("running"):
            changed = transitions.running(record, state.running)
            if changed:
                self._routing.worked(record)
            return changed
        if state.HasField("done") and state.done.artifacts:
            self._routing.worked(record)
            transitions.completed(record, state.done, self._cost(record, state.done))
            return True
        failure = state.failed if state.HasField("failed") else transitions.nothing()
        self._routing.failed(record, failure)
        if not self._routing.begin_anew(record, failure):
            transitions.failed(record, failure)
        return True

    async def _time_out(self, entry: Entry) -> None:
        """Fail a job whose deadline came during its call, and wait for the call."""
        record = entry.copy()
        transitions.failed(
            record, failed_task(transitions.too_late(record), may_be_billed=True).failed, call_open=True
        )
        try:
            entry = await self._stream.advance(entry, record)
        except StaleError:
            await self._superseded(entry, None)
            return
        self._hub.wrote(entry)  # stops the call, see `follow`
        log_finished(record)
        await self._end_call(entry, await self._calls.joined(record))

    async def _superseded(self, entry: Entry, state: provider.TaskState | None) -> None:
        """Give way to another writer: the caller cancelled, or another replica took over.

        `state`: what the call came to; None while it may go on.
        """
        newer = await self._stream.last_patiently(entry.record.id)
        if newer is None or not newer.ended or newer.record.owner != self._me:
            return
        if state is None:
            state = await self._calls.joined(newer.record)
        await self._end_call(newer, state)

    # ---- calls of jobs that have ended

    async def _stop_call(self, entry: Entry) -> None:
        """Stop the open call of an ended job, and wait for its end where it can't be stopped."""
        record = entry.record
        stopped = await self._calls.stop(record)
        if not record.task_ref:
            await self._end_call(entry, await self._calls.joined(record))
        elif stopped:
            await self._end_call(entry, provider.TaskState())
        elif record.id not in self._timers:
            self._again(record.id, _AGAIN_SECONDS)

    async def _end_call(self, entry: Entry, state: provider.TaskState) -> None:
        """Write what the open call of an ended job came to: the task that it goes on as, or its end and cost."""
        if state.HasField("running"):
            known = bool(entry.record.task_ref)
            entry = await self._amend(entry, lambda record: _name_task(record, state.running.task_ref))
            if not entry.record.call_open:
                return
            if known or not await self._calls.stop(entry.record):
                self._again(entry.record.id, _pause(state))
                return
        cost = self._cost(entry.record, state.done) if state.HasField("done") else None
        entry = await self._amend(entry, lambda record: transitions.call_ended(record, cost))
        await delete_inputs(self._store, entry.record.upload_keys)

    async def _amend(self, entry: Entry, change: Callable[[JobRecord], bool]) -> Entry:
        """Change an ended job's record, whatever others write of it meanwhile. Return the newest entry.

        `change` returns whether there is anything to write.
        """
        while True:
            record = entry.copy()
            if not change(record):
                return entry
            try:
                entry = await self._stream.advance(entry, record)
            except StaleError:
                newer = await self._stream.last_patiently(record.id)
                if newer is None:  # its time in the stream is over
                    return entry
                entry = newer
            else:
                self._hub.wrote(entry)
                return entry

    # ---- parts

    def _cost(self, record: JobRecord, done: provider.Done) -> Cost | None:
        try:
            return self._price(record.task, done)
        except Exception:  # noqa: BLE001  a fault in the prices is no reason to lose an image that is paid for
            _log.exception("job_price_crashed", job_id=record.id)
            return None

    def _again(self, job_id: str, seconds: float) -> None:
        # Jobs that were started together are not polled together without end.
        jitter = random.uniform(1, 1 + _JITTER)  # noqa: S311  only spreads load
        self._timers.set(time.time() + seconds * jitter, job_id)

    async def _counted(self, job_id: str, step: Coroutine[Any, Any, object]) -> None:
        try:
            await step
        finally:
            self._steps[job_id] -= 1
            if not self._steps[job_id]:
                del self._steps[job_id]


def _name_task(record: JobRecord, task_ref: str) -> bool:
    if not record.call_open or record.task_ref == task_ref:
        return False
    record.task_ref = task_ref
    return True


def _pause(state: provider.TaskState) -> float:
    return state.running.poll_after.ToTimedelta().total_seconds()
