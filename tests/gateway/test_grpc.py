"""Native gRPC and gRPC-Web on the public port, by clients that know only the address and the key."""

from __future__ import annotations

import base64
import struct
from typing import TYPE_CHECKING, Any, Final, cast

import grpc
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import MessageToDict, ParseDict
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from imagegateway.v1 import image_service_pb2 as pb
from imagegateway.v1 import image_service_pb2_grpc as pb_grpc

from tests.gateway import cases, inputs, rest
from tests.gateway.rest import SMALL, ask

if TYPE_CHECKING:
    import http.client
    from collections.abc import Iterator

    from tests.support.stack import Stack

SERVICE: Final = "imagegateway.v1.ImageService"
WEB: Final = "application/grpc-web+proto"
TRAILERS: Final = 0x80


@pytest.fixture
def channel(stack: Stack) -> Iterator[grpc.Channel]:
    with cases.channel(stack) as opened:
        yield opened


def reflected_call(
    channel: grpc.Channel, method: str, request: dict[str, Any], metadata: tuple[tuple[str, str], ...]
) -> dict[str, Any]:
    """Call a unary method by server reflection alone."""
    pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
    described = pool.FindServiceByName(SERVICE).FindMethodByName(method)
    request_type = message_factory.GetMessageClass(described.input_type)
    response_type = message_factory.GetMessageClass(described.output_type)
    call = channel.unary_unary(
        f"/{SERVICE}/{method}",
        request_serializer=request_type.SerializeToString,
        response_deserializer=response_type.FromString,
    )
    response = call(ParseDict(request, request_type()), metadata=metadata, timeout=60)
    found: dict[str, Any] = MessageToDict(response, preserving_proto_field_name=True)
    return found


def test_reflection_names_the_public_services_and_no_internal_one(channel: grpc.Channel) -> None:
    services = set(ProtoReflectionDescriptorDatabase(channel).get_services())
    assert {SERVICE, "grpc.health.v1.Health"} <= services
    assert not {name for name in services if "provider" in name}


def test_client_with_reflection_only_gets_an_image(stack: Stack, channel: grpc.Channel) -> None:
    request = {**SMALL, "response_format": "b64_json", "n": 2}
    answer = reflected_call(channel, "Generate", request, (cases.authorization(stack),))
    assert len(answer["data"]) == 2
    assert inputs.pixels(base64.b64decode(answer["data"][0]["b64_json"])).size == (64, 64)


def test_client_with_reflection_only_reads_the_catalog(stack: Stack, channel: grpc.Channel) -> None:
    answer = reflected_call(channel, "ListModels", {}, (cases.authorization(stack),))
    assert "local/sketch" in [model["id"] for model in answer["data"]]
    model = reflected_call(channel, "GetModel", {"model_id": "sketch"}, (cases.authorization(stack),))
    assert model["id"] == "local/sketch"


@pytest.mark.parametrize("service", ["", SERVICE])
def test_health_of_the_router_is_serving(channel: grpc.Channel, service: str) -> None:
    check = channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    answer = check(health_pb2.HealthCheckRequest(service=service), timeout=30)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_edit_by_bytes_needs_no_base64(stack: Stack, channel: grpc.Channel) -> None:
    request = pb.EditRequest(
        prompt="at night",
        image_content=[inputs.image_bytes(96), inputs.image_bytes()],
        mask_content=inputs.mask(96),
        response_format="b64_json",
    )
    answer = pb_grpc.ImageServiceStub(channel).Edit(request, metadata=(cases.authorization(stack),), timeout=60)
    assert (answer.data[0].width, answer.data[0].height) == (96, 64)


def test_edit_by_bytes_of_no_image_names_the_field(stack: Stack, channel: grpc.Channel) -> None:
    request = pb.EditRequest(prompt="at night", image_content=[inputs.image_bytes(), b"text"])
    with pytest.raises(grpc.RpcError) as caught:
        pb_grpc.ImageServiceStub(channel).Edit(request, metadata=(cases.authorization(stack),), timeout=60)
    failure = cases.read_status(caught.value)
    assert (failure.code, failure.param) == ("invalid_image", "image_content[1]")


def test_edit_by_bytes_of_25_mib_passes_and_one_byte_more_is_refused(stack: Stack, channel: grpc.Channel) -> None:
    stub = pb_grpc.ImageServiceStub(channel)
    metadata = (cases.authorization(stack),)
    request = pb.EditRequest(prompt="at night", image_content=[inputs.padded(inputs.MAX_FILE)])
    assert len(stub.Edit(request, metadata=metadata, timeout=60).data) == 1
    request.image_content[0] = inputs.padded(inputs.MAX_FILE + 1)
    with pytest.raises(grpc.RpcError) as caught:
        stub.Edit(request, metadata=metadata, timeout=60)
    failure = cases.read_status(caught.value)
    assert (failure.code, failure.param) == ("file_too_large", "image_content[0]")


@pytest.mark.parametrize("metadata", [(), (("authorization", "Bearer wrong"),), (("authorization", "Basic dTpw"),)])
def test_invalid_key_is_unauthenticated_with_details(
    channel: grpc.Channel, metadata: tuple[tuple[str, str], ...]
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        pb_grpc.ImageServiceStub(channel).ListModels(pb.ListModelsRequest(), metadata=metadata, timeout=30)
    assert cases.read_status(caught.value).code == "invalid_api_key"


@pytest.mark.parametrize("method", ["GetJob", "CancelJob"])
def test_job_that_never_was_is_not_found(stack: Stack, channel: grpc.Channel, method: str) -> None:
    request = getattr(pb, f"{method}Request")(job_id="job_1")
    with pytest.raises(grpc.RpcError) as caught:
        getattr(pb_grpc.ImageServiceStub(channel), method)(
            request, metadata=(cases.authorization(stack),), timeout=30
        )
    assert cases.read_status(caught.value).code == "job_not_found"


def test_stream_of_a_job_that_never_was_is_not_found(stack: Stack, channel: grpc.Channel) -> None:
    stub = pb_grpc.ImageServiceStub(channel)
    with pytest.raises(grpc.RpcError) as caught:
        list(stub.StreamJob(pb.StreamJobRequest(job_id="job_1"), metadata=(cases.authorization(stack),), timeout=30))
    assert cases.read_status(caught.value).code == "job_not_found"


def test_stream_field_on_a_typed_call_is_refused(stack: Stack, channel: grpc.Channel) -> None:
    request = pb.GenerateRequest(prompt="a boat", stream=True)
    with pytest.raises(grpc.RpcError) as caught:
        pb_grpc.ImageServiceStub(channel).Generate(request, metadata=(cases.authorization(stack),), timeout=30)
    assert cases.read_status(caught.value).param == "stream"


def test_unparsable_request_is_refused_without_internals(stack: Stack, channel: grpc.Channel) -> None:
    call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/{SERVICE}/Generate")
    with pytest.raises(grpc.RpcError) as caught:
        call(b"\xff\xff\xff", metadata=(cases.authorization(stack),), timeout=30)
    failure = cases.read_status(caught.value)
    assert failure.code == "invalid_value"
    assert "class" not in failure.message


def test_method_unknown_is_unimplemented(stack: Stack, channel: grpc.Channel) -> None:
    call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/{SERVICE}/Paint")
    with pytest.raises(grpc.RpcError) as caught:
        call(b"", metadata=(cases.authorization(stack),), timeout=30)
    assert cast("grpc.Call", caught.value).code() is grpc.StatusCode.UNIMPLEMENTED


def test_metadata_of_the_answer_names_request_and_provider(stack: Stack, channel: grpc.Channel) -> None:
    metadata = (cases.authorization(stack), ("x-request-id", "grpc-1"))
    request = ParseDict(dict(SMALL), pb.GenerateRequest())
    _, call = pb_grpc.ImageServiceStub(channel).Generate.with_call(request, metadata=metadata, timeout=60)
    answered = dict(call.initial_metadata())
    assert answered["x-request-id"] == "grpc-1"
    assert answered["x-imagegateway-provider"] == "local"


@pytest.mark.parametrize("name", ["x-envoy-original-path", "x-http-status", "x-oai-error"])
def test_internal_header_of_a_grpc_client_changes_nothing(stack: Stack, channel: grpc.Channel, name: str) -> None:
    metadata = (cases.authorization(stack), (name, "202"))
    with pytest.raises(grpc.RpcError) as caught:
        pb_grpc.ImageServiceStub(channel).Generate(pb.GenerateRequest(), metadata=metadata, timeout=30)
    assert cases.read_status(caught.value).code == "missing_parameter"


def web_call(stack: Stack, method: str, request: bytes, *, text: bool = False, key: str | None = None) -> rest.Answer:
    body = struct.pack(">BI", 0, len(request)) + request
    kind = "application/grpc-web-text+proto" if text else WEB
    headers = {"content-type": kind, "accept": kind, "x-grpc-web": "1", "origin": "https://app.example"}
    return ask(stack, "POST", f"/{SERVICE}/{method}", base64.b64encode(body) if text else body, headers, key=key)


def frames(body: bytes) -> list[tuple[int, bytes]]:
    """Return the frames of a gRPC-Web response: type and content."""
    found = []
    while body:
        kind, length = struct.unpack_from(">BI", body)
        found.append((kind, body[5 : 5 + length]))
        body = body[5 + length :]
    return found


def trailers(content: bytes) -> dict[str, str]:
    lines = content.decode().strip().split("\r\n")
    return {name.strip().lower(): value.strip() for name, value in (line.split(":", 1) for line in lines)}


def test_grpc_web_unary_call_returns_message_and_trailers(stack: Stack) -> None:
    answer = web_call(stack, "ListModels", b"")
    assert (answer.status, answer.headers["content-type"]) == (200, WEB)
    assert answer.headers["access-control-allow-origin"] == "https://app.example"
    (kind, message), (last, end) = frames(answer.body)
    assert (kind, last) == (0, TRAILERS)
    assert "local/sketch" in [model.id for model in pb.ListModelsResponse.FromString(message).data]
    assert trailers(end)["grpc-status"] == "0"


def test_grpc_web_as_text_returns_the_same(stack: Stack) -> None:
    request = ParseDict({**SMALL, "response_format": "b64_json"}, pb.GenerateRequest()).SerializeToString()
    answer = web_call(stack, "Generate", request, text=True)
    assert answer.headers["content-type"].startswith("application/grpc-web-text")
    # Each piece that was flushed has separate base64 padding.
    decoded = b"".join(base64.b64decode(part + b"==") for part in answer.body.split(b"=") if part)
    (_, message), (last, _) = frames(decoded)
    assert last == TRAILERS
    assert inputs.pixels(pb.ImagesResponse.FromString(message).data[0].b64_json).size == (64, 64)


def test_grpc_web_with_a_bad_key_is_unauthenticated(stack: Stack) -> None:
    answer = web_call(stack, "ListModels", b"", key="wrong")
    assert answer.status == 200
    metadata = trailers(frames(answer.body)[-1][1]) if answer.body else headers_of(answer.headers)
    assert metadata["grpc-status"] == str(grpc.StatusCode.UNAUTHENTICATED.value[0])
    assert metadata["grpc-status-details-bin"]


def headers_of(message: http.client.HTTPMessage) -> dict[str, str]:
    return {name.lower(): value for name, value in message.items()}
