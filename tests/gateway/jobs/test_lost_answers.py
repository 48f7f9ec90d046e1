"""Lost acknowledgements of written jobs: the caller gets a retryable error, and a retry is safe."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import grpc
import pytest
from imagegateway.v1 import image_service_pb2 as pb

from tests.gateway import inputs
from tests.gateway.jobs import wire
from tests.gateway.jobs.calls import Caller, marked, with_mark
from tests.gateway.jobs.engine_proxy import relayed
from tests.support.stack import running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.gateway.jobs.engine_proxy import Relay


@pytest.fixture(scope="module")
def relay() -> Iterator[Relay]:
    with relayed() as made:
        yield made


@pytest.fixture(scope="module")
def relayed_caller(relay: Relay) -> Iterator[Caller]:
    """Return the tenant of a stack with an external NATS server."""
    with running(routers="2", nats_url=relay.url) as stack:
        yield Caller(stack, stack.key)


def test_repeat_with_the_same_key_gets_its_images(relay: Relay, relayed_caller: Caller) -> None:
    """The job already exists when the retry reaches another router, and must not be deleted."""
    caller = relayed_caller
    request = wire.small(request_id=uuid.uuid4().hex, provider_options={"delay": 1})
    with wire.router(caller, 0) as first, wire.router(caller, 1) as second:
        relay.hold("router-0")
        with pytest.raises(grpc.RpcError) as caught:
            first.Generate(request, metadata=wire.metadata(caller), timeout=wire.SECONDS)
        assert wire.code(caught.value) is grpc.StatusCode.UNAVAILABLE
        repeat = second.Generate.future(request, metadata=wire.metadata(caller), timeout=wire.SECONDS)
        relay.release()
        answer = repeat.result()
    assert answer.data[0].url
    assert caller.job(answer.id)["status"] == "completed"


def test_repeated_edit_runs_with_the_inputs_of_the_first_call(relay: Relay, relayed_caller: Caller) -> None:
    """Inputs of the first call stay until its job certainly does not exist."""
    caller = relayed_caller
    request = pb.EditRequest(
        model="local/sketch",
        prompt="a red kite",
        image_content=[inputs.image_bytes(64, 64)],
        request_id=uuid.uuid4().hex,
    )
    with wire.router(caller, 0) as first, wire.router(caller, 1) as second:
        relay.hold("router-0")
        with pytest.raises(grpc.RpcError) as caught:
            first.Edit(request, metadata=wire.metadata(caller), timeout=wire.SECONDS)
        assert wire.code(caught.value) is grpc.StatusCode.UNAVAILABLE
        relay.release()
        answers = [second.Edit(request, metadata=wire.metadata(caller), timeout=wire.SECONDS) for _ in range(2)]
    assert answers[0].id == answers[1].id
    assert caller.job(answers[0].id)["status"] == "completed"


def test_refused_call_without_a_key_never_runs(relay: Relay, relayed_caller: Caller, mark: str) -> None:
    caller = relayed_caller
    request = wire.small(metadata=marked(mark), provider_options={"delay": 1})
    with wire.router(caller, 0) as first:
        relay.hold("router-0")
        with pytest.raises(grpc.RpcError) as caught:
            first.Generate(request, metadata=wire.metadata(caller), timeout=wire.SECONDS)
        assert wire.code(caught.value) is grpc.StatusCode.UNAVAILABLE
        relay.release()
    for job in with_mark(caller.jobs(), mark):
        assert caller.end(job["id"])["status"] == "cancelled"
