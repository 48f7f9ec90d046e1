"""Worker: runs this replica's jobs at their providers and writes the results.

A job is written before its provider is called, and a call that the provider may have accepted is never repeated. A
successor needs nothing but the job's record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagegateway.jobs import job_trace, states, transitions
from imagegateway.jobs.cleanup import delete_inputs
from imagegateway.jobs.open_calls import ENDED
from imagegateway.jobs.stream_errors import RefusedError, StaleError
from imagegateway.platform import logs
from imagegateway.platform.clock import unix_millis
from imagegateway.platform.errors import INTERNAL
from imagegateway.providers.kit.task_state import failed_task

if TYPE_CHECKING:
    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.jobs.admission import AdmissionControl
    from imagegateway.jobs.background_tasks import BackgroundTasks
    from imagegateway.jobs.feed import JobFeed
    from imagegateway.jobs.job_calls import JobCalls
    from imagegateway.jobs.job_steps import JobSteps
    from imagegateway.jobs.job_writer import JobWriter
    from imagegateway.jobs.open_calls import OpenCalls
    from imagegateway.jobs.polling import PollSchedule
    from imagegateway.jobs.pricing import Pricing
    from imagegateway.jobs.route_fallback import RouteFallback
    from imagegateway.jobs.stream import Entry
    from imagegateway.media.store import MediaStore
    from imagegateway.provider.v1 import provider_service_pb2 as provider

_log = logs.get(__name__)


class Worker:
    """Provider calls of the jobs that this replica owns. `owner`: this replica's id as an owner of jobs."""

    def __init__(
        self,
        *,
        feed: JobFeed,
        writer: JobWriter,
        calls: JobCalls,
        open_calls: OpenCalls,
        polls: PollSchedule,
        pricing: Pricing,
        store: MediaStore,
        fallback: RouteFallback,
        admission: AdmissionControl,
        tasks: BackgroundTasks,
        steps: JobSteps,
        owner: str,
    ) -> None:
        self._feed = feed
        self._writer = writer
        self._calls = calls
        self._open_calls = open_calls
        self._polls = polls
        self._pricing = pricing
        self._store = store
        self._fallback = fallback
        self._admission = admission
        self._tasks = tasks
        self._steps = steps
        self._owner = owner
        self._starting: set[str] = set()
        """Jobs whose step waits for the end of a start."""
        self._stopping: set[str] = set()
        """Ended jobs of this replica whose call is open."""

    async def run(self) -> None:
        """Poll running tasks without end."""
        await self._polls.run(self._start_poll)

    # ---- entry points

    async def start(self, entry: Entry) -> None:
        """Start or queue a job whose first record was just written, in the step that wrote it."""
        self._feed.apply_own_write(entry)
        record = entry.record
        if record.owner != self._owner:
            return
        if record.state == states.SUBMITTING:
            await self._call(entry, join=False)
        elif record.state in states.WAITING and self._feed.live.get(record.id) == entry:
            self._admission.enqueue(record)

    def resume(self, entry: Entry, pause: float = 0.0) -> None:
        """Continue a job that nothing attends, from the state in its record.

        `pause`: delay in seconds before a running task is polled.
        """
        record = entry.record
        if record.call_open:
            self._steps.spawn(record, self._open_calls.stop(entry))
        elif record.state in states.WAITING:
            self._admission.enqueue(record)
        elif record.state == states.SUBMITTING:
            self._steps.spawn(record, self._call(entry, join=True))
        elif record.state == states.RUNNING:
            self._polls.schedule_after(record.id, pause)

    def is_attended(self, job_id: str) -> bool:
        """Return whether a step, a scheduled poll or the queue will continue a job."""
        return self._steps.is_busy(job_id) or job_id in self._polls or self._admission.is_queued(job_id)

    def on_change(self, entry: Entry) -> None:
        """Stop the provider call of a job of this replica that has ended with its call open."""
        record = entry.record
        if not record.call_open or record.owner != self._owner:
            self._stopping.discard(record.id)
        elif record.id not in self._stopping:
            self._stopping.add(record.id)
            if record.id in self._starting or (not record.task_ref and self._steps.is_busy(record.id)):
                # That step writes the result, or that the call was never made.
                self._tasks.spawn(self._calls.stop(record))
            else:
                self._steps.spawn(record, self._open_calls.stop(entry))

    def on_grant(self, job_id: str) -> None:
        """Start a queued job whose slots are reserved."""
        if entry := self._feed.live.get(job_id):
            self._steps.spawn(entry.record, self._start_queued(job_id))
        else:
            self.recount(job_id)

    def expire(self, entry: Entry) -> None:
        """Fail a waiting job whose deadline has passed."""
        record = entry.record
        self._admission.release(record.id)
        self._steps.spawn(
            record, self._apply_result(entry, failed_task(transitions.deadline_error(record), may_be_billed=False))
        )

    def recount(self, job_id: str) -> None:
        """Correct the slots of a job by its newest record, after a write that did not happen."""
        self._admission.recount(job_id, self._feed.live.get(job_id))

    # ---- steps

    async def _start_queued(self, job_id: str) -> None:
        entry = self._feed.live.get(job_id)
        if entry is None or entry.record.state not in states.WAITING or entry.record.owner != self._owner:
            self.recount(job_id)
            return
        record = entry.copy()
        transitions.mark_submitting(record)
        try:
            started = await self._writer.advance(entry, record)
        except StaleError:
            self.recount(job_id)
            return
        job_trace.record_wait(entry.record)
        await self._call(started, join=False)

    async def _call(self, entry: Entry, *, join: bool) -> None:
        """Call the provider for a submitting job, and repeat the call while another attempt costs nothing.

        `join`: another process has made the call, or may have.
        """
        job_id = entry.record.id
        newest = self._feed.live.summary(job_id)
        if newest is None or newest.seq != entry.seq:  # cancelled, or taken over
            await self._open_calls.on_conflict(entry, None if join else ENDED)
            return
        self._starting.add(job_id)
        try:
            repeat = await self._attempt(entry, join=join)
            while repeat:
                repeat = await self._attempt(repeat, join=False)
        finally:
            self._starting.discard(job_id)

    async def _attempt(self, entry: Entry, *, join: bool) -> Entry | None:
        """Make one call. Return the entry of a job whose call is to be repeated at once."""
        fail_fast = self._fallback.next_route(entry.record) is not None
        try:
            entry, state = await self._calls.start(entry, self._write_partial_images, join=join, fail_fast=fail_fast)
        except StaleError:
            await self._open_calls.on_conflict(entry, None)
        except TimeoutError:
            await self._time_out(entry)
        else:
            return await self._apply_result(entry, state)
        return None

    async def _write_partial_images(self, entry: Entry, running: provider.Running) -> Entry:
        """Write partial images for subscribers. The result of the call stays open. Raises StaleError."""
        record = entry.copy()
        transitions.set_partial_images(record, running)
        try:
            return await self._writer.advance(entry, record)
        except RefusedError:  # a job does not fail for its partial images
            return entry

    def _start_poll(self, job_id: str) -> None:
        if entry := self._feed.live.get(job_id):
            self._steps.spawn(entry.record, self._poll(job_id))

    async def _poll(self, job_id: str) -> None:
        """Poll the running task of a job, or the open call of an ended one."""
        entry = self._feed.live.get(job_id)
        if entry is None or entry.record.owner != self._owner:
            return
        record = entry.record
        late = record.deadline < unix_millis()
        if record.state != states.RUNNING:
            if record.call_open and record.task_ref:
                await self._open_calls.poll(entry, late=late)
            return
        if late:
            stopped = await self._calls.stop(record)
            failure = failed_task(transitions.deadline_error(record), may_be_billed=not stopped)
            await self._apply_result(entry, failure, given_up=not stopped)
            return
        state = await self._calls.poll(record)
        if state is None:
            self._polls.retry(job_id)
        else:
            await self._apply_result(entry, state)

    async def _apply_result(self, entry: Entry, state: provider.TaskState, *, given_up: bool = False) -> Entry | None:
        """Write the result of a call. Return the entry of a job whose call is to be repeated at once.

        `given_up`: the provider has taken the task and may complete it, so the job costs its estimate.
        """
        record = entry.copy()
        try:
            changed = self._update_record(record, state, given_up=given_up)
        except Exception:  # noqa: BLE001  the job must end after any error
            _log.exception("job_result_crashed", job_id=record.id)
            record, changed = entry.copy(), True
            transitions.mark_failed(record, failed_task(INTERNAL, may_be_billed=True).failed)
        if changed:
            try:
                entry = await self._write_result(entry, record)
            except StaleError:
                await self._open_calls.on_conflict(entry, state)
                return None
            record = entry.record
        if entry.ended:
            await delete_inputs(self._store, record.upload_keys)
        elif record.state == states.RUNNING:
            self._polls.schedule(record.id, state)
        elif record.state == states.SUBMITTING:
            return entry
        else:
            self._admission.enqueue(record)
        return None

    def _update_record(self, record: JobRecord, state: provider.TaskState, *, given_up: bool) -> bool:
        """Update a record by a task state. Return whether the record needs a write."""
        if state.HasField("running"):
            changed = transitions.mark_running(record, state.running)
            if changed:
                self._fallback.record_success(record)
            return changed
        if state.HasField("done") and state.done.artifacts:
            self._fallback.record_success(record)
            transitions.mark_completed(record, state.done, self._pricing.cost(record, state.done))
            return True
        failure = state.failed if state.HasField("failed") else transitions.no_artifacts()
        self._fallback.record_failure(record, failure)
        if not self._fallback.start_again(record, failure):
            transitions.mark_failed(record, failure, cost=transitions.estimated_cost(record) if given_up else None)
        return True

    async def _write_result(self, entry: Entry, record: JobRecord) -> Entry:
        """Write a job's next record; fail the job and stop its task where the server never accepts that record.

        Raises StaleError.
        """
        try:
            return await self._writer.advance(entry, record)
        except RefusedError:
            _log.exception("job_record_refused", job_id=record.id)
            if record.state == states.RUNNING:
                self._tasks.spawn(self._calls.stop(record))
            failure = entry.copy()
            transitions.mark_failed(failure, failed_task(INTERNAL, may_be_billed=True).failed)
            return await self._writer.advance(entry, failure)

    async def _time_out(self, entry: Entry) -> None:
        """Fail a job whose deadline has passed during its start, and wait for the start."""
        record = entry.copy()
        failure = failed_task(transitions.deadline_error(record), may_be_billed=True).failed
        transitions.mark_failed(record, failure, call_open=True)
        try:
            entry = await self._writer.advance(entry, record)  # `on_change` stops the call
        except StaleError:
            await self._open_calls.on_conflict(entry, None)
            return
        await self._open_calls.close(entry, await self._calls.join(entry.record))
