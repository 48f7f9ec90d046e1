"""How large a job's record may become, and what an ended job gives up to be written at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from imagegateway.v1.error_reason_pb2 import ErrorReason

from services.jobs import states

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imagegateway.job.v1.job_record_pb2 import JobRecord

HEADERS_BYTES: Final = 1024
"""More than the subject and headers of a message take: NATS counts them as part of its payload."""
GROWTH_BYTES: Final = 128 * 1024
"""Room that a new job leaves for what is written of it later: its result, its warnings, its webhook's attempts."""
_SHORT: Final = 500


def trim(record: JobRecord, limit: int) -> None:
    """Shorten an ended job's record until it has at most `limit` bytes, least important parts first.

    What was made and paid for goes last: then the job has failed, and says why.
    """
    for _ in _steps(record):
        if record.ByteSize() <= limit:
            return


def _steps(record: JobRecord) -> Iterator[None]:
    """Yield after each part that was given up."""
    task, done = record.task, record.done
    del done.partial_images[:]
    yield
    for attempt in record.webhook.attempts if record.HasField("webhook") else ():
        if attempt.HasField("error"):
            attempt.error = attempt.error[:_SHORT]
    yield
    task.ClearField("provider_options")
    yield
    for artifact in done.artifacts:
        artifact.revised_prompt = artifact.revised_prompt[:_SHORT]
    yield
    for missing in done.missing:
        missing.message = missing.message[:_SHORT]
    if record.HasField("failed"):
        record.failed.message = record.failed.message[:_SHORT]
    yield
    del record.warnings[:]
    del done.warnings[:]
    yield
    task.prompt = task.prompt[:_SHORT]
    task.negative_prompt = task.negative_prompt[:_SHORT]
    yield
    model, route = task.model, task.route
    record.ClearField("task")
    record.task.model, record.task.route = model, route
    yield
    record.ClearField("done")
    record.metadata.clear()
    if record.state == states.COMPLETED and not record.ended_seq:
        record.state = states.FAILED
        record.failed.reason = ErrorReason.ERROR_REASON_INTERNAL
        record.failed.message = "The job's record became larger than the gateway can keep."
        record.failed.accepted = True
    yield
