"""Time for which many job records hold a replica's event loop, in a separate process: `python -m bench.records`.

One JSON line on the input has the number of records and a folder, one JSON line on the output the measurements. The
list index, the live jobs, their slots and polls, and the reconciler are the router's; nothing else runs.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import threading
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import uvloop
from imagegateway.job.v1.job_record_pb2 import JobRecord
from imagegateway.jobs import states
from imagegateway.jobs.admission import AdmissionControl
from imagegateway.jobs.background_tasks import BackgroundTasks
from imagegateway.jobs.job_steps import JobSteps
from imagegateway.jobs.limits import Limits
from imagegateway.jobs.list_index import JobListIndex
from imagegateway.jobs.list_query import Query
from imagegateway.jobs.live_jobs import LiveJobs
from imagegateway.jobs.polling import PollSchedule
from imagegateway.jobs.reconciler import Reconciler
from imagegateway.jobs.stream import Entry
from imagegateway.platform import ids
from imagegateway.platform.clock import unix_millis
from imagegateway.provider.v1 import provider_service_pb2 as provider
from imagegateway.stack.tuning import tune_allocation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_OWNER: Final = "bench/1"
_TENANTS: Final = 50
_SLICE: Final = 20
"""Records that this process makes in one iteration of the event loop."""
_PAUSE: Final = 0.001
_MONTHS_MILLIS: Final = 90 * 86_400_000


@dataclass(slots=True)
class _Holds:
    """Longest time between two turns of the event loop, longest work and longest garbage collection in it.

    All in seconds, without the time in which the loop's thread had no core. Time beyond the work is that of other
    threads that hold the interpreter, and of a machine with other load.
    """

    loop: float = 0.0
    work: float = 0.0
    collection: float = 0.0
    _began: float = 0.0
    phases: dict[str, dict[str, float]] = field(default_factory=dict)

    def on_collection(self, phase: str, _info: dict[str, int]) -> None:
        """Measure a garbage collection."""
        if phase == "start":
            self._began = time.thread_time()
        else:
            self.collection = max(self.collection, time.thread_time() - self._began)

    async def sample(self) -> None:
        """Measure the turns of the loop."""
        schedstat = os.open(f"/proc/self/task/{threading.get_native_id()}/schedstat", os.O_RDONLY)
        while True:
            began, worked, waited = time.perf_counter(), time.thread_time(), _run_delay(schedstat)
            await asyncio.sleep(_PAUSE)
            without_core = _run_delay(schedstat) - waited
            self.loop = max(self.loop, time.perf_counter() - began - _PAUSE - without_core)
            self.work = max(self.work, time.thread_time() - worked)

    @asynccontextmanager
    async def during(self, phase: str) -> AsyncIterator[None]:
        """Measure one phase."""
        gc.collect()
        await asyncio.sleep(3 * _PAUSE)
        self.loop = self.work = self.collection = 0.0
        began = time.perf_counter()
        yield
        seconds = time.perf_counter() - began
        await asyncio.sleep(3 * _PAUSE)
        self.phases[phase] = {
            "loop_ms": 1000 * self.loop,
            "work_ms": 1000 * self.work,
            "collection_ms": 1000 * self.collection,
            "seconds": seconds,
        }


def _run_delay(file: int) -> float:
    """Return the seconds for which a runnable thread has waited for a core."""
    return int(os.pread(file, 100, 0).split()[1]) / 1e9


def _entry(number: int, state: JobRecord.State.ValueType, created: int) -> Entry:
    record = JobRecord(
        id=ids.job(),
        tenant=f"tenant-{number % _TENANTS}",
        type="image.generation",
        modality="image",
        family="local",
        owner=_OWNER,
        state=state,
        task=provider.ImageTask(model="local/sketch", route="local", prompt="a lighthouse at dusk", n=1),
        created_at=created,
        updated_at=created,
        deadline=created + 86_400_000,
    )
    return Entry(number + 1, record)


async def _lists(holds: _Holds, folder: Path, count: int) -> None:
    index = await JobListIndex.open(folder / "jobs.sqlite", time.time)
    async with holds.during("writes"):
        for number in range(count):
            index.add(number + 1, _entry(number, states.COMPLETED, unix_millis() - _MONTHS_MILLIS))
            if number % _SLICE == 0:
                await asyncio.sleep(0)
        await index.page(Query("tenant-0"))  # writes all that is pending
    async with holds.during("lists"):
        for tenant in ("tenant-0", None):
            for status in ("", "completed", "failed"):
                for _ in range(3):
                    await index.page(Query(tenant, status=status, size=100))
    async with holds.during("expiry"):
        await index.expire(pause=_PAUSE)
    await index.close()


async def _live(holds: _Holds, count: int) -> None:
    live, polls = LiveJobs(), PollSchedule()
    admission = AdmissionControl(Limits(routes={}, default=count, tenant=count), _OWNER)
    async with holds.during("held jobs"):
        for number in range(count):
            entry = _entry(number, states.RUNNING, unix_millis())
            live.hold(entry)
            admission.apply(entry)
            polls.schedule_after(entry.record.id, 3600)
            if number % _SLICE == 0:
                await asyncio.sleep(0)
    parts: Any = SimpleNamespace(
        live=live,
        owner=_OWNER,
        is_attended=polls.__contains__,
    )
    reconciler = Reconciler(
        feed=parts,
        writer=parts,
        membership=parts,
        admission=admission,
        worker=parts,
        steps=JobSteps(BackgroundTasks()),
    )
    async with holds.during("reconciler"):
        await reconciler.reconcile()
    async with holds.during("full collection"):
        gc.collect()


async def _main() -> None:
    order = json.loads(sys.stdin.readline())
    holds = _Holds()
    tune_allocation()  # as a router, and its collection, too
    gc.freeze()
    gc.callbacks.append(holds.on_collection)
    sampling = asyncio.create_task(holds.sample())
    async with holds.during("nothing"):
        await asyncio.sleep(1)
    if order["part"] == "list":
        await _lists(holds, Path(order["folder"]), order["count"])
    else:
        await _live(holds, order["count"])
    sampling.cancel()
    print(json.dumps(holds.phases), flush=True)


if __name__ == "__main__":
    uvloop.run(_main())
