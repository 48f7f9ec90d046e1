"""Client package against an in-process gRPC server: authentication, safe retries, and the wait for a job."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from imagegateway.client import JobTimeoutError, connect, jobs, wait_for_job
from imagegateway.v1 import image_service_pb2 as pb
from imagegateway.v1 import image_service_pb2_grpc as pb_grpc
from imagegateway.v1 import job_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Status = grpc.StatusCode


@pytest.fixture(autouse=True)
def quick_reconnection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "_RECONNECT_SECONDS", 0.01)


class Images:
    """Image service that fails with each code in turn, then succeeds. `streams` are the statuses of each stream."""

    def __init__(self, errors: Sequence[grpc.StatusCode] = (), streams: Sequence[Sequence[str]] = ()) -> None:
        self.errors = list(errors)
        self.streams = [list(statuses) for statuses in streams]
        self.request_ids: list[str] = []
        self.authorizations: set[object] = set()

    def generate(self, request: pb.GenerateRequest, context: grpc.ServicerContext) -> pb.ImagesResponse:
        self.request_ids.append(request.request_id)
        self.authorizations.add(dict(context.invocation_metadata()).get("authorization"))
        if self.errors:
            context.abort(self.errors.pop(0), "")
        return pb.ImagesResponse(id="job_1")

    def stream_job(
        self, request: pb.StreamJobRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.StreamJobResponse]:
        self.authorizations.add(dict(context.invocation_metadata()).get("authorization"))
        if not self.streams:
            context.abort(Status.NOT_FOUND, "")
        for status in self.streams.pop(0):
            if status == "hang":
                ended = threading.Event()
                context.add_callback(ended.set)
                ended.wait(20)
                return
            yield pb.StreamJobResponse(job=job_pb2.Job(id=request.job_id, status=status))
        context.abort(Status.UNAVAILABLE, "")


@contextmanager
def served(images: Images) -> Iterator[grpc.Channel]:
    handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        "Generate": grpc.unary_unary_rpc_method_handler(
            images.generate, pb.GenerateRequest.FromString, pb.ImagesResponse.SerializeToString
        ),
        "StreamJob": grpc.unary_stream_rpc_method_handler(
            images.stream_job, pb.StreamJobRequest.FromString, pb.StreamJobResponse.SerializeToString
        ),
    }
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("imagegateway.v1.ImageService", handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with connect(f"127.0.0.1:{port}", "secret") as channel:
            yield channel
    finally:
        server.stop(None).wait()


def generate(channel: grpc.Channel, request_id: str = "") -> pb.ImagesResponse:
    request = pb.GenerateRequest(prompt="a lighthouse", request_id=request_id)
    return pb_grpc.ImageServiceStub(channel).Generate(request, timeout=20)


def test_unavailable_is_retried_with_one_request_id() -> None:
    images = Images([Status.UNAVAILABLE, Status.UNAVAILABLE])
    with served(images) as channel:
        assert generate(channel).id == "job_1"
    assert len(images.request_ids) == 3
    assert len(set(images.request_ids)) == 1
    assert images.request_ids[0]
    assert images.authorizations == {"Bearer secret"}


@pytest.mark.parametrize(
    "code", [Status.INTERNAL, Status.DEADLINE_EXCEEDED, Status.RESOURCE_EXHAUSTED, Status.UNKNOWN]
)
def test_other_errors_are_not_retried(code: grpc.StatusCode) -> None:
    images = Images([code])
    with served(images) as channel, pytest.raises(grpc.RpcError) as raised:
        generate(channel)
    assert raised.value.code() is code
    assert len(images.request_ids) == 1


def test_each_call_gets_its_own_request_id_and_the_callers_id_is_kept() -> None:
    images = Images()
    request = pb.GenerateRequest(prompt="a lighthouse")
    with served(images) as channel:
        stub = pb_grpc.ImageServiceStub(channel)
        stub.Generate(request, timeout=20)
        stub.Generate(request, timeout=20)
        generate(channel, request_id="mine")
    assert len(set(images.request_ids)) == 3
    assert images.request_ids[2] == "mine"
    assert not request.request_id


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
def test_wait_reconnects_until_the_job_has_ended(status: str) -> None:
    images = Images(streams=[["queued", "running"], [], ["running", status]])
    with served(images) as channel:
        assert wait_for_job(channel, "job_1", timeout=20).status == status
    assert images.authorizations == {"Bearer secret"}


def test_wait_ends_with_a_timeout_error_and_an_unknown_job_with_not_found() -> None:
    with served(Images(streams=[["running", "hang"]])) as channel:
        with pytest.raises(JobTimeoutError, match="job_1 has not ended"):
            wait_for_job(channel, "job_1", timeout=0.5)
        with pytest.raises(grpc.RpcError) as raised:
            wait_for_job(channel, "job_2", timeout=20)
    assert raised.value.code() is Status.NOT_FOUND
