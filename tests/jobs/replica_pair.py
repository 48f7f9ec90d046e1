"""Two router replicas over one in-memory stream; every step waits until the test releases it."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import nats.errors
from imagegateway.jobs.budgets.ledger import BudgetLedger, BudgetPolicy
from imagegateway.jobs.budgets.sweep import BudgetSweep
from imagegateway.jobs.circuit_breaker import CircuitBreakers
from imagegateway.jobs.credentials import JobCredentials
from imagegateway.jobs.execution import JobExecution
from imagegateway.jobs.feed import JobFeed
from imagegateway.jobs.limits import Limits
from imagegateway.jobs.list_file import JobListFile
from imagegateway.jobs.membership import Membership
from imagegateway.jobs.stream_errors import OutcomeUnknownError, StaleError
from imagegateway.keys.root_secret import RootSecret
from imagegateway.platform.clock import unix_millis
from imagegateway.platform.errors import GatewayError, UnavailableError
from imagegateway.platform.supervision import Supervisor

from tests.jobs.index import inline_index
from tests.jobs.memory import StreamLog, memory_stream
from tests.jobs.scripted_providers import ScriptedProviders
from tests.platform.key_values import MemoryBucket, MemoryKeyValue

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine

    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.jobs.pricing import Price
    from imagegateway.jobs.route_fallback import Fallback
    from imagegateway.jobs.stream import JobStream
    from imagegateway.media.store import MediaStore
    from imagegateway.provider.v1 import provider_service_pb2 as provider

_LATER = 60_000
"""Milliseconds that budget sweeps are ahead, so that no job is too young for them."""
_TURNS = 60
"""Turns of the event loop after which every step waits at a gate, or repeats itself without a pause."""
_IDLE_TURNS = 3
"""Turns without a callback of any step, after which every step waits at a gate."""


class NoSpending:
    """History of callers who spent nothing before their budget."""

    async def spent(self, *, tenant: str, key_id: str, since: int, without: Collection[str]) -> int:
        return 0


def _free(_task: provider.ImageTask, _done: provider.Done) -> None:
    """Return None: no price is known."""


def _nowhere(_task: provider.ImageTask, _avoid: Callable[[str], bool], _stored: Collection[str]) -> None:
    """Return None: only one route exists."""


class StaticMembership(Membership):
    """Membership that the test decides."""

    def __init__(self, name: str, incarnation: int, incarnations: dict[str, str]) -> None:
        self.name = name
        self.incarnation = str(incarnation)
        self._incarnations = incarnations
        incarnations[name] = self.incarnation

    def is_expired(self, owner: str) -> bool:
        name, _, incarnation = owner.partition("/")
        return self._incarnations.get(name) != incarnation


@dataclass(slots=True)
class StepGates:
    """Gates in front of the steps of both replicas; waiting steps are in order of arrival.

    `open`: only the kinds in `held` wait. `failing`: number of next requests that fail before they are sent.
    `losing`: number of next answers that are lost.
    """

    waiting: list[asyncio.Future[None]] = field(default_factory=list)
    open: bool = False
    held: set[str] = field(default_factory=set)
    failing: int = 0
    losing: int = 0

    async def __call__(self, step: str) -> None:
        if step == "request" and self.failing:
            self.failing -= 1
            raise OutcomeUnknownError
        if step == "answer" and self.losing:
            self.losing -= 1
            raise OutcomeUnknownError
        if self.open and step not in self.held:
            return
        gate = asyncio.get_running_loop().create_future()
        self.waiting.append(gate)
        try:
            await gate
        finally:
            if gate in self.waiting:
                self.waiting.remove(gate)

    def release(self, choice: int) -> None:
        """Let one waiting step continue."""
        self.waiting = [gate for gate in self.waiting if not gate.done()]
        if self.waiting:
            self.waiting.pop(choice % len(self.waiting)).set_result(None)


@dataclass(slots=True)
class RunningReplica:
    """One incarnation of a replica, from its start to its crash."""

    feed: JobFeed
    execution: JobExecution
    stream: JobStream
    ledger: BudgetLedger
    sweep: BudgetSweep
    supervisor: Supervisor = field(default_factory=Supervisor)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    ready: bool = False

    def spawn(self, work: Coroutine[None, None, None]) -> None:
        self.tasks.append(asyncio.create_task(work))


@dataclass(slots=True)
class ReplicaPair:
    """Two replicas over one stream; `gates` lets their steps continue one at a time."""

    store: MediaStore
    providers: ScriptedProviders = field(default_factory=ScriptedProviders)
    route_limit: int = 1
    fallback: Fallback = _nowhere
    price: Price = _free
    budget_policy: BudgetPolicy = field(default_factory=BudgetPolicy)
    budgets: MemoryBucket = field(default_factory=MemoryBucket)
    log: StreamLog = field(default_factory=StreamLog)
    gates: StepGates = field(default_factory=StepGates)
    replicas: list[RunningReplica | None] = field(default_factory=lambda: [None, None])
    accepted: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    """Jobs whose callers got a retryable error."""
    _callers: list[asyncio.Task[None]] = field(default_factory=list)
    _incarnations: dict[str, str] = field(default_factory=dict)
    _count: int = 0
    _projections: list[JobListFile] = field(
        default_factory=lambda: [JobListFile(Path(":memory:")), JobListFile(Path(":memory:"))]
    )

    def __post_init__(self) -> None:
        self.budgets.gate = self._bucket_gate
        scripted_start, scripted_poll = self.providers.on_start, self.providers.on_poll

        async def start(request: provider.StartRequest) -> provider.TaskState:
            await self.gates("start")
            state = await scripted_start(request)
            await self.gates("started")
            return state

        async def poll(request: provider.PollRequest) -> provider.TaskState | None:
            await self.gates("poll")
            return await scripted_poll(request)

        self.providers.on_start, self.providers.on_poll = start, poll

    async def _bucket_gate(self, step: str) -> None:
        try:
            await self.gates("answer" if step == "answer" else "request")
        except OutcomeUnknownError:
            raise nats.errors.TimeoutError from None

    def take(self, step: str, choice: int) -> None:
        """Take one step that concerns no job in particular."""
        match step:
            case "go":
                self.gates.release(choice)
            case "hang up":
                self.hang_up(choice)
            case "write failed":
                self.gates.failing = choice
            case "answer lost":
                self.gates.losing = choice
            case "crash":
                self.crash(choice)
            case "start":
                self.start(choice)
            case "reconcile":
                self.reconcile(choice)

    def start(self, index: int) -> None:
        """Start a replica, in place of its earlier replica."""
        self.crash(index)
        self._count += 1
        membership = StaticMembership(f"r{index}", self._count, self._incarnations)
        stream = memory_stream(self.log, self.gates)
        feed = JobFeed(stream, inline_index(self._projections[index]))
        ledger = BudgetLedger(
            MemoryKeyValue(self.budgets), policy=self.budget_policy, history=NoSpending(), feed=feed
        )
        execution = JobExecution.compose(
            stream=stream,
            feed=feed,
            provider_client=self.providers,
            membership=membership,
            limits=Limits(routes={}, default=self.route_limit, tenant=self.route_limit),
            budgets=ledger,
            thresholds=None,
            store=self.store,
            price=self.price,
            fallback=self.fallback,
            breakers=CircuitBreakers(),
            credentials=JobCredentials(RootSecret("root secret of the tests")),
            queue_limit=1000,
            tenant_bytes=1 << 26,
            tenant_stored_bytes=1 << 30,
        )
        sweep = BudgetSweep(
            accounts=self._stored_accounts,
            ledger=ledger,
            settlement=execution.settlement,
            feed=feed,
            stream=stream,
            membership=membership,
            steps=execution.steps,
            clock=lambda: unix_millis() + _LATER,
        )
        replica = RunningReplica(feed, execution, stream, ledger, sweep)
        self.replicas[index] = replica
        replica.spawn(self._run(index, replica))

    async def _run(self, index: int, replica: RunningReplica) -> None:
        try:
            await replica.feed.start(replica.supervisor)
        except OutcomeUnknownError:
            self.start(index)  # as the process manager does
            return
        await replica.execution.reconciler.reconcile()
        replica.ready = True
        await replica.execution.worker.run()

    def crash(self, index: int) -> None:
        """Crash as by `kill -9`: no waiting step continues."""
        replica, self.replicas[index] = self.replicas[index], None
        if replica is None:
            return
        # A crash before the write of a refused job is settled leaves the job to the other replica.
        self.refused = {job_id for job_id in self.refused if not replica.execution.steps.is_busy(job_id)}
        self._incarnations.pop(f"r{index}")
        writers = replica.ledger._accounts._writers.values()
        for task in [*replica.tasks, *replica.execution.tasks._tasks, *replica.supervisor._tasks, *writers]:
            task.cancel()

    def submit(self, index: int, record: JobRecord, *, has_idempotency_key: bool = False) -> None:
        """Submit on a replica that serves."""
        replica = self.replicas[index]
        if replica and replica.ready:
            replica.spawn(self._submit(replica, record, has_idempotency_key=has_idempotency_key))
            self._callers.append(replica.tasks[-1])

    async def _submit(self, replica: RunningReplica, record: JobRecord, *, has_idempotency_key: bool) -> None:
        # A twin with the same id is no error: it finds its job there.
        with contextlib.suppress(StaleError):
            try:
                await replica.execution.submission.submit(record, has_idempotency_key=has_idempotency_key)
            except GatewayError:
                self.refused.add(record.id)
                return
        self.accepted.add(record.id)

    def hang_up(self, choice: int) -> None:
        """Disconnect a caller that waits for the write of its job."""
        waiting = [caller for caller in self._callers if not caller.done()]
        if waiting:
            waiting[choice % len(waiting)].cancel()

    def cancel(self, index: int, job_id: str) -> None:
        """Cancel on a replica that serves."""
        replica = self.replicas[index]
        if replica and replica.ready:
            replica.spawn(self._cancel(replica, job_id))

    @staticmethod
    async def _cancel(replica: RunningReplica, job_id: str) -> None:
        entry = await replica.stream.last(job_id)
        if entry:
            await replica.execution.cancellation.cancel(entry)

    def reconcile(self, index: int) -> None:
        """Reconcile on a replica that serves."""
        replica = self.replicas[index]
        if replica and replica.ready:
            replica.spawn(replica.execution.reconciler.reconcile())

    def sweep(self, index: int) -> None:
        """Sweep the budgets on a replica that serves."""
        replica = self.replicas[index]
        if replica and replica.ready:
            replica.spawn(self._sweep(replica))

    async def sweep_now(self, index: int) -> None:
        """Sweep the budgets on a replica to the end, while all other steps wait."""
        self.gates.open = True
        self.sweep(index)
        await self.settle()
        self.gates.open = False

    @staticmethod
    async def _sweep(replica: RunningReplica) -> None:
        with contextlib.suppress(OutcomeUnknownError, UnavailableError):  # as `BudgetSweep.run` does
            await replica.sweep.sweep()

    async def _stored_accounts(self) -> dict[str, bytes]:
        return {name: value for name, (_, value) in self.budgets.values.items()}

    async def settle(self) -> None:
        """Run the event loop until every step waits."""
        ready = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]  # all turns cost more than the test
        idle = 0
        for _ in range(_TURNS):
            await asyncio.sleep(0)
            idle = 0 if ready else idle + 1
            if idle == _IDLE_TURNS:
                return

    async def serve(self) -> None:
        """Start both replicas, then close the gates."""
        self.gates.open = True
        self.start(0)
        self.start(1)
        await self.settle()
        self.gates.open = False

    async def finish(self) -> None:
        """Open all gates, start missing replicas, and let every job end."""
        for index, replica in enumerate(self.replicas):
            if replica is None:
                self.start(index)
        self.gates.open = True
        self.gates.held.clear()
        self.gates.failing = self.gates.losing = 0
        while self.gates.waiting:
            self.gates.release(0)
            await self.settle()
        for _ in range(6):
            await self.settle()
            self.reconcile(0)
            self.reconcile(1)
        await self.settle()
        self.sweep(0)
        self.sweep(1)
        await self.settle()

    def assert_nothing_is_held(self) -> None:
        """Assert that no replica holds, queues or runs a job, and that no slot is used."""
        for replica in self.replicas:
            assert replica is not None
            assert replica.ready
            assert not replica.feed.live, "an ended job is still held"
            assert replica.execution.admission.idle, "an ended job is still queued or holds slots"
            assert replica.execution.steps.idle, "a step has not ended"

    async def close(self) -> None:
        """Stop both replicas."""
        self.gates.open = True
        for index in (0, 1):
            self.crash(index)
        await self.providers.close()
        await asyncio.sleep(0)
        for projection in self._projections:
            projection.close()
