"""Size limits of job records, and the trimming of ended records that exceed the server's limit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from imagegateway.jobs import states
from imagegateway.platform.errors import GatewayError
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imagegateway.job.v1.job_record_pb2 import JobRecord

HEADERS_BYTES: Final = 1024
"""Upper bound of a message's subject and headers, which NATS counts as payload."""
GROWTH_BYTES: Final = 128 * 1024
"""Room that a new record leaves for later ones: result, warnings, webhook attempts."""
MAX_FIELDS_BYTES: Final = 64 * 1024
"""Largest size of a new record without its prompts, which have limits of their own."""
MAX_NEW_BYTES: Final = 320 * 1024
"""Largest size of a new record: two prompts of 32,000 characters, and the other fields."""
_SHORT: Final = 500
"""Length of a shortened text in characters."""


def check_new(record: JobRecord) -> None:
    """Raise GatewayError REQUEST_TOO_LARGE for a new record that exceeds its limits."""
    task, size = record.task, record.ByteSize()
    fields = size - len(task.prompt.encode()) - len(task.negative_prompt.encode())
    if fields <= MAX_FIELDS_BYTES and size <= MAX_NEW_BYTES:
        return
    options = task.provider_options.ByteSize()
    large = options > MAX_FIELDS_BYTES // 2
    raise GatewayError(
        ErrorReason.ERROR_REASON_REQUEST_TOO_LARGE,
        f"provider_options has {options} bytes; all fields but the prompts may have {MAX_FIELDS_BYTES} together."
        if large
        else f"The request's fields have {size} bytes, which is more than a job keeps: shorten them.",
        param="provider_options" if large else None,
    )


def trim(record: JobRecord, limit: int) -> None:
    """Shorten an ended job's record to at most `limit` bytes, least important parts first.

    The result, which is billed, goes last; the job becomes failed then, and its error says why.
    """
    for _ in _steps(record):
        if record.ByteSize() <= limit:
            return


def _steps(record: JobRecord) -> Iterator[None]:
    """Yield after the removal of each part."""
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
    model, route, media_days = task.model, task.route, task.media_days
    record.ClearField("task")
    record.task.model, record.task.route, record.task.media_days = model, route, media_days
    yield
    record.ClearField("done")
    record.metadata.clear()
    if record.state == states.COMPLETED and not record.ended_seq:
        record.state = states.FAILED
        record.failed.reason = ErrorReason.ERROR_REASON_INTERNAL
        record.failed.message = "The job's record became larger than the gateway can keep."
        record.failed.may_be_billed = True
    yield
