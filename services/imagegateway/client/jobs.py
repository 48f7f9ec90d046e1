"""Wait for a job over its event stream."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import grpc
from imagegateway.v1 import image_service_pb2, image_service_pb2_grpc

if TYPE_CHECKING:
    from imagegateway.v1 import job_pb2

_TERMINAL: Final = frozenset({"completed", "failed", "cancelled"})
_RECONNECT_SECONDS: Final = 0.5


class JobTimeoutError(TimeoutError):
    """The job has not ended in time. The job continues."""


def wait_for_job(channel: grpc.Channel, job_id: str, timeout: float | None = None) -> job_pb2.Job:
    """Return the job once it is completed, failed or cancelled. Reconnect when the stream breaks.

    `timeout` is in seconds; None waits without limit. Raises JobTimeoutError, and grpc.RpcError for errors of the
    gateway, such as NOT_FOUND.
    """
    stub = image_service_pb2_grpc.ImageServiceStub(channel)
    request = image_service_pb2.StreamJobRequest(job_id=job_id)
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        remaining = None if deadline is None else max(deadline - time.monotonic(), 0)
        try:
            for event in stub.StreamJob(request, timeout=remaining):
                if event.job.status in _TERMINAL:
                    return event.job
        except grpc.RpcError as error:
            match error.code():
                case grpc.StatusCode.UNAVAILABLE:
                    pass
                case grpc.StatusCode.DEADLINE_EXCEEDED if deadline is not None:
                    raise JobTimeoutError(f"{job_id} has not ended after {timeout:g} s") from None
                case _:
                    raise
        if deadline is not None and time.monotonic() >= deadline:
            raise JobTimeoutError(f"{job_id} has not ended after {timeout:g} s")
        time.sleep(_RECONNECT_SECONDS)
