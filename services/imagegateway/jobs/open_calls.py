"""Open calls: provider calls that continue after their jobs have ended.

An ended job keeps its slots, inputs and keys until its provider call ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from imagegateway.jobs import transitions
from imagegateway.jobs.cleanup import delete_inputs
from imagegateway.provider.v1 import provider_service_pb2 as provider
from imagegateway.providers.kit.task_state import outcome_unknown

if TYPE_CHECKING:
    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.jobs.job_calls import JobCalls
    from imagegateway.jobs.job_writer import JobWriter
    from imagegateway.jobs.polling import PollSchedule
    from imagegateway.jobs.pricing import Pricing
    from imagegateway.jobs.stream import Entry, JobStream
    from imagegateway.media.store import MediaStore

ENDED: Final = provider.TaskState()
"""State of a call that certainly costs nothing: never made, or stopped by the provider."""


class OpenCalls:
    """Stops open calls and writes their results. `owner`: this replica's id as an owner of jobs."""

    def __init__(
        self,
        *,
        stream: JobStream,
        writer: JobWriter,
        calls: JobCalls,
        polls: PollSchedule,
        pricing: Pricing,
        store: MediaStore,
        owner: str,
    ) -> None:
        self._stream = stream
        self._writer = writer
        self._calls = calls
        self._polls = polls
        self._pricing = pricing
        self._store = store
        self._owner = owner

    async def stop(self, entry: Entry) -> None:
        """Stop the open call of an ended job; where the provider can't stop it, wait for its end."""
        record = entry.record
        stopped = await self._calls.stop(record)
        if not record.task_ref:
            await self.close(entry, await self._calls.join(record), stopped=stopped)
        elif stopped:
            await self.close(entry, ENDED)
        elif record.id not in self._polls:
            self._polls.retry(record.id)

    async def poll(self, entry: Entry, *, late: bool) -> None:
        """Poll the open call of an ended job. `late`: its deadline has passed, so the call is given up."""
        state = outcome_unknown() if late else await self._calls.poll(entry.record)
        if state is None:
            self._polls.retry(entry.record.id)
        else:
            await self.close(entry, state)

    async def close(self, entry: Entry, state: provider.TaskState, *, stopped: bool = False) -> None:
        """Write the result of an open call: the task that it became, or its end and cost.

        A call that the provider did not confirm to have ended or `stopped` costs the job's estimate.
        """
        if state.HasField("running"):
            known = bool(entry.record.task_ref)
            entry = await self._writer.update(
                entry, lambda record: _set_task(record, state.running.task_ref), patient=True
            )
            if not entry.record.call_open:
                return
            if known or not await self._calls.stop(entry.record):
                self._polls.schedule(entry.record.id, state)
                return
        cost = self._pricing.cost(entry.record, state.done) if state.HasField("done") else None
        if transitions.is_unconfirmed(state) and not stopped:
            cost = transitions.estimated_cost(entry.record)
        entry = await self._writer.update(entry, lambda record: transitions.close_call(record, cost), patient=True)
        await delete_inputs(self._store, entry.record.upload_keys)

    async def on_conflict(self, entry: Entry, state: provider.TaskState | None) -> None:
        """Yield to another writer of a job: its caller cancelled the job, or another replica took it over.

        `state`: final state of the provider call; None while the call may continue.
        """
        newer = await self._stream.last_patiently(entry.record.id)
        if newer is None or not newer.ended or newer.record.owner != self._owner:
            return
        await self.close(newer, await self._calls.join(newer.record) if state is None else state)


def _set_task(record: JobRecord, task_ref: str) -> bool:
    if not record.call_open or record.task_ref == task_ref:
        return False
    record.task_ref = task_ref
    return True
