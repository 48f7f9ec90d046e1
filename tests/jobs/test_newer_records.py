"""Records of a newer version: fields and values that this version does not know survive its writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from google.protobuf.unknown_fields import UnknownFieldSet
from imagegateway.job.v1.job_record_pb2 import JobRecord
from imagegateway.jobs import states

from tests.jobs import records

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from tests.jobs.replica import Replica

NUMBER: Final = 5000
FIELD: Final = b"\xc0\xb8\x02\x07"
"""Field NUMBER with the value 7, as a newer version writes it."""
NEWER_VALUE: Final = 99
"""Value of an enum that this version does not know."""


def unknown(message: Message) -> list[tuple[int, object]]:
    fields = UnknownFieldSet(message)
    return [(fields[index].field_number, fields[index].data) for index in range(len(fields))]


async def test_unknown_fields_and_values_of_a_job_survive_to_its_end(replica: Replica) -> None:
    record = records.job()
    record.MergeFromString(FIELD)
    record.task.MergeFromString(FIELD)
    record.warnings.add(code="newer").MergeFromString(FIELD)
    await replica.submit(record)
    await replica.ended(record.id)
    entry = await replica.stream.last(record.id)
    assert entry
    assert entry.record.state == states.COMPLETED
    assert unknown(entry.record) == unknown(entry.record.task) == unknown(entry.record.warnings[0]) == [(NUMBER, 7)]


def test_unknown_value_of_an_enum_survives_a_copy() -> None:
    newer = JobRecord.FromString(bytes([7 << 3, NEWER_VALUE]))  # field 7 is the state
    copied = JobRecord()
    copied.CopyFrom(newer)
    assert JobRecord.FromString(copied.SerializeToString()).state == NEWER_VALUE
