"""Isolation: for every public method, another tenant's id is an unknown one, and a key without scope does nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import grpc
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.rpc import error_details_pb2, status_pb2
from imagegateway.keys.policy import ALL_SCOPES, Scope
from imagegateway.router.permissions import scopes_of
from imagegateway.v1 import image_service_pb2 as pb

from tests.gateway import cases
from tests.gateway.jobs.calls import NO_JOB
from tests.gateway.jobs.stacks import new_caller

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.descriptor import MethodDescriptor
    from google.protobuf.message import Message

    from tests.gateway.jobs.calls import Caller
    from tests.support.stack import Stack

OPEN: Final = ("grpc.",)


def _methods() -> list[MethodDescriptor]:
    files = FileDescriptorSet.FromString(Path(pb.__file__).with_name("descriptors.binpb").read_bytes())
    pool = DescriptorPool()
    for file in files.file:
        pool.Add(file)
    services = [
        pool.FindServiceByName(f"{file.package}.{service.name}") for file in files.file for service in file.service
    ]
    return [method for service in services for method in service.methods]


METHODS: Final = {
    f"{method.containing_service.full_name}/{method.name}": method
    for method in _methods()
    if not method.containing_service.full_name.startswith(OPEN)
}
OF_JOBS: Final = sorted(name for name, method in METHODS.items() if "job_id" in method.input_type.fields_by_name)
OF_SCOPES: Final = sorted((name, scope) for name in METHODS for scope in ALL_SCOPES - scopes_of(name))


@pytest.fixture(scope="module")
def owner(stack: Stack) -> Caller:
    return new_caller(stack, "isolation-owner")


@pytest.fixture(scope="module")
def other(stack: Stack) -> Caller:
    return new_caller(stack, "isolation-other")


@pytest.fixture(scope="module")
def keys_of_one_scope(stack: Stack) -> dict[Scope, Caller]:
    return {scope: new_caller(stack, "isolation-owner", scopes=frozenset({scope})) for scope in Scope}


@pytest.fixture(scope="module")
def channel(stack: Stack) -> Iterator[grpc.Channel]:
    with cases.channel(stack) as opened:
        yield opened


@pytest.fixture(scope="module")
def job_id(owner: Caller) -> str:
    answer = owner.generate()
    assert answer.status == 200
    return str(answer.json()["id"])


def call(channel: grpc.Channel, name: str, key: str, fields: dict[str, Any]) -> grpc.RpcError | list[Message]:
    """Call a method with one message. Return the error, or the responses."""
    method = METHODS[name]
    request_type = message_factory.GetMessageClass(method.input_type)
    response_type = message_factory.GetMessageClass(method.output_type)
    known = {field: value for field, value in fields.items() if field in method.input_type.fields_by_name}
    stub = channel.stream_stream(
        f"/{name}",
        request_serializer=request_type.SerializeToString,
        response_deserializer=response_type.FromString,
    )
    metadata = (("authorization", f"Bearer {key}"),)
    try:
        return list(stub(iter([request_type(**known)]), metadata=metadata, timeout=30))
    except grpc.RpcError as error:
        return error


def outcome(error: grpc.RpcError | list[Message], given_id: str) -> tuple[object, ...]:
    """Return all that a caller sees of an error, without the id that the call named."""
    assert isinstance(error, grpc.RpcError), error
    details = cast("grpc.Call", error)
    trailers = dict(details.trailing_metadata() or ())
    status = status_pb2.Status.FromString(cast("bytes", trailers.get("grpc-status-details-bin", b"")))
    return details.code(), str(details.details()).replace(given_id, "ID"), str(status).replace(given_id, "ID")


def reason(error: grpc.RpcError | list[Message]) -> str:
    assert isinstance(error, grpc.RpcError), error
    trailers = dict(cast("grpc.Call", error).trailing_metadata() or ())
    info = error_details_pb2.ErrorInfo()
    for detail in status_pb2.Status.FromString(cast("bytes", trailers["grpc-status-details-bin"])).details:
        detail.Unpack(info)
    return str(info.reason)


@pytest.mark.parametrize("method", OF_JOBS)
def test_id_of_another_tenant_is_unknown(channel: grpc.Channel, method: str, other: Caller, job_id: str) -> None:
    seen = [
        outcome(call(channel, method, other.key, {"job_id": given, "filename": "0.png"}), given)
        for given in (job_id, NO_JOB)
    ]
    assert seen[0] == seen[1]
    assert seen[0][0] == grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(("method", "scope"), OF_SCOPES)
def test_key_without_the_scope_is_refused(
    channel: grpc.Channel, method: str, scope: Scope, keys_of_one_scope: dict[Scope, Caller], job_id: str
) -> None:
    fields = {"job_id": job_id, "filename": "0.png", "prompt": "a house", "model": "local/sketch"}
    error = call(channel, method, keys_of_one_scope[scope].key, fields)
    assert isinstance(error, grpc.RpcError), error
    assert cast("grpc.Call", error).code() == grpc.StatusCode.PERMISSION_DENIED
    assert reason(error) == "INSUFFICIENT_SCOPE"


def test_refused_calls_leave_the_other_tenants_data_unchanged(owner: Caller, other: Caller, job_id: str) -> None:
    """Runs after the cases above."""
    jobs = owner.ask("GET", "/v1/jobs").json()["data"]
    assert [(job["id"], job["status"]) for job in jobs] == [(job_id, "completed")]
    assert other.ask("GET", "/v1/jobs").json()["data"] == []
    assert owner.ask("GET", "/v1/provider-keys").json()["data"] == []


def test_rest_call_without_the_scope_is_403(keys_of_one_scope: dict[Scope, Caller]) -> None:
    answer = keys_of_one_scope[Scope.READ].generate()
    assert answer.status == 403
    assert answer.json()["error"] == {
        "message": "The API key lacks the scope generate or video.",
        "type": "permission_error",
        "param": None,
        "code": "insufficient_scope",
    }


def test_model_off_the_list_is_hidden_and_refused(stack: Stack) -> None:
    caller = new_caller(stack, "isolation-owner", models=("openai/*",))
    listed = [model["id"] for model in caller.ask("GET", "/v1/models").json()["data"]]
    assert listed
    assert all(name.startswith("openai/") for name in listed)
    hidden = caller.ask("GET", "/v1/models/local/sketch")
    assert hidden.status == 404
    assert hidden.json()["error"]["code"] == "model_not_found"
    refused = caller.generate()
    assert refused.status == 403
    assert refused.json()["error"]["code"] == "model_not_allowed"
