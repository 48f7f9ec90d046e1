"""Lost acknowledgements of written jobs: the caller gets a retryable error, and a retry is safe."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import grpc
import pytest
from imagegateway.v1 import image_service_pb2 as pb

from tests.gateway import inputs
from tests.gateway.jobs import wire
from tests.gateway.jobs.calls import marked, with_mark
from tests.gateway.jobs.stacks import BACK_SECONDS, all_ready
from tests.support.stack import eventually

if TYPE_CHECKING:
    from tests.gateway.jobs.calls import Caller
    from tests.gateway.jobs.external_nats.engine_proxy import Relay


def test_repeat_with_the_same_key_gets_its_images(relay: Relay, caller: Caller) -> None:
    """The job already exists when the retry reaches another router, and must not be deleted."""
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


def test_repeated_edit_runs_with_the_inputs_of_the_first_call(relay: Relay, caller: Caller) -> None:
    """Inputs of the first call stay until its job certainly does not exist."""
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


def test_refused_call_without_a_key_never_runs(relay: Relay, caller: Caller, mark: str) -> None:
    request = wire.small(metadata=marked(mark), provider_options={"delay": 1})
    with wire.router(caller, 0) as first:
        relay.hold("router-0")
        with pytest.raises(grpc.RpcError) as caught:
            first.Generate(request, metadata=wire.metadata(caller), timeout=wire.SECONDS)
        assert wire.code(caught.value) is grpc.StatusCode.UNAVAILABLE
        relay.release()
    eventually(lambda: all_ready(caller.stack), BACK_SECONDS, "both routers are connected again")
    for job in with_mark(caller.jobs(), mark):
        assert caller.end(job["id"])["status"] == "cancelled"
