"""Runner: the job engine's calls for the public services, and the parts behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagegateway.jobs import transitions
from imagegateway.jobs.admission import Turns
from imagegateway.jobs.background_tasks import Background
from imagegateway.jobs.calls import Calls
from imagegateway.jobs.cleanup import delete_inputs, log_finished
from imagegateway.jobs.reconciler import Reconciler
from imagegateway.jobs.routing import Routing
from imagegateway.jobs.stream import OutcomeUnknownError, StaleError
from imagegateway.jobs.submission import Submissions
from imagegateway.jobs.worker import Worker

if TYPE_CHECKING:
    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.jobs.circuit_breaker import Health
    from imagegateway.jobs.credentials import Credentials
    from imagegateway.jobs.fair_queue import Limits
    from imagegateway.jobs.feed import Hub
    from imagegateway.jobs.membership import Replicas
    from imagegateway.jobs.provider_client import Families
    from imagegateway.jobs.routing import Fallback
    from imagegateway.jobs.stream import Entry, JobStream
    from imagegateway.jobs.worker import Price
    from imagegateway.media.store import MediaStore


class Runner:
    """The jobs that this replica owns."""

    def __init__(
        self,
        *,
        stream: JobStream,
        hub: Hub,
        families: Families,
        replicas: Replicas,
        limits: Limits,
        store: MediaStore,
        price: Price,
        fallback: Fallback,
        health: Health,
        credentials: Credentials,
        queue_limit: int,
        tenant_bytes: int,
        tenant_stored_bytes: int,
    ) -> None:
        self._stream = stream
        self._hub = hub
        self._store = store
        self._tasks = Background()
        self._turns = Turns(limits, replicas.me, self._take_turn)
        self._worker = Worker(
            stream=stream,
            hub=hub,
            calls=Calls(families, credentials),
            store=store,
            price=price,
            routing=Routing(fallback, health, self._turns, credentials),
            turns=self._turns,
            background=self._tasks,
            me=replicas.me,
        )
        self._submissions = Submissions(
            stream=stream,
            hub=hub,
            turns=self._turns,
            worker=self._worker,
            store=store,
            cancel=self._cancel,
            queue_limit=queue_limit,
            tenant_bytes=tenant_bytes,
            tenant_stored_bytes=tenant_stored_bytes,
            me=replicas.me,
        )
        self._reconciler = Reconciler(
            stream=stream, hub=hub, replicas=replicas, turns=self._turns, worker=self._worker
        )
        self._draining = False
        hub.watch(self._worker.follow)

    async def submit(self, record: JobRecord, *, has_idempotency_key: bool = False) -> Entry:
        """Write a new job, and start it at once when its route is free. Raises as `Submissions.submit`.

        `has_idempotency_key`: the caller may come again for the job.
        """
        return await self._submissions.submit(record, keyed=has_idempotency_key)

    async def cancel(self, entry: Entry) -> Entry:
        """End a job by its caller's wish; return one that has ended as it is. Raises OutcomeUnknownError.

        The cancel takes effect even if its caller goes away.
        """
        return await self._tasks.complete(self._cancel(entry))

    def position(self, record: JobRecord) -> int | None:
        """Return how many jobs are ahead of a queued one of this replica's."""
        return self._turns.position(record)

    async def run(self) -> None:
        """Poll what is due, without end."""
        await self._worker.run()

    def reconcile(self) -> None:
        """See that somebody goes on with every job; call it every few seconds."""
        if not self._draining:
            self._reconciler.reconcile()

    async def drain(self, seconds: float) -> None:
        """Start nothing more, and wait at most `seconds` for the calls under way.

        What is left is no longer waited for: the families' servers own the calls, and a successor joins them.
        """
        self._draining = True
        self._turns.stop()
        await self._tasks.drain(seconds)

    async def _cancel(self, entry: Entry) -> Entry:
        while not entry.ended:
            record = entry.copy()
            transitions.cancelled(record)
            try:
                entry = await self._stream.advance(entry, record)
            except StaleError:
                newer = await self._stream.last(record.id)
                if newer is None:
                    raise OutcomeUnknownError from None
                entry = newer
                continue
            self._hub.wrote(entry)
            log_finished(record)
            if not record.call_open:
                self._tasks.spawn(delete_inputs(self._store, record.upload_keys))
        return entry

    def _take_turn(self, job_id: str) -> None:
        self._worker.attend(job_id, self._worker.take_turn(job_id))
