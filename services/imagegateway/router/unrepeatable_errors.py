"""Errors of calls whose job goes on, or is done: a repeat of the call would make, and pay, a second one."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from imagegateway.platform.errors import UNAVAILABLE_SECONDS, GatewayError, UnavailableError
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imagegateway.job.v1.job_record_pb2 import JobRecord

_CROWDED_SECONDS: Final = 5.0


def goes_on(job_id: str) -> GatewayError:
    """Return the error of a call whose replica stops while another one goes on with the job."""
    return GatewayError(
        ErrorReason.ERROR_REASON_PROVIDER_TIMEOUT,
        f"The gateway restarts. Job {job_id} goes on: GET /v1/jobs/{job_id} has its result.",
        details={"job_id": job_id},
    )


def unreadable(record: JobRecord, error: UnavailableError) -> GatewayError:
    """Return the error of a call whose images can't be stored or read now."""
    return GatewayError(
        ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE,
        f"The images can't be given out now: {error}. Job {record.id} goes on: GET /v1/jobs/{record.id} has them.",
        retry_after=UNAVAILABLE_SECONDS,
        details={"job_id": record.id},
        paid=True,
    )


def crowded(record: JobRecord) -> GatewayError:
    """Return the error of a call whose images find no room in this process's memory."""
    return GatewayError(
        ErrorReason.ERROR_REASON_OVERLOADED,
        "The gateway is sending as many images as it can hold. "
        f"Job {record.id} keeps its result: GET /v1/jobs/{record.id} has it.",
        retry_after=_CROWDED_SECONDS,
        details={"job_id": record.id},
        paid=True,
    )


@contextlib.contextmanager
def readable(record: JobRecord) -> Iterator[None]:
    """Name the job where the store can't give out its images."""
    try:
        yield
    except UnavailableError as error:
        raise unreadable(record, error) from error
