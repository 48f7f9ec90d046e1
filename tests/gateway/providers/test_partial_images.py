"""Partial images of gpt-image reach callers before OpenAI sends the rest."""

from __future__ import annotations

import base64
import http.client
import json
import threading
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest
from openai import OpenAI

from tests.emulators.base import HELD_SECONDS
from tests.gateway import rest
from tests.gateway.inputs import FORM, file_part, form
from tests.gateway.jobs.calls import ASYNC
from tests.gateway.jobs.sse import open_stream
from tests.gateway.providers.asking import INPUT, edit, path, request
from tests.support.stack import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.emulators import openai
    from tests.gateway.jobs.calls import Caller
    from tests.gateway.providers.providers import Providers

_MODEL: Final = "openai/gpt-image-2"
_FACTS: Final = {"type", "b64_json", "created_at", "size", "quality", "background", "output_format"}


@pytest.fixture
def emulator(providers: Providers) -> Iterator[openai.OpenAI]:
    """OpenAI that pauses after the first event of a stream until `hold` is set."""
    found: Any = providers["openai"]
    hold = found.hold = threading.Event()
    yield found
    hold.set()
    found.hold = found.cut = None
    eventually(
        lambda: found.under_way == 0, 30, "calls of cancelled jobs have ended, and are billed in no later test"
    )


@contextmanager
def streaming(caller: Caller, body: bytes | dict[str, Any], where: str) -> Iterator[http.client.HTTPResponse]:
    """Send a request by POST and yield its response unread."""
    raw, headers = (body, FORM) if isinstance(body, bytes) else (json.dumps(body).encode(), rest.JSON)
    with closing(http.client.HTTPConnection("127.0.0.1", caller.stack.port, timeout=HELD_SECONDS)) as connection:
        connection.request("POST", where, raw, {"authorization": f"Bearer {caller.key}", **headers})
        response = connection.getresponse()
        assert response.status == 200, response.read()
        yield response


def event(response: http.client.HTTPResponse) -> dict[str, Any]:
    """Return the next event."""
    name, data, end = (response.readline() for _ in range(3))
    found: dict[str, Any] = json.loads(data.removeprefix(b"data: "))
    assert (name, end) == (f"event: {found['type']}\n".encode(), b"\n")
    return found


@pytest.mark.parametrize("kind", ["generation", "edit by JSON", "edit by form"])
def test_partial_image_comes_before_the_rest_is_sent(caller: Caller, emulator: openai.OpenAI, kind: str) -> None:
    fields = {"stream": True, "partial_images": 2}
    if kind == "edit by form":
        text = {name: str(value).lower() for name, value in fields.items()}
        body: bytes | dict[str, Any] = form(file_part("image", INPUT), model=_MODEL, prompt="a fox", **text)
        where = rest.EDITS
    else:
        body = request(_MODEL, **fields) if kind == "generation" else edit(_MODEL, **fields)
        where = path(body)
    prefix = "image_generation" if kind == "generation" else "image_edit"
    assert emulator.hold
    with streaming(caller, body, where) as response:
        first = event(response)
        assert (emulator.billed, len(emulator.sent)) == (0, 1), "the image is not even made"
        emulator.hold.set()
        second, last = event(response), event(response)
        assert response.read() == b""
    assert [found["type"] for found in (first, second, last)] == [
        f"{prefix}.partial_image",
        f"{prefix}.partial_image",
        f"{prefix}.completed",
    ]
    assert [found["partial_image_index"] for found in (first, second)] == [0, 1]
    assert set(first) == _FACTS | {"partial_image_index"}
    assert len({found["b64_json"] for found in (first, second, last)}) == 3
    assert set(last) == _FACTS | {"usage"}
    assert (emulator.billed, len(emulator.sent)) == (1, 1)


def test_openai_sdk_sees_the_partial_image_first(caller: Caller, emulator: openai.OpenAI) -> None:
    assert emulator.hold
    with (
        OpenAI(base_url=f"{caller.stack.url}/v1", api_key=caller.key, max_retries=0) as client,
        client.images.generate(model=_MODEL, prompt="a fox", stream=True, partial_images=1) as stream,
    ):
        events = iter(stream)
        assert next(events).type == "image_generation.partial_image"
        assert emulator.billed == 0
        emulator.hold.set()
        assert [found.type for found in events] == ["image_generation.completed"]


def test_openai_sdk_sees_the_partial_image_of_an_edit_first(caller: Caller, emulator: openai.OpenAI) -> None:
    assert emulator.hold
    with (
        OpenAI(base_url=f"{caller.stack.url}/v1", api_key=caller.key, max_retries=0) as client,
        client.images.edit(
            model=_MODEL, image=("in.png", INPUT, "image/png"), prompt="a fox", stream=True, partial_images=1
        ) as stream,
    ):
        events = iter(stream)
        assert next(events).type == "image_edit.partial_image"
        assert emulator.billed == 0
        emulator.hold.set()
        assert [found.type for found in events] == ["image_edit.completed"]


def test_subscribers_of_the_job_receive_the_partial_image(caller: Caller, emulator: openai.OpenAI) -> None:
    assert emulator.hold
    body = request(_MODEL, stream=True, partial_images=1)
    with streaming(caller, body, rest.GENERATIONS) as response:
        job_id = str(response.headers["x-job-id"])
        event(response)
        with open_stream(caller, job_id, after=0) as events:
            names = []
            for found in events:
                names.append(found.name)
                if found.name == "job.progress":
                    assert found.status == "running"
                    emulator.hold.set()
    assert names == ["job.progress", "job.completed"]


def test_running_job_shows_its_partial_images_as_links(caller: Caller, emulator: openai.OpenAI) -> None:
    assert emulator.hold
    answer = caller.ask("POST", rest.GENERATIONS, request(_MODEL, partial_images=2), ASYNC)
    assert answer.json().get("warnings", []) == []
    shown: list[list[dict[str, Any]]] = []
    with open_stream(caller, answer.json()["id"], after=0) as events:
        for found in events:
            shown.append(found.data.get("partial_images", []))
            if len(shown[-1]) == 1:
                assert caller.fetch(shown[-1][0]["url"])
                emulator.hold.set()
    assert [len(images) for images in shown if images][:1] == [1]
    assert shown[-1] == [], "the ended job has its result instead"


def test_call_whose_connection_breaks_after_a_partial_image_is_not_repeated(
    caller: Caller, emulator: openai.OpenAI
) -> None:
    emulator.hold, emulator.cut = None, 1
    with streaming(caller, request(_MODEL, stream=True, partial_images=2), rest.GENERATIONS) as response:
        events = [event(response), event(response)]
        assert response.read() == b""
        job = caller.end(str(response.headers["x-job-id"]))
    assert [found["type"] for found in events] == ["image_generation.partial_image", "error"]
    assert events[-1]["error"]["code"] == job["error"]["code"] == "provider_outcome_unknown"
    assert (len(emulator.sent), emulator.billed) == (1, 0)
    assert base64.b64decode(events[0]["b64_json"])[:4] == b"\x89PNG"


def test_job_that_is_cancelled_after_a_partial_image_stays_cancelled(caller: Caller, emulator: openai.OpenAI) -> None:
    assert emulator.hold
    with streaming(caller, request(_MODEL, stream=True, partial_images=2), rest.GENERATIONS) as response:
        job_id = str(response.headers["x-job-id"])
        assert event(response)["type"] == "image_generation.partial_image"
        assert caller.cancel(job_id)["status"] == "cancelled"
        assert event(response)["error"]["code"] == "cancelled"
        emulator.hold.set()
        assert response.read() == b""
    assert caller.job(job_id)["status"] == "cancelled"
    crashes = [line for line in caller.stack.log_lines() if job_id in line and "crashed" in line]
    assert crashes == []
