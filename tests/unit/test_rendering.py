"""The JSON of answers that hold images."""

from __future__ import annotations

import base64
import json
import tracemalloc

from imagegateway.router.json_rendering import images_to_json
from imagegateway.v1 import image_service_pb2 as pb
from imagegateway.v1 import job_pb2

MIB = 1024 * 1024


def test_images_are_base64_in_their_places() -> None:
    first, second = bytes(range(256)), b"\xff" * 100
    response = pb.ImagesResponse(
        created=1,
        data=[
            job_pb2.Image(b64_json=first, revised_prompt='a "fox"'),
            job_pb2.Image(url="https://a.example/1.png"),
            job_pb2.Image(b64_json=second, seed=7),
            job_pb2.Image(b64_json=b""),
        ],
        model="a/model",
    )
    data = json.loads(images_to_json(response))["data"]
    assert [image.get("url") for image in data] == [None, "https://a.example/1.png", None, None]
    assert base64.b64decode(data[0]["b64_json"]) == first
    assert base64.b64decode(data[2]["b64_json"]) == second
    assert data[3]["b64_json"] == ""
    assert (data[0]["revised_prompt"], data[2]["seed"]) == ('a "fox"', 7)


def test_answer_without_images_is_plain_json() -> None:
    assert json.loads(images_to_json(pb.ImagesResponse(model="a/model"))) == {"model": "a/model"}


def test_ten_images_take_the_size_of_the_json_and_little_more() -> None:
    image = bytes(6 * MIB)
    response = pb.ImagesResponse(data=[job_pb2.Image(b64_json=image) for _ in range(10)])
    tracemalloc.start()
    try:
        body = images_to_json(response)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(body) > 80 * MIB
    assert peak < 1.3 * len(body), f"{peak / len(body):.2f}"
