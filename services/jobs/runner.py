"""Runs this replica's jobs: starts them when it is their turn, asks how they stand, writes down what became of them.

Nothing is called before it is written, and nothing that may have been accepted is started again. A job that waits
at its provider is an entry in a heap, not a coroutine; all that a successor needs stands in its record.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from imagegateway.provider.v1 import provider_service_pb2 as provider
from imagegateway.v1.error_reason_pb2 import ErrorReason

from services.common import logs
from services.common.errors import INTERNAL, GatewayError
from services.common.provider import failed
from services.jobs import outcome, states
from services.jobs.stream import Entry, OutcomeUnknownError, StaleError, unavailable
from services.jobs.tasks import Background
from services.jobs.timers import Timers

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from cryptography.fernet import Fernet
    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.v1.job_pb2 import Cost

    from services.common.catalog import Route
    from services.common.store import MediaStore
    from services.jobs.families import Families
    from services.jobs.health import Health
    from services.jobs.hub import Hub
    from services.jobs.queue import Queue
    from services.jobs.replicas import Replicas
    from services.jobs.stream import JobStream

    Price = Callable[[provider.ImageTask, provider.Done], Cost | None]
    Fallback = Callable[[provider.ImageTask, Collection[str]], Route | None]

_AGAIN_SECONDS: Final = 1.0
_JITTER: Final = 0.1
_MAX_RECORD_BYTES: Final = 1 << 20
_log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class _Unanswered:
    """A new job's write whose answer did not come."""

    nonce: str
    keyed: bool


class Runner:
    """The jobs that this replica owns."""

    def __init__(
        self,
        *,
        stream: JobStream,
        hub: Hub,
        families: Families,
        replicas: Replicas,
        queue: Queue,
        store: MediaStore,
        price: Price,
        fallback: Fallback,
        health: Health,
        seal: Fernet,
        queue_limit: int,
    ) -> None:
        self._stream = stream
        self._hub = hub
        self._families = families
        self._replicas = replicas
        self._queue = queue
        self._store = store
        self._price = price
        self._fallback = fallback
        self._health = health
        self._seal = seal
        self._queue_limit = queue_limit
        self._tasks = Background()
        self._timers = Timers(lambda job_id: self._tasks.spawn(self._poll(job_id)))
        self._busy: set[str] = set()
        self._unanswered: dict[str, _Unanswered] = {}
        self._draining = False
        hub.watch(self._changed)

    # ---- callers' side

    async def submit(self, record: JobRecord, *, keyed: bool = False) -> Entry:
        """Write a new job, and start it at once when its route is free. `keyed`: its caller may come again for it.

        Raises GatewayError: OVERLOADED when too many wait, SERVICE_UNAVAILABLE when the engine can't be reached;
        then nothing is left that could run. StaleError when the id is taken.
        """
        route = record.task.route
        at_once = self._queue.idle(route) and self._queue.free(route, record.tenant, record.places or 1)
        if not at_once and self._queue.waiting >= self._queue_limit:
            raise GatewayError(
                ErrorReason.ERROR_REASON_OVERLOADED,
                f"{self._queue.waiting} jobs are waiting already; try again later.",
                retry_after=5,
            )
        if record.ByteSize() > _MAX_RECORD_BYTES:
            raise GatewayError(
                ErrorReason.ERROR_REASON_REQUEST_TOO_LARGE,
                f"The request's fields are over {_MAX_RECORD_BYTES} bytes.",
            )
        record.owner = self._replicas.me
        if at_once:
            outcome.submitting(record)
            # Counted before the write is answered, so that concurrent calls see the place taken.
            self._queue.run(record.id, route, record.tenant, record.places or 1)
        else:
            record.state = states.QUEUED
        self._busy.add(record.id)
        try:
            entry = await self._create(record, keyed=keyed)
        except BaseException:
            self._busy.discard(record.id)
            self._give_back(record.id)
            raise
        self._hub.wrote(entry)
        if at_once:
            self._tasks.spawn(self._start(entry))
        else:
            self._busy.discard(record.id)
            self._queue.wait(record.id, route, record.tenant, record.places or 1)
            self._kick()
        return entry

    async def cancel(self, entry: Entry) -> Entry:
        """End a job by its caller's wish; one that has ended is given back as it is. Raises OutcomeUnknownError."""
        while not entry.ended:
            before = entry.record
            record = entry.copy()
            outcome.cancelled(record)
            try:
                entry = await self._stream.advance(entry, record)
            except StaleError:
                newer = await self._stream.last(record.id)
                if newer is None:
                    raise OutcomeUnknownError from None
                entry = newer
                continue
            self._hub.wrote(entry)
            if record.task_ref:
                self._tasks.spawn(self._stop_task(before, record.task_ref))
            self._tasks.spawn(self._clean(record))
        return entry

    def position(self, record: JobRecord) -> int | None:
        """How many jobs are ahead of a queued one of this replica's."""
        return self._queue.position(record.id, record.task.route, record.tenant)

    # ---- life

    async def run(self) -> None:
        """Poll what is due, for ever."""
        await self._timers.run()

    def look(self) -> None:
        """Take over the jobs of replicas that are gone, and end those whose time is over."""
        if self._draining:
            return
        now = outcome.now()
        for entry in list(self._hub.live.values()):
            record = entry.record
            if record.id in self._busy:
                continue
            if record.owner != self._replicas.me:
                if self._replicas.gone(record.owner):
                    self._tasks.spawn(self._adopt(entry))
            elif record.state == states.QUEUED and record.deadline < now:
                self._queue.leave(record.id, record.task.route, record.tenant)
                self._tasks.spawn(self._took(entry, failed(outcome.too_late(record), accepted=False)))

    async def drain(self, seconds: float) -> None:
        """Start nothing more; wait for the calls that are under way. What is left, others take over."""
        self._draining = True
        await self._tasks.drain(seconds)

    # ---- one job

    async def _create(self, record: JobRecord, *, keyed: bool) -> Entry:
        try:
            return await self._stream.create(record)
        except OutcomeUnknownError:
            seen = self._hub.live.get(record.id)
            if seen and seen.record.nonce == record.nonce:
                return seen  # the feed has brought it: it is written
            self._unanswered[record.id] = _Unanswered(record.nonce, keyed)
            raise unavailable() from None

    async def _start(self, entry: Entry) -> None:
        record = entry.record
        try:
            request = provider.StartRequest(job_id=record.id, task=record.task, credential=self._credential(record))
            async with asyncio.timeout(max(0.0, (record.deadline - outcome.now()) / 1000)):
                state = await self._families.start(record.family, request)
        except TimeoutError:
            state = failed(outcome.too_late(record), accepted=True)
        except GatewayError as error:
            state = failed(error, accepted=error.reason == ErrorReason.ERROR_REASON_PROVIDER_OUTCOME_UNKNOWN)
        except Exception:  # noqa: BLE001  whatever happened, the job must end
            _log.exception("job_start_crashed", job_id=record.id)
            state = failed(INTERNAL, accepted=True)
        await self._took(entry, state)

    async def _poll(self, job_id: str) -> None:
        entry = self._hub.live.get(job_id)
        if entry is None or entry.record.state != states.RUNNING or entry.record.owner != self._replicas.me:
            return
        record = entry.record
        if record.deadline < outcome.now():
            await self._stop_task(record, record.task_ref)
            await self._took(entry, failed(outcome.too_late(record), accepted=True))
            return
        try:
            request = provider.PollRequest(
                job_id=job_id, task_ref=record.task_ref, task=record.task, credential=self._credential(record)
            )
            state = await self._families.poll(record.family, request)
        except GatewayError as error:
            state = failed(error, accepted=True)
        except Exception:  # noqa: BLE001  whatever happened, the job must end
            _log.exception("job_poll_crashed", job_id=job_id)
            state = failed(INTERNAL, accepted=True)
        if state is None:
            self._again(job_id, _AGAIN_SECONDS)
        else:
            await self._took(entry, state)

    async def _took(self, entry: Entry, state: provider.TaskState) -> None:
        """Write down what the family said."""
        record = entry.copy()
        route = record.task.route
        try:
            if state.HasField("running"):
                self._health.worked(route)
                if outcome.running(record, state.running):
                    self._hub.wrote(await self._stream.advance(entry, record))
                self._busy.discard(record.id)
                self._again(record.id, state.running.poll_after.ToTimedelta().total_seconds())
                return
            if state.HasField("done") and state.done.artifacts:
                self._health.worked(route)
                outcome.completed(record, state.done, self._price(record.task, state.done))
            else:
                failure = state.failed if state.HasField("failed") else outcome.nothing()
                if not outcome.own_key(record):  # a caller's own key says nothing of the route
                    self._health.failed(route, failure.reason)
                if self._fell_back(record, failure) or outcome.may_repeat(record, failure):
                    outcome.submitting(record)
                    entry = await self._stream.advance(entry, record)
                    self._hub.wrote(entry)
                    self._tasks.spawn(self._start(entry))
                    return
                outcome.failed(record, failure)
            entry = await self._stream.advance(entry, record)
        except StaleError:
            await self._lost(record, state)
            return
        self._busy.discard(record.id)
        self._hub.wrote(entry)
        await self._clean(record)

    def _fell_back(self, record: JobRecord, failure: provider.Failed) -> bool:
        """Turn to the next route of the same model, where that is allowed and there is one."""
        may = outcome.may_fall_back(record, failure)
        route = self._fallback(record.task, record.sealed_keys) if may else None
        if route is None:
            return False
        _log.info("route_left", job_id=record.id, route=record.task.route, next=route.name)
        record.task.route = route.name
        record.repeatable = route.repeatable
        return True

    def _credential(self, record: JobRecord) -> str:
        """The caller's own provider key; empty: the operator's is used."""
        sealed = outcome.own_key(record)
        return self._seal.decrypt(sealed).decode() if sealed else ""

    async def _lost(self, record: JobRecord, state: provider.TaskState) -> None:
        """Somebody else has written: the caller cancelled, or another replica took over."""
        self._busy.discard(record.id)
        newer = await self._stream.last_patiently(record.id)
        if newer and newer.record.state == states.CANCELLED and state.HasField("running"):
            await self._stop_task(record, state.running.task_ref)

    async def _adopt(self, entry: Entry) -> None:
        record = entry.copy()
        before = record.owner
        record.owner = self._replicas.me
        self._busy.add(record.id)
        try:
            if record.state == states.SUBMITTING:
                unknown = GatewayError(
                    ErrorReason.ERROR_REASON_PROVIDER_OUTCOME_UNKNOWN,
                    "The gateway went away while the provider was called; whether it took the job is not known.",
                )
                entry = await self._stream.advance(entry, record)
                self._hub.wrote(entry)
                await self._took(entry, failed(unknown, accepted=True))
                return
            entry = await self._stream.advance(entry, record)
        except StaleError:
            self._busy.discard(record.id)
            return
        _log.info("job_adopted", job_id=record.id, owner=before, state=states.token(record.state))
        self._busy.discard(record.id)
        self._hub.wrote(entry)
        if record.state == states.QUEUED:
            self._queue.wait(record.id, record.task.route, record.tenant, record.places or 1)
            self._kick()
        elif record.state == states.RUNNING:
            self._again(record.id, 0)

    async def _turn(self, job_id: str) -> None:
        """A queued job's turn has come; its place is counted already."""
        entry = self._hub.live.get(job_id)
        if entry is None or entry.record.state != states.QUEUED:
            self._queue.end(job_id)
            return
        record = entry.copy()
        outcome.submitting(record)
        self._busy.add(job_id)
        try:
            entry = await self._stream.advance(entry, record)
        except StaleError:
            self._busy.discard(job_id)
            self._queue.end(job_id)
            self._kick()
            return
        self._hub.wrote(entry)
        await self._start(entry)

    async def _stop_task(self, record: JobRecord, task_ref: str) -> None:
        request = provider.CancelRequest(
            job_id=record.id, task_ref=task_ref, task=record.task, credential=self._credential(record)
        )
        await self._families.cancel(record.family, request)

    async def _clean(self, record: JobRecord) -> None:
        """Delete the inputs of a job that has ended; what a crash leaves, their day removes."""
        if record.upload_keys:
            await self._store.delete(record.upload_keys)

    # ---- the view

    def _changed(self, entry: Entry) -> None:
        record = entry.record
        unanswered = self._unanswered.pop(record.id, None)
        if unanswered and unanswered.nonce == record.nonce and not entry.ended:  # else a twin's, under the same id
            self._turned_up(entry, unanswered)
            return
        if entry.ended:
            self._queue.end(record.id)
            self._queue.leave(record.id, record.task.route, record.tenant)
            self._kick()
        elif record.state in states.ACTIVE:
            self._queue.leave(record.id, record.task.route, record.tenant)
            self._queue.run(record.id, record.task.route, record.tenant, record.places or 1)

    def _give_back(self, job_id: str) -> None:
        """Free the place of a job that was not written; a twin's job may have it by now, under the same id."""
        twin = self._hub.live.get(job_id)
        if twin is None or twin.record.state not in states.ACTIVE:
            self._queue.end(job_id)
            self._kick()

    def _turned_up(self, entry: Entry, unanswered: _Unanswered) -> None:
        """A write that the caller was told has failed is there after all. A caller with a key will come again for
        the job, one without has made another: then this one must not run.
        """
        record = entry.record
        if not unanswered.keyed:
            self._tasks.spawn(self.cancel(entry))
        elif record.state == states.QUEUED:
            self._queue.wait(record.id, record.task.route, record.tenant, record.places or 1)
            self._kick()
        else:
            self._queue.run(record.id, record.task.route, record.tenant, record.places or 1)
            self._busy.add(record.id)
            self._tasks.spawn(self._start(entry))

    def _kick(self) -> None:
        while not self._draining:
            job_id = self._queue.take()
            if job_id is None:
                return
            self._tasks.spawn(self._turn(job_id))

    def _again(self, job_id: str, seconds: float) -> None:
        # Jobs that were started together are not polled together for ever.
        jitter = random.uniform(1, 1 + _JITTER)  # noqa: S311  only spreads load
        self._timers.set(time.time() + seconds * jitter, job_id)
