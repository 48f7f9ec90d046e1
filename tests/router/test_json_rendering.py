"""JSON of responses with images."""

from __future__ import annotations

import base64
import json
import tracemalloc

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import MessageToDict
from imagegateway.admin.v1 import admin_service_pb2
from imagegateway.router.json_rendering import JsonDocument, images_to_json, to_json, to_values
from imagegateway.router.responses import ImagesResult
from imagegateway.v1 import image_service_pb2 as pb
from imagegateway.v1 import job_pb2, provider_key_service_pb2, usage_service_pb2, webhook_service_pb2

MIB = 1024 * 1024
_SERVICES = (pb, provider_key_service_pb2, usage_service_pb2, webhook_service_pb2, admin_service_pb2)
_AS_IN_JSON = {
    FieldDescriptor.TYPE_BOOL,
    FieldDescriptor.TYPE_DOUBLE,
    FieldDescriptor.TYPE_INT32,
    FieldDescriptor.TYPE_MESSAGE,
    FieldDescriptor.TYPE_STRING,
    FieldDescriptor.TYPE_UINT32,
}


def reached(message: Descriptor, known: dict[str, Descriptor]) -> None:
    """Add a message and the messages in it to `known`, by full name."""
    if message.full_name not in known:
        known[message.full_name] = message
        for field in message.fields:
            if field.message_type is not None:
                reached(field.message_type, known)


def joined(document: JsonDocument) -> bytes:
    body = b"".join(document.pieces())
    assert len(body) == document.length
    return body


@pytest.mark.parametrize("size", [0, 1, 2, 3, 768 * 1024 - 1, 768 * 1024, 768 * 1024 + 1, 2 * MIB])
def test_images_replace_their_placeholders_as_base64(size: int) -> None:
    contents = [bytes(range(256)), b"\xff" * size, b""]
    message = pb.ImagesResponse(
        created=1,
        data=[job_pb2.Image(revised_prompt='a "fox"'), job_pb2.Image(seed=7), job_pb2.Image()],
        model="a/model",
    )
    found = json.loads(joined(images_to_json(ImagesResult(message, contents))))
    assert [base64.b64decode(image["b64_json"], validate=True) for image in found["data"]] == contents
    assert (found["data"][0]["revised_prompt"], found["data"][1]["seed"]) == ('a "fox"', 7)
    assert not any("url" in image for image in found["data"])


def test_response_without_contents_keeps_its_links() -> None:
    message = pb.ImagesResponse(data=[job_pb2.Image(url="https://a.example/1.png")])
    document = images_to_json(ImagesResult(message))
    assert json.loads(joined(document)) == {"data": [{"url": "https://a.example/1.png"}]}


def test_pieces_begin_and_end_with_the_given_bytes() -> None:
    document = JsonDocument.of({"n": 1})
    assert b"".join(document.pieces(b"data: ", b"\n\n")) == b'data: {"n":1}\n\n'


def test_grpc_message_has_the_images() -> None:
    answer = ImagesResult(pb.ImagesResponse(data=[job_pb2.Image(seed=1), job_pb2.Image()]), [b"one", b"two"])
    assert [image.b64_json for image in answer.whole_message().data] == [b"one", b"two"]
    assert not answer.contents


def test_rendering_ten_images_needs_a_few_mib() -> None:
    contents = [bytes(6 * MIB)] * 10
    document = images_to_json(ImagesResult(pb.ImagesResponse(data=[job_pb2.Image()] * 10), contents))
    tracemalloc.start()
    try:
        sizes = [len(piece) for piece in document.pieces()]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(sizes) == document.length > 80 * MIB
    assert max(sizes) < 2 * MIB
    assert peak < 6 * MIB, peak


def test_empty_list_has_its_data() -> None:
    report = usage_service_pb2.GetUsageResponse(object="list", total=usage_service_pb2.UsageRow(requests=0))
    assert json.loads(to_json(report)) == {"object": "list", "data": [], "total": {"requests": 0}}


def test_every_field_of_a_response_has_a_type_that_json_has() -> None:
    known: dict[str, Descriptor] = {}
    for module in _SERVICES:
        for service in module.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                reached(method.output_type, known)
    assert {"imagegateway.v1.ImagesResponse", "imagegateway.v1.Job", "imagegateway.v1.Model"} <= known.keys()
    odd = {
        field.full_name
        for message in known.values()
        for field in message.fields
        if field.type not in _AS_IN_JSON or (message.GetOptions().map_entry and field.message_type)
    }
    assert odd == {"imagegateway.v1.Image.b64_json"}  # `JsonDocument` encodes it


def test_values_are_those_of_protobufs_own_conversion() -> None:
    message = pb.ImagesResponse(
        created=1,
        data=[job_pb2.Image(url="https://a.example/1.png", seed=0), job_pb2.Image()],
        usage=job_pb2.Usage(total_tokens=3, input_tokens_details=job_pb2.TokenDetails(text_tokens=0)),
        cost=job_pb2.Cost(amount=2, currency="USD", estimated=True),
        metadata={"b": "1", "a": "2"},
        warnings=[job_pb2.Warning(code="c")],
    )
    assert to_values(message) == MessageToDict(message, preserving_proto_field_name=True)
