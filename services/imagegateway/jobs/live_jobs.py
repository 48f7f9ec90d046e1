"""Live jobs: the records that a replica holds in memory, packed as bytes.

Bytes are no objects for the garbage collector. With message objects, each full collection would hold the event loop
for a tenth of a second at 100,000 jobs.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from imagegateway.job.v1.job_record_pb2 import JobRecord
from imagegateway.jobs import states
from imagegateway.jobs.segmented_dict import SEGMENT, SegmentedDict
from imagegateway.jobs.stream import Entry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    StateValue: TypeAlias = JobRecord.State.ValueType

_HEAD: Final = Struct("<QqIB?")
"""Sequence, deadline, number of the owner, state, and whether the provider call is open."""


class JobSummary(NamedTuple):
    """Fields of a live job that are readable without its whole record."""

    seq: int
    deadline: int
    """Unix milliseconds."""
    owner: str
    state: StateValue
    call_open: bool

    @property
    def ended(self) -> bool:
        """True if the job has ended."""
        return self.state in states.TERMINAL


class LiveJobs(Mapping[str, Entry]):
    """Newest entry of each live job by its id. Each lookup returns a new object: changes to it are not kept."""

    def __init__(self) -> None:
        self._packed: SegmentedDict[bytes] = SegmentedDict()
        self._owners: list[str] = []
        self._owner_numbers: dict[str, int] = {}
        self._jobs: Counter[tuple[str, StateValue]] = Counter()
        self._bytes: Counter[str] = Counter()

    def __getitem__(self, job_id: str) -> Entry:
        packed = self._packed[job_id]
        return Entry(_HEAD.unpack_from(packed)[0], JobRecord.FromString(packed[_HEAD.size :]))

    def __iter__(self) -> Iterator[str]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)

    def __contains__(self, job_id: object) -> bool:
        return job_id in self._packed

    def summary(self, job_id: str) -> JobSummary | None:
        """Return the summary of a job; None for a job that is not held."""
        packed = self._packed.get(job_id)
        return None if packed is None else self._summary(packed)

    def sequence(self, job_id: str) -> int | None:
        """Return the sequence of a job's entry; None for a job that is not held."""
        packed = self._packed.get(job_id)
        return None if packed is None else int(_HEAD.unpack_from(packed)[0])

    def summaries(self) -> Iterator[list[tuple[str, JobSummary]]]:
        """Yield the ids and summaries of all jobs, oldest first, in lists that one turn of the event loop handles.

        Each list is as of the time when it is yielded. A job that is held all the time is in one of them.
        """
        for part in self._packed.slices():
            yield [(job_id, self._summary(packed)) for job_id, packed in part]

    def hold(self, entry: Entry) -> None:
        """Hold a job's entry in place of its previous one."""
        record = entry.record
        if previous := self._packed.get(record.id):
            self._count_no_more(previous, record.tenant)
        head = _HEAD.pack(entry.seq, record.deadline, self._number(record.owner), record.state, record.call_open)
        self._packed[record.id] = packed = head + record.SerializeToString()
        self._jobs[record.owner, record.state] += 1
        self._bytes[record.tenant] += len(packed) - _HEAD.size

    def drop(self, record: JobRecord) -> None:
        """Hold a job no more. Idempotent."""
        if packed := self._packed.pop(record.id, None):
            self._count_no_more(packed, record.tenant)

    async def unfinished(self) -> AsyncIterator[JobRecord]:
        """Yield the records, as they are at the call, of jobs whose cost is not final. Other work runs in between."""
        for number, packed in enumerate(self._packed.snapshot(), 1):
            *_, state, call_open = _HEAD.unpack_from(packed)
            if call_open or state not in states.TERMINAL:
                yield JobRecord.FromString(packed[_HEAD.size :])
            if number % SEGMENT == 0:
                await asyncio.sleep(0)

    def count(self, owner: str, state: StateValue) -> int:
        """Return the number of an owner's jobs in a state."""
        return self._jobs[owner, state]

    def bytes_of(self, tenant: str) -> int:
        """Return the size of a tenant's records."""
        return self._bytes[tenant]

    def _summary(self, packed: bytes) -> JobSummary:
        seq, deadline, owner, state, call_open = _HEAD.unpack_from(packed)
        return JobSummary(seq, deadline, self._owners[owner], state, call_open)

    def _count_no_more(self, packed: bytes, tenant: str) -> None:
        _, _, owner, state, _ = _HEAD.unpack_from(packed)
        self._jobs[self._owners[owner], state] -= 1
        self._bytes[tenant] -= len(packed) - _HEAD.size
        if not self._bytes[tenant]:
            del self._bytes[tenant]

    def _number(self, owner: str) -> int:
        number = self._owner_numbers.setdefault(owner, len(self._owners))
        if number == len(self._owners):
            self._owners.append(owner)
        return number
