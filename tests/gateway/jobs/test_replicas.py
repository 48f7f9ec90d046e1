"""Two routers: each one knows, streams and cancels the other's jobs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from imagegateway.v1 import image_service_pb2 as pb

from tests.gateway.jobs import sse, wire
from tests.gateway.jobs.test_stream import as_event, over_grpc
from tests.support.stack import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imagegateway.v1 import image_service_pb2_grpc as pb_grpc

    from tests.gateway.jobs.calls import Caller


@pytest.fixture
def first(caller: Caller) -> Iterator[pb_grpc.ImageServiceStub]:
    with wire.router(caller, 0) as stub:
        yield stub


@pytest.fixture
def second(caller: Caller) -> Iterator[pb_grpc.ImageServiceStub]:
    with wire.router(caller, 1) as stub:
        yield stub


def test_job_of_one_router_is_streamed_by_another_and_cancelled_by_the_first(
    caller: Caller, first: pb_grpc.ImageServiceStub, second: pb_grpc.ImageServiceStub
) -> None:
    job_id = wire.submit(first, caller, provider_options={"delay": 60, "steps": 200})
    seen: list[sse.Event] = []
    for message in over_grpc(second, caller, job_id):
        seen.append(as_event(message))
        if len(seen) == 3:
            first.CancelJob(pb.CancelJobRequest(job_id=job_id), metadata=wire.metadata(caller), timeout=wire.SECONDS)
    sse.check(seen, job_id)
    assert seen[-1].name == "job.cancelled"


def test_cancel_on_another_router_stops_the_job(
    caller: Caller, first: pb_grpc.ImageServiceStub, second: pb_grpc.ImageServiceStub
) -> None:
    for _ in range(10):
        job_id = wire.submit(first, caller, delay=60)
        request = pb.CancelJobRequest(job_id=job_id)
        job = second.CancelJob(request, metadata=wire.metadata(caller), timeout=wire.SECONDS)
        assert job.status == "cancelled"
        get = pb.GetJobRequest(job_id=job_id)
        for stub in (first, second):
            assert stub.GetJob(get, metadata=wire.metadata(caller), timeout=wire.SECONDS).status == "cancelled"
        (event,) = [as_event(message) for message in over_grpc(first, caller, job_id)]
        assert event.name == "job.cancelled"


def test_read_on_another_router_is_never_older_than_the_response(
    caller: Caller, first: pb_grpc.ImageServiceStub, second: pb_grpc.ImageServiceStub
) -> None:
    for _ in range(20):
        job_id = wire.submit(first, caller)
        get = pb.GetJobRequest(job_id=job_id)
        assert second.GetJob(get, metadata=wire.metadata(caller), timeout=wire.SECONDS).id == job_id
        image = first.Generate(wire.small(), metadata=wire.metadata(caller), timeout=wire.SECONDS)
        get = pb.GetJobRequest(job_id=image.id)
        assert second.GetJob(get, metadata=wire.metadata(caller), timeout=wire.SECONDS).status == "completed"


def test_stream_resumes_on_another_router(
    caller: Caller, first: pb_grpc.ImageServiceStub, second: pb_grpc.ImageServiceStub
) -> None:
    job_id = wire.submit(first, caller, provider_options={"delay": 3, "steps": 12})
    whole = sse.Follower(caller, job_id)
    eventually(lambda: bool(whole.events), 30, "the other subscriber has begun")
    seen: list[sse.Event] = []
    stubs = [first, second]
    while not (seen and seen[-1].terminal):
        stub = stubs[len(seen) % 2]
        call = stub.StreamJob(
            pb.StreamJobRequest(job_id=job_id, after=str(seen[-1].id) if seen else ""),
            metadata=wire.metadata(caller),
            timeout=wire.SECONDS,
        )
        seen.append(as_event(next(call)))
        call.cancel()
    sse.check(seen, job_id)
    ids = [event.id for event in seen]
    # What one look brings after another break may skip progress that was overtaken, but never a change of status.
    assert set(ids) <= {event.id for event in whole.result(30)} | {ids[0]}
    assert seen[-1].id == whole.events[-1].id


def test_concurrent_calls_with_one_key_on_both_routers_make_one_job(
    caller: Caller, first: pb_grpc.ImageServiceStub, second: pb_grpc.ImageServiceStub, mark: str
) -> None:
    request = wire.small(request_id=mark, provider_options={"delay": 1})
    stubs = [first, second] * 10
    with ThreadPoolExecutor(len(stubs)) as pool:
        answers = list(
            pool.map(lambda stub: stub.Generate(request, metadata=wire.metadata(caller), timeout=wire.SECONDS), stubs)
        )
    assert len({answer.id for answer in answers}) == 1
    assert len({answer.data[0].seed for answer in answers}) == 1
