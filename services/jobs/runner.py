"""Runs this replica's jobs: starts them when it is their turn, asks how they stand, writes down what became of them.

Nothing is called before it is written, and nothing that may have been accepted is started again. A job that waits
at its provider is an entry in a heap, not a coroutine; all that a successor needs stands in its record.
"""

from __future__ import annotations

import random
import time
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from imagegateway.provider.v1 import provider_service_pb2 as provider
from imagegateway.v1.error_reason_pb2 import ErrorReason

from services.common import logs
from services.common.errors import INTERNAL, GatewayError
from services.common.provider import failed
from services.jobs import outcome, states
from services.jobs.families import next_state
from services.jobs.routing import Routing
from services.jobs.stream import Entry, OutcomeUnknownError, StaleError, unavailable
from services.jobs.tasks import Background
from services.jobs.timers import Timers
from services.jobs.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable

    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.v1.job_pb2 import Cost

    from services.common.store import MediaStore
    from services.jobs.credentials import Credentials
    from services.jobs.families import Families
    from services.jobs.health import Health
    from services.jobs.hub import Hub
    from services.jobs.queue import Limits
    from services.jobs.replicas import Replicas
    from services.jobs.routing import Fallback
    from services.jobs.stream import JobStream

    Price = Callable[[provider.ImageTask, provider.Done], Cost | None]

_AGAIN_SECONDS: Final = 1.0
_JITTER: Final = 0.1
_ADOPTED_AT_ONCE: Final = 50
_ADOPTION_SECONDS: Final = 0.25
"""After a takeover so many tasks are polled at first, and as many more every so often."""
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
        limits: Limits,
        store: MediaStore,
        price: Price,
        fallback: Fallback,
        health: Health,
        credentials: Credentials,
        queue_limit: int,
    ) -> None:
        self._stream = stream
        self._hub = hub
        self._families = families
        self._replicas = replicas
        self._store = store
        self._price = price
        self._credentials = credentials
        self._queue_limit = queue_limit
        self._tasks = Background()
        self._turns = Turns(limits, replicas.me, lambda job_id: self._tasks.spawn(self._turn(job_id)))
        self._routing = Routing(fallback, health, self._turns, credentials)
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
        if record.ByteSize() > _MAX_RECORD_BYTES:
            raise GatewayError(
                ErrorReason.ERROR_REASON_REQUEST_TOO_LARGE,
                f"The request's fields are over {_MAX_RECORD_BYTES} bytes.",
            )
        # Counted before the write is answered, so that concurrent calls see the place taken.
        at_once = self._turns.enter(record)
        if not at_once and not self._turns.room(record.tenant, self._queue_limit):
            raise GatewayError(
                ErrorReason.ERROR_REASON_OVERLOADED,
                f"{self._turns.waiting_of(record.tenant)} of your jobs are waiting already, which is your share of "
                "the queue; try again later.",
                retry_after=5,
            )
        record.owner = self._replicas.me
        if at_once:
            outcome.submitting(record)
        else:
            record.state = states.QUEUED
        self._busy.add(record.id)
        try:
            entry = await self._create(record, keyed=keyed)
        except BaseException:
            self._busy.discard(record.id)
            if at_once:
                self._give_back(record.id)
            raise
        self._begin(entry)
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
            if before.state in {states.SUBMITTING, states.RUNNING}:
                self._tasks.spawn(self._stop_task(before, before.task_ref))
            self._tasks.spawn(self._clean(record))
        return entry

    def position(self, record: JobRecord) -> int | None:
        """How many jobs are ahead of a queued one of this replica's."""
        return self._turns.position(record)

    # ---- life

    async def run(self) -> None:
        """Poll what is due, for ever."""
        await self._timers.run()

    def look(self) -> None:
        """Take over the jobs of replicas that are gone, and end those whose time is over."""
        if self._draining:
            return
        now, adopted = outcome.now(), 0
        for entry in list(self._hub.live.values()):
            record = entry.record
            if record.id in self._busy:
                continue
            if record.owner != self._replicas.me:
                if self._replicas.gone(record.owner):
                    self._tasks.spawn(self._adopt(entry, adopted // _ADOPTED_AT_ONCE * _ADOPTION_SECONDS))
                    adopted += record.state == states.RUNNING
            elif record.state in states.WAITING and record.deadline < now:
                self._turns.leave(record.id)
                self._tasks.spawn(self._took(entry, failed(outcome.too_late(record), accepted=False)))

    async def drain(self, seconds: float) -> None:
        """Start nothing more; wait for the calls that are under way. What is left, others take over."""
        self._draining = True
        self._turns.stop()
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
            request = provider.StartRequest(
                job_id=record.id,
                task=record.task,
                credential=self._credentials.of(record),
                hand_back=self._routing.next(record) is not None,
            )
            async with aclosing(self._families.start(record.family, request)) as told:
                while outcome.on_its_way(state := await next_state(told, record.deadline)):
                    entry = await self._previewed(entry, state.running)
        except StaleError:
            await self._lost(record, provider.TaskState())
            return
        except TimeoutError:
            self._tasks.spawn(self._stop_task(record, ""))
            state = failed(outcome.too_late(record), accepted=True)
        except GatewayError as error:
            state = failed(error, accepted=error.reason == ErrorReason.ERROR_REASON_PROVIDER_OUTCOME_UNKNOWN)
        except Exception:  # noqa: BLE001  whatever happened, the job must end
            _log.exception("job_start_crashed", job_id=record.id)
            state = failed(INTERNAL, accepted=True)
        await self._took(entry, state)

    async def _previewed(self, entry: Entry, running: provider.Running) -> Entry:
        """Let those who watch see a preview. What the call comes to stays open: a successor can't know it."""
        record = entry.copy()
        outcome.previewed(record, running)
        entry = await self._stream.advance(entry, record)
        self._hub.wrote(entry)
        return entry

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
                job_id=job_id, task_ref=record.task_ref, task=record.task, credential=self._credentials.of(record)
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
        try:
            if state.HasField("running"):
                if outcome.running(record, state.running):
                    self._routing.worked(record)
                    self._hub.wrote(await self._stream.advance(entry, record))
                self._busy.discard(record.id)
                self._again(record.id, state.running.poll_after.ToTimedelta().total_seconds())
                return
            if state.HasField("done") and state.done.artifacts:
                self._routing.worked(record)
                outcome.completed(record, state.done, self._price(record.task, state.done))
            else:
                failure = state.failed if state.HasField("failed") else outcome.nothing()
                self._routing.failed(record, failure)
                if self._routing.begin_anew(record, failure):
                    self._begin(await self._stream.advance(entry, record))
                    return
                outcome.failed(record, failure)
            entry = await self._stream.advance(entry, record)
        except StaleError:
            await self._lost(record, state)
            return
        self._busy.discard(record.id)
        self._hub.wrote(entry)
        await self._clean(record)

    def _begin(self, entry: Entry) -> None:
        """Go on with a job whose next start is written: call its provider, or wait for a place there."""
        self._hub.wrote(entry)
        if entry.record.state == states.SUBMITTING:
            self._tasks.spawn(self._start(entry))
        else:
            self._busy.discard(entry.record.id)
            self._turns.wait(entry.record)

    async def _lost(self, record: JobRecord, state: provider.TaskState) -> None:
        """Somebody else has written: the caller cancelled, or another replica took over."""
        self._busy.discard(record.id)
        self._give_back(record.id)
        newer = await self._stream.last_patiently(record.id)
        if newer and newer.record.state == states.CANCELLED and state.HasField("running"):
            await self._stop_task(record, state.running.task_ref)

    async def _adopt(self, entry: Entry, pause: float) -> None:
        """Take a job over from a replica that is gone; `pause`: seconds until a running one is asked for."""
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
        if record.state in states.WAITING:
            self._turns.wait(record)
        elif record.state == states.RUNNING:
            self._again(record.id, pause)

    async def _turn(self, job_id: str) -> None:
        """A queued job's turn has come; its place is counted already."""
        entry = self._hub.live.get(job_id)
        if entry is None or entry.record.state not in states.WAITING or entry.record.owner != self._replicas.me:
            self._give_back(job_id)
            return
        record = entry.copy()
        outcome.submitting(record)
        self._busy.add(job_id)
        try:
            entry = await self._stream.advance(entry, record)
        except StaleError:
            self._busy.discard(job_id)
            self._give_back(job_id)
            return
        self._hub.wrote(entry)
        await self._start(entry)

    async def _stop_task(self, record: JobRecord, task_ref: str) -> None:
        request = provider.CancelRequest(
            job_id=record.id, task_ref=task_ref, task=record.task, credential=self._credentials.of(record)
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
        self._turns.follow(record)

    def _give_back(self, job_id: str) -> None:
        """Free the place that a job was to have and for which nothing is written; its newest record may hold one."""
        known = self._hub.live.get(job_id)
        if known is None:
            self._turns.leave(job_id)
        else:
            self._turns.follow(known.record)

    def _turned_up(self, entry: Entry, unanswered: _Unanswered) -> None:
        """A write that the caller was told has failed is there after all. A caller with a key will come again for
        the job, one without has made another: then this one must not run.
        """
        record = entry.record
        if not unanswered.keyed:
            self._tasks.spawn(self.cancel(entry))
        elif record.state == states.QUEUED:
            self._turns.wait(record)
        else:
            self._turns.follow(record)
            self._busy.add(record.id)
            self._tasks.spawn(self._start(entry))

    def _again(self, job_id: str, seconds: float) -> None:
        # Jobs that were started together are not polled together for ever.
        jitter = random.uniform(1, 1 + _JITTER)  # noqa: S311  only spreads load
        self._timers.set(time.time() + seconds * jitter, job_id)
