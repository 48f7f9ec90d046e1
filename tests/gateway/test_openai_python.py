"""OpenAI's Python SDK, unchanged except for base URL and key."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

import openai
import pytest
from openai import OpenAI

from tests.gateway import cases, inputs, rest
from tests.gateway.inputs import MAX_FILE, image_bytes, mask, padded
from tests.gateway.rest import ask
from tests.support.stack import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from openai.types import ImagesResponse

    from tests.support.stack import Stack

MODEL = "local/sketch"
CLASSES: dict[int, type[openai.APIStatusError]] = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    422: openai.UnprocessableEntityError,
    429: openai.RateLimitError,
}


@pytest.fixture
def client(stack: Stack) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{stack.url}/v1", api_key=stack.key, max_retries=0) as opened:
        yield opened


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return the path of an image on disk, 96x64."""
    path = tmp_path / "input.png"
    path.write_bytes(image_bytes(96))
    return path


def size_of(answer: ImagesResponse) -> tuple[int, int]:
    """Return the size of the only image, which must be in the response as bytes."""
    assert answer.data
    (item,) = answer.data
    assert item.b64_json
    return inputs.pixels(base64.b64decode(item.b64_json)).size


def test_generate_returns_links(stack: Stack, client: OpenAI) -> None:
    answer = client.images.generate(model=MODEL, prompt="a boat", size="1024x1024")
    assert answer.created > 1_700_000_000
    assert answer.data
    assert answer.data[0].url
    linked = ask(stack, "GET", rest.link(stack, answer.data[0].url), key="")
    assert inputs.pixels(linked.body).size == (1024, 1024)


def test_generate_returns_bytes(client: OpenAI) -> None:
    answer = client.images.generate(model=MODEL, prompt="a boat", size="256x256", response_format="b64_json")
    assert size_of(answer) == (256, 256)


@pytest.mark.parametrize("form", ["url", "b64_json"])
def test_generate_three_returns_three_different_images(client: OpenAI, form: str) -> None:
    request: dict[str, Any] = {"response_format": form}
    answer = client.images.generate(model=MODEL, prompt="a boat", size="256x256", n=3, **request)
    assert answer.data
    assert len({getattr(item, form) for item in answer.data}) == 3


def test_generate_with_every_field_of_the_sdk_is_taken(client: OpenAI) -> None:
    answer = client.images.generate(
        model=MODEL,
        prompt="a boat",
        background="transparent",
        moderation="low",
        n=1,
        output_format="webp",
        quality="high",
        response_format="b64_json",
        size="512x512",
        style="vivid",
        user="someone",
        extra_body={"seed": 5, "negative_prompt": "people"},
    )
    assert (answer.output_format, answer.background, answer.quality) == ("webp", "transparent", "high")
    assert size_of(answer) == (512, 512)
    assert answer.model_extra
    assert "warnings" not in answer.model_extra


def test_generate_stream_sends_partials_before_the_image(client: OpenAI) -> None:
    with client.images.generate(
        model=MODEL, prompt="a boat", size="256x256", stream=True, partial_images=2
    ) as stream:
        events = list(stream)
    assert [event.type for event in events] == [
        "image_generation.partial_image",
        "image_generation.partial_image",
        "image_generation.completed",
    ]
    for event in events:
        assert inputs.pixels(base64.b64decode(event.b64_json)).size == (256, 256)


def test_generate_stream_with_a_later_failure_raises(client: OpenAI) -> None:
    options = {"delay": 0.5, "steps": 1000, "fail": "provider_error"}
    with (
        client.images.generate(
            model=MODEL,
            prompt="a boat",
            size="256x256",
            stream=True,
            partial_images=1,
            extra_body={"provider_options": options},
        ) as stream,
        pytest.raises(openai.APIError) as caught,
    ):
        list(stream)
    assert caught.value.code == "provider_error"
    assert "fail" in caught.value.message


def test_edit_of_an_open_file(client: OpenAI, file: Path) -> None:
    with file.open("rb") as opened:
        answer = client.images.edit(model=MODEL, prompt="at night", image=opened, response_format="b64_json")
    assert size_of(answer) == (96, 64)


def test_edit_of_a_list_of_files(client: OpenAI, file: Path) -> None:
    with file.open("rb") as first, file.open("rb") as second:
        answer = client.images.edit(
            model=MODEL, prompt="at night", image=[first, second, file], response_format="b64_json"
        )
    assert size_of(answer) == (96, 64)


def test_edit_with_a_mask_leaves_what_it_covers(client: OpenAI, file: Path) -> None:
    answer = client.images.edit(model=MODEL, prompt="at night", image=file, mask=mask(96), response_format="b64_json")
    assert answer.data
    edited = inputs.pixels(base64.b64decode(answer.data[0].b64_json or "")).convert("RGB")
    original = inputs.pixels(file.read_bytes()).convert("RGB")
    covered = (48, 0, 96, 64)
    assert edited.crop(covered).tobytes() == original.crop(covered).tobytes()
    assert edited.tobytes() != original.tobytes()


def test_edit_accepts_a_buffer_and_a_tuple(client: OpenAI) -> None:
    for image in (
        io.BytesIO(image_bytes(96)),
        ("input.png", image_bytes(96), "image/png"),
        ("input", image_bytes(96)),
    ):
        answer = client.images.edit(model=MODEL, prompt="at night", image=image, response_format="b64_json")
        assert size_of(answer) == (96, 64)


def test_edit_with_every_field_of_the_sdk_is_taken(client: OpenAI, file: Path) -> None:
    answer = client.images.edit(
        model=MODEL,
        prompt="at night",
        image=file,
        background="opaque",
        input_fidelity="high",
        n=1,
        output_compression=70,
        output_format="jpeg",
        quality="medium",
        response_format="b64_json",
        size="256x256",
        user="someone",
        extra_body={"seed": 3, "metadata": {"a": "b"}, "provider_options": {"delay": 0}},
    )
    assert (answer.output_format, answer.quality) == ("jpeg", "medium")
    assert size_of(answer) == (256, 256)


def test_edit_stream_sends_partials_before_the_image(client: OpenAI, file: Path) -> None:
    with client.images.edit(model=MODEL, prompt="at night", image=file, stream=True, partial_images=1) as stream:
        events = list(stream)
    assert [event.type for event in events] == ["image_edit.partial_image", "image_edit.completed"]
    assert inputs.pixels(base64.b64decode(events[-1].b64_json)).size == (96, 64)


@pytest.mark.parametrize("meaning", cases.reasons().values(), ids=lambda meaning: meaning.code)
def test_error_of_every_reason_raises_the_sdks_class(client: OpenAI, meaning: cases.ReasonContract) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        client.images.generate(model=MODEL, prompt="a boat", extra_body={"provider_options": {"fail": meaning.code}})
    error = caught.value
    expected = openai.InternalServerError if meaning.http >= 500 else CLASSES.get(meaning.http, openai.APIStatusError)
    assert type(error) is expected
    assert (error.status_code, error.code, error.type, error.param) == (
        meaning.http,
        meaning.code,
        meaning.type,
        None,
    )
    assert ("content policy" if meaning.code == "moderation_blocked" else meaning.code) in error.message
    assert error.request_id
    assert ("retry-after" in error.response.headers) is meaning.wait


def test_error_of_a_field_names_it(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.images.generate(model=MODEL, prompt="a boat", n=11)
    assert (caught.value.code, caught.value.param) == ("invalid_value", "n")
    assert "n must be" in caught.value.message


def test_error_of_an_upload_names_the_field(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.images.edit(model=MODEL, prompt="at night", image=image_bytes(96), mask=mask(64))
    assert (caught.value.code, caught.value.param) == ("invalid_image", "mask")


def test_invalid_key_raises_authentication_error(stack: Stack) -> None:
    with (
        OpenAI(base_url=f"{stack.url}/v1", api_key="wrong", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError) as caught,
    ):
        client.models.list()
    assert (caught.value.code, caught.value.type) == ("invalid_api_key", "authentication_error")


def test_error_of_a_file_too_large_reaches_the_sdk(client: OpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        client.images.edit(model=MODEL, prompt="at night", image=padded(MAX_FILE + 1))
    assert (caught.value.status_code, caught.value.code, caught.value.param) == (413, "file_too_large", "image")


def test_unknown_model_or_url_raises_not_found_error(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.images.generate(model="local/skech", prompt="a boat")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    assert MODEL in caught.value.message
    with pytest.raises(openai.NotFoundError) as unknown:
        client.files.list()
    assert unknown.value.code == "unknown_url"


@pytest.mark.parametrize(
    ("code", "times"),
    [("provider_error", 1), ("provider_outcome_unknown", 1), ("provider_timeout", 1), ("overloaded", 2)],
)
def test_error_is_repeated_by_the_sdk_only_where_nothing_is_paid_twice(stack: Stack, code: str, times: int) -> None:
    request_id = f"repeat-{code}"
    with (
        OpenAI(base_url=f"{stack.url}/v1", api_key=stack.key, max_retries=1) as client,
        pytest.raises(openai.InternalServerError),
    ):
        client.images.generate(
            model=MODEL,
            prompt="a boat",
            extra_body={"provider_options": {"fail": code}},
            extra_headers={"x-request-id": request_id},
        )

    def calls() -> int:
        return sum(line["event"] == "request_finished" for line in stack.of_request(request_id))

    eventually(lambda: calls() >= times, 10, "the calls are logged")
    assert calls() == times


def test_models_are_listed_and_retrieved(client: OpenAI) -> None:
    listed = {model.id: model for model in client.models.list()}
    model = client.models.retrieve(MODEL)
    assert model == listed[MODEL]
    assert (model.object, model.owned_by) == ("model", "local")
    assert model.created > 1_700_000_000
