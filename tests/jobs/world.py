"""Two router replicas over one in-memory stream, in which every step waits until the test lets it go on."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from imagegateway.jobs.circuit_breaker import CircuitBreakers
from imagegateway.jobs.credentials import JobCredentials
from imagegateway.jobs.execution import JobExecution
from imagegateway.jobs.feed import JobFeed
from imagegateway.jobs.limits import Limits
from imagegateway.jobs.list_file import JobListFile
from imagegateway.jobs.membership import Membership
from imagegateway.jobs.stream_errors import OutcomeUnknownError, StaleError
from imagegateway.keys.root_secret import RootSecret
from imagegateway.platform.errors import GatewayError
from imagegateway.platform.supervision import Supervisor

from tests.jobs.families import ScriptedFamilies
from tests.jobs.index import inline_index
from tests.jobs.memory import Log, memory_stream

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine

    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.jobs.route_fallback import Fallback
    from imagegateway.jobs.stream import JobStream
    from imagegateway.media.store import MediaStore
    from imagegateway.provider.v1 import provider_service_pb2 as provider

_TURNS = 60
"""AdmissionControl of the loop after which everything waits at a gate."""


def _nowhere(_task: provider.ImageTask, _avoid: Callable[[str], bool], _stored: Collection[str]) -> None:
    """There is one route only."""


class Known(Membership):
    """Knows who lives by what the test says."""

    def __init__(self, name: str, life: int, lives: dict[str, str]) -> None:
        self.name = name
        self.incarnation = str(life)
        self._living = lives
        lives[name] = self.incarnation

    def is_expired(self, owner: str) -> bool:
        name, _, life = owner.partition("/")
        return self._living.get(name) != life


@dataclass(slots=True)
class Gates:
    """Steps that wait, oldest first.

    `open`: nothing waits, except for what is in `held`. As many of the next requests fail before they are sent as
    `failing` says, and as many of the next answers get lost as `losing` says.
    """

    waiting: list[asyncio.Future[None]] = field(default_factory=list)
    open: bool = False
    held: set[str] = field(default_factory=set)
    failing: int = 0
    losing: int = 0

    async def __call__(self, what: str) -> None:
        if what == "request" and self.failing:
            self.failing -= 1
            raise OutcomeUnknownError
        if what == "answer" and self.losing:
            self.losing -= 1
            raise OutcomeUnknownError
        if self.open and what not in self.held:
            return
        gate = asyncio.get_running_loop().create_future()
        self.waiting.append(gate)
        try:
            await gate
        finally:
            if gate in self.waiting:
                self.waiting.remove(gate)

    def release(self, choice: int) -> None:
        """Let one step go on."""
        self.waiting = [gate for gate in self.waiting if not gate.done()]
        if self.waiting:
            self.waiting.pop(choice % len(self.waiting)).set_result(None)


@dataclass(slots=True)
class Life:
    """A replica from its start to its crash."""

    feed: JobFeed
    execution: JobExecution
    stream: JobStream
    supervisor: Supervisor = field(default_factory=Supervisor)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    ready: bool = False

    def spawn(self, work: Coroutine[None, None, None]) -> None:
        self.tasks.append(asyncio.create_task(work))


@dataclass(slots=True)
class World:
    """The whole: `gates` lets steps go on, one at a time."""

    store: MediaStore
    families: ScriptedFamilies = field(default_factory=ScriptedFamilies)
    route_limit: int = 1
    fallback: Fallback = _nowhere
    log: Log = field(default_factory=Log)
    gates: Gates = field(default_factory=Gates)
    lives: list[Life | None] = field(default_factory=lambda: [None, None])
    accepted: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    """Jobs whose callers were told to try again."""
    _callers: list[asyncio.Task[None]] = field(default_factory=list)
    _living: dict[str, str] = field(default_factory=dict)
    _count: int = 0
    _projections: list[JobListFile] = field(
        default_factory=lambda: [JobListFile(Path(":memory:")), JobListFile(Path(":memory:"))]
    )

    def __post_init__(self) -> None:
        scripted_start, scripted_poll = self.families.on_start, self.families.on_poll

        async def start(request: provider.StartRequest) -> provider.TaskState:
            await self.gates("start")
            state = await scripted_start(request)
            await self.gates("started")
            return state

        async def poll(request: provider.PollRequest) -> provider.TaskState | None:
            await self.gates("poll")
            return await scripted_poll(request)

        self.families.on_start, self.families.on_poll = start, poll

    def start(self, index: int) -> None:
        """Start a replica, in place of its earlier life."""
        self.crash(index)
        self._count += 1
        membership = Known(f"r{index}", self._count, self._living)
        stream = memory_stream(self.log, self.gates)
        feed = JobFeed(stream, inline_index(self._projections[index]))
        execution = JobExecution.compose(
            stream=stream,
            feed=feed,
            provider_client=self.families,
            membership=membership,
            limits=Limits(routes={}, default=self.route_limit, tenant=self.route_limit),
            store=self.store,
            price=lambda _task, _done: None,
            fallback=self.fallback,
            breakers=CircuitBreakers(),
            credentials=JobCredentials(RootSecret("root secret of the tests")),
            queue_limit=1000,
            tenant_bytes=1 << 26,
            tenant_stored_bytes=1 << 30,
        )
        life = Life(feed, execution, stream)
        self.lives[index] = life
        life.spawn(self._run(index, life))

    async def _run(self, index: int, life: Life) -> None:
        try:
            await life.feed.start(life.supervisor)
        except OutcomeUnknownError:
            self.start(index)  # as the process manager does
            return
        life.execution.reconciler.reconcile()
        life.ready = True
        await life.execution.worker.run()

    def crash(self, index: int) -> None:
        """`kill -9`: nothing that waits goes on."""
        life, self.lives[index] = self.lives[index], None
        if life is None:
            return
        # The write of a refused job is settled after its caller was told: a crash before that leaves it to others.
        self.refused = {job_id for job_id in self.refused if not life.execution.steps.is_busy(job_id)}
        self._living.pop(f"r{index}")
        for task in [*life.tasks, *life.execution.tasks._tasks, *life.supervisor._tasks]:
            task.cancel()

    def submit(self, index: int, record: JobRecord, *, has_idempotency_key: bool = False) -> None:
        """Submit on a replica that serves."""
        life = self.lives[index]
        if life and life.ready:
            life.spawn(self._submit(life, record, has_idempotency_key=has_idempotency_key))
            self._callers.append(life.tasks[-1])

    async def _submit(self, life: Life, record: JobRecord, *, has_idempotency_key: bool) -> None:
        # A twin with the same id is no error: it finds its job there.
        with contextlib.suppress(StaleError):
            try:
                await life.execution.submission.submit(record, has_idempotency_key=has_idempotency_key)
            except GatewayError:
                self.refused.add(record.id)
                return
        self.accepted.add(record.id)

    def hang_up(self, choice: int) -> None:
        """Let a caller go away who waits for the write of its job."""
        waiting = [caller for caller in self._callers if not caller.done()]
        if waiting:
            waiting[choice % len(waiting)].cancel()

    def cancel(self, index: int, job_id: str) -> None:
        """Cancel on a replica that serves."""
        life = self.lives[index]
        if life and life.ready:
            life.spawn(self._cancel(life, job_id))

    @staticmethod
    async def _cancel(life: Life, job_id: str) -> None:
        entry = await life.stream.last(job_id)
        if entry:
            await life.execution.cancellation.cancel(entry)

    def look(self, index: int) -> None:
        """The moment at which a replica takes over what is orphaned."""
        life = self.lives[index]
        if life and life.ready:
            life.execution.reconciler.reconcile()

    async def settle(self) -> None:
        """Until everything waits."""
        for _ in range(_TURNS):
            await asyncio.sleep(0)

    async def serve(self) -> None:
        """Start both membership, and hold up what they do from then on."""
        self.gates.open = True
        self.start(0)
        self.start(1)
        await self.settle()
        self.gates.open = False

    async def finish(self) -> None:
        """Nothing is held up any more, and both replicas live: let all come to its end."""
        for index, life in enumerate(self.lives):
            if life is None:
                self.start(index)
        self.gates.open = True
        self.gates.held.clear()
        self.gates.failing = self.gates.losing = 0
        while self.gates.waiting:
            self.gates.release(0)
            await self.settle()
        for _ in range(6):
            await self.settle()
            self.look(0)
            self.look(1)
        await self.settle()

    def assert_nothing_is_held(self) -> None:
        """No replica waits for a job, counts slots for one, or goes on with one."""
        for life in self.lives:
            assert life is not None
            assert life.ready
            assert not life.feed.live, "an ended job is still held"
            assert life.execution.admission.idle, "an ended job is still queued or holds slots"
            assert life.execution.steps.idle, "a step has not ended"

    async def close(self) -> None:
        """End everything."""
        self.gates.open = True
        for index in (0, 1):
            self.crash(index)
        await self.families.close()
        await asyncio.sleep(0)
        for projection in self._projections:
            projection.close()
