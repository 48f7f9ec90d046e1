"""`stream=true` over REST: server-sent events in OpenAI's shape."""

from __future__ import annotations

import base64
import http.client
import json
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from tests.gateway import cases, inputs, rest
from tests.gateway.inputs import FORM, file_part, form, image_bytes
from tests.gateway.rest import EDITS, GENERATIONS, SMALL, ask, assert_error

if TYPE_CHECKING:
    from tests.support.stack import Stack


def events(answer: rest.Answer) -> list[dict[str, Any]]:
    """Return the data of the events, after checking that each event's two types agree."""
    assert answer.status == 200, answer.body
    assert answer.headers.get_content_type() == "text/event-stream"
    found = []
    for block in answer.body.decode().split("\n\n")[:-1]:
        name, data = block.split("\n")
        event: dict[str, Any] = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        found.append(event)
    return found


def stream(stack: Stack, **fields: Any) -> rest.Answer:
    return ask(stack, "POST", GENERATIONS, {**SMALL, "stream": True, **fields})


def test_stream_without_partials_is_one_completed_event(stack: Stack) -> None:
    (event,) = events(stream(stack))
    assert event["type"] == "image_generation.completed"
    assert inputs.pixels(base64.b64decode(event["b64_json"])).size == (64, 64)
    assert (event["size"], event["output_format"]) == ("64x64", "png")
    assert isinstance(event["created_at"], int)
    assert {"quality", "background"} <= set(event)


def test_stream_with_partials_sends_them_before_the_image(stack: Stack) -> None:
    *partials, last = events(stream(stack, partial_images=3))
    assert [event["type"] for event in partials] == ["image_generation.partial_image"] * 3
    assert [event["partial_image_index"] for event in partials] == [0, 1, 2]
    made = [base64.b64decode(event["b64_json"]) for event in (*partials, last)]
    assert {inputs.pixels(data).size for data in made} == {(64, 64)}
    assert len(set(made)) == 4


def test_stream_of_several_images_has_one_completed_event_for_each(stack: Stack) -> None:
    made = events(stream(stack, n=2))
    assert [event["type"] for event in made] == ["image_generation.completed"] * 2


def test_stream_with_response_format_url_holds_links(stack: Stack) -> None:
    (event,) = events(stream(stack, response_format="url"))
    assert "b64_json" not in event
    assert ask(stack, "GET", rest.link(stack, event["url"]), key="").status == 200


def test_stream_of_a_slow_model_sends_partial_images_before_the_result(stack: Stack) -> None:
    body = json.dumps({**SMALL, "stream": True, "partial_images": 3, "provider_options": {"delay": 4}})
    headers = {"authorization": f"Bearer {stack.key}", **rest.JSON}
    with closing(http.client.HTTPConnection("127.0.0.1", stack.port, timeout=60)) as connection:
        connection.request("POST", GENERATIONS, body, headers)
        response = connection.getresponse()  # the image takes longer: only its partial image can be here
        assert response.readline() == b"event: image_generation.partial_image\n"
        response.close()


def test_edit_stream_by_json_has_its_own_event_types(stack: Stack) -> None:
    body = {"prompt": "at night", "image_url": inputs.data_url(image_bytes()), "stream": True, "partial_images": 1}
    made = events(ask(stack, "POST", EDITS, body))
    assert [event["type"] for event in made] == ["image_edit.partial_image", "image_edit.completed"]


def test_edit_stream_by_form_has_its_own_event_types(stack: Stack) -> None:
    body = form(file_part("image", image_bytes(96)), prompt="at night", stream="true", partial_images="1")
    made = events(ask(stack, "POST", EDITS, body, FORM))
    assert [event["type"] for event in made] == ["image_edit.partial_image", "image_edit.completed"]
    assert made[-1]["size"] == "96x64"


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"n": 0}, "invalid_value", "n"),
        ({"prompt": ""}, "missing_parameter", "prompt"),
        ({"partial_images": 4}, "invalid_value", "partial_images"),
        ({"provider_options": {"fail": "moderation_blocked"}}, "moderation_blocked", None),
        ({"provider_options": {"fail": "provider_timeout"}}, "provider_timeout", None),
    ],
)
def test_failure_before_the_first_event_is_a_plain_error(
    stack: Stack, fields: dict[str, Any], code: str, param: str | None
) -> None:
    meaning = cases.reasons()[code]
    assert_error(stream(stack, **fields), meaning.http, code, param, meaning.type)


def test_failure_after_an_event_is_an_event(stack: Stack) -> None:
    made = events(
        stream(stack, partial_images=1, provider_options={"delay": 1, "steps": 1000, "fail": "provider_error"})
    )
    assert [event["type"] for event in made] == ["image_generation.partial_image", "error"]
    assert made[-1]["error"]["code"] == "provider_error"
    assert set(made[-1]["error"]) == {"message", "type", "param", "code"}


def test_stream_with_a_bad_key_is_401(stack: Stack) -> None:
    answer = ask(stack, "POST", GENERATIONS, {**SMALL, "stream": True}, key="wrong")
    assert_error(answer, 401, "invalid_api_key", kind="authentication_error")


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON;version=1"])
def test_stream_is_recognized_for_every_spelling_of_the_media_type(stack: Stack, content_type: str) -> None:
    body = json.dumps({**SMALL, "stream": True}).encode()
    assert len(events(ask(stack, "POST", GENERATIONS, body, {"content-type": content_type}))) == 1


def test_stream_as_text_counts_as_in_forms(stack: Stack) -> None:
    assert len(events(stream(stack, stream="true"))) == 1
    assert stream(stack, stream="false").headers.get_content_type() == "application/json"
    assert_error(stream(stack, stream="yes"), 400, "invalid_value", "stream")


def test_stream_of_a_video_is_refused_naming_it(stack: Stack) -> None:
    answer = ask(stack, "POST", "/v1/videos/generations", {"prompt": "a boat", "stream": True})
    assert_error(answer, 400, "unsupported_parameter", "stream")


def test_stream_headers_forbid_caching_and_buffering(stack: Stack) -> None:
    made = form(file_part("image", image_bytes()), prompt="at night", stream="true")
    for answer in (stream(stack), ask(stack, "POST", EDITS, made, FORM)):
        assert (answer.headers["cache-control"], answer.headers["x-accel-buffering"]) == ("no-cache", "no")


def test_stream_echoes_the_request_id(stack: Stack) -> None:
    answer = ask(stack, "POST", GENERATIONS, {**SMALL, "stream": True}, {"x-request-id": "stream-1"})
    assert answer.headers["x-request-id"] == "stream-1"
