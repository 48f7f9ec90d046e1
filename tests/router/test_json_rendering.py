"""JSON of responses with images."""

from __future__ import annotations

import base64
import json
import tracemalloc

import pytest
from imagegateway.router.json_rendering import JsonDocument, images_to_json, to_json
from imagegateway.router.responses import ImagesResult
from imagegateway.v1 import image_service_pb2 as pb
from imagegateway.v1 import job_pb2, usage_service_pb2

MIB = 1024 * 1024


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
