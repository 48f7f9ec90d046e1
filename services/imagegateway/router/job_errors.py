"""Errors of calls about jobs.

A call whose job goes on, or is done, names the job: a repeat of the call would make, and bill, a second one.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from imagegateway.jobs import states
from imagegateway.jobs.stream_errors import OutcomeUnknownError, unavailable
from imagegateway.platform.errors import UNAVAILABLE_SECONDS, GatewayError, UnavailableError
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.provider.v1 import provider_service_pb2 as provider

_REJECTED: Final = "Your request was rejected as a result of the safety system."
"""The sentence by which clients that read only the text, such as LiteLLM, recognise a moderation error."""


def job_not_found(job_id: str) -> GatewayError:
    """Return the error of a job that the caller's tenant does not have."""
    return GatewayError(ErrorReason.ERROR_REASON_JOB_NOT_FOUND, f"There is no job {job_id[:60]!r}.", param="job_id")


def media_expired(job_id: str) -> GatewayError:
    """Return the error of a job whose media are deleted."""
    return GatewayError(
        ErrorReason.ERROR_REASON_EXPIRED,
        f"The media of job {job_id} are gone: their retention is over, or the job was erased.",
        details={"job_id": job_id},
    )


def job_continues(job_id: str) -> GatewayError:
    """Return the error of a call whose replica stops while another replica goes on with the job."""
    return GatewayError(
        ErrorReason.ERROR_REASON_PROVIDER_TIMEOUT,
        f"The gateway restarts. Job {job_id} goes on: GET /v1/jobs/{job_id} has its result.",
        details={"job_id": job_id},
    )


def images_unavailable(job_id: str, error: UnavailableError) -> GatewayError:
    """Return the error of a call whose images can't be stored or read now."""
    return GatewayError(
        ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE,
        f"The images can't be given out now: {error}. Job {job_id} goes on: GET /v1/jobs/{job_id} has them.",
        retry_after=UNAVAILABLE_SECONDS,
        details={"job_id": job_id},
        paid=True,
    )


def response_memory_exhausted(job_id: str) -> GatewayError:
    """Return the error of a call whose images find no memory in this process."""
    return GatewayError(
        ErrorReason.ERROR_REASON_OVERLOADED,
        f"The gateway is sending as many images as it can hold. Job {job_id} keeps its result: "
        f"GET /v1/jobs/{job_id} has it.",
        retry_after=UNAVAILABLE_SECONDS,
        details={"job_id": job_id},
        paid=True,
    )


def job_failure(record: JobRecord) -> GatewayError:
    """Return the error of a job that ended without images."""
    if record.state == states.CANCELLED:
        return GatewayError(
            ErrorReason.ERROR_REASON_CANCELLED, f"Job {record.id} was cancelled.", details={"job_id": record.id}
        )
    failed = record.failed
    return GatewayError(
        failed.reason,
        failure_message(failed),
        param=failed.param or None,
        retry_after=failed.retry_after.ToTimedelta().total_seconds() if failed.HasField("retry_after") else None,
        details={"job_id": record.id},
    )


def failure_message(failed: provider.Failed) -> str:
    """Return the text of a job's failure."""
    if failed.reason == ErrorReason.ERROR_REASON_MODERATION_BLOCKED:
        return f"{failed.message} {_REJECTED}"
    return failed.message


@contextlib.contextmanager
def naming_job(record: JobRecord) -> Iterator[None]:
    """Raise `images_unavailable` for an UnavailableError of the body."""
    try:
        yield
    except UnavailableError as error:
        raise images_unavailable(record.id, error) from error


@contextlib.contextmanager
def engine_errors() -> Iterator[None]:
    """Raise GatewayError SERVICE_UNAVAILABLE where the job engine does not answer the body."""
    try:
        yield
    except OutcomeUnknownError:
        raise unavailable() from None
