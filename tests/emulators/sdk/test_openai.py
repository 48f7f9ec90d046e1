"""OpenAI's emulator, called by OpenAI's SDK (PyPI `openai` 3.54.0)."""

from __future__ import annotations

import base64
import importlib
from typing import TYPE_CHECKING, Any

import pytest

from tests.emulators.base import image_bytes
from tests.emulators.openai import OpenAI as Emulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

openai: Any = importlib.import_module("openai")


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator() as running:
        yield running


@pytest.fixture
async def client(emulator: Emulator) -> AsyncIterator[Any]:
    async with openai.AsyncOpenAI(base_url=emulator.base + "/v1", api_key=emulator.key, max_retries=0) as opened:
        yield opened


def pixels(index: int = 0, size: tuple[int, int] = (1024, 1024), format_: str = "PNG") -> bytes:
    """Return the image that the emulator generates."""
    return image_bytes(*size, format_, (index, 99, 199))


async def test_image_is_generated(emulator: Emulator, client: Any) -> None:
    made = await client.images.generate(
        model="gpt-image-2", prompt="a fox", n=2, size="1536x1024", output_format="webp", output_compression=50
    )
    assert [base64.b64decode(item.b64_json) for item in made.data] == [
        pixels(index, (1536, 1024), "WEBP") for index in range(2)
    ]
    assert (made.usage.total_tokens, made.size, made.output_format) == (8370, "1536x1024", "webp")
    assert emulator.billed == 2


async def test_dalle_returns_urls_or_base64(client: Any) -> None:
    made = await client.images.generate(model="dall-e-3", prompt="a fox", style="vivid", quality="hd")
    assert made.data[0].url.startswith("http")
    assert made.data[0].revised_prompt
    made = await client.images.generate(model="dall-e-3", prompt="a fox", response_format="b64_json")
    assert base64.b64decode(made.data[0].b64_json) == pixels()


async def test_one_and_several_images_are_edited(emulator: Emulator, client: Any) -> None:
    source = ("a.png", image_bytes(), "image/png")
    await client.images.edit(model="gpt-image-2", prompt="a fox", image=source)
    await client.images.edit(model="gpt-image-1.5", prompt="a fox", image=[source, source], input_fidelity="high")
    names = [[part.name for part in sent.parts if part.filename] for sent in emulator.sent]
    assert names == [["image"], ["image[]", "image[]"]]


async def test_mask_without_alpha_is_refused(client: Any) -> None:
    source = ("a.png", image_bytes(), "image/png")
    with pytest.raises(openai.BadRequestError) as refused:
        await client.images.edit(model="gpt-image-2", prompt="a fox", image=source, mask=source)
    assert refused.value.param == "mask"


async def test_partial_images_are_streamed(client: Any) -> None:
    stream = await client.images.generate(
        model="gpt-image-2", prompt="a fox", stream=True, partial_images=2, size="1024x1024"
    )
    events = [event async for event in stream]
    assert [event.type.rpartition(".")[2] for event in events] == ["partial_image", "partial_image", "completed"]
    assert [event.partial_image_index for event in events[:2]] == [0, 1]
    assert base64.b64decode(events[-1].b64_json) == pixels()
    assert events[-1].usage.total_tokens == 4210


async def test_error_in_a_stream_raises(emulator: Emulator, client: Any) -> None:
    emulator.broken = {"message": "no", "type": "server_error", "code": None, "param": None}
    stream = await client.images.generate(model="gpt-image-2", prompt="a fox", stream=True)
    with pytest.raises(openai.APIError):
        [event async for event in stream]


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"model": "gpt-image-2", "response_format": "url"}, "response_format", "unknown_parameter"),
        ({"model": "gpt-image-2", "size": "512x512"}, "size", "invalid_value"),
        ({"model": "gpt-image-1.5", "size": "2048x2048"}, "size", "invalid_value"),
        ({"model": "gpt-image-2", "quality": "hd"}, "quality", "invalid_value"),
        ({"model": "dall-e-3", "n": 2}, "n", "invalid_value"),
        ({"model": "dall-e-3", "background": "opaque"}, "background", "unknown_parameter"),
    ],
)
async def test_invalid_fields_are_refused(client: Any, fields: dict[str, Any], param: str, code: str) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await client.images.generate(prompt="a fox", **fields)
    assert (refused.value.param, refused.value.code) == (param, code)


async def test_errors_have_types_of_the_sdk(emulator: Emulator, client: Any) -> None:
    emulator.blocked = "output"
    with pytest.raises(openai.BadRequestError) as blocked:
        await client.images.generate(model="gpt-image-2", prompt="a fox")
    assert blocked.value.code == "moderation_blocked"
    assert blocked.value.body["moderation_details"]["moderation_stage"] == "output"
    with pytest.raises(openai.NotFoundError):
        await client.images.generate(model="gpt-image-9", prompt="a fox")
    with pytest.raises(openai.AuthenticationError):
        await client.with_options(api_key="wrong").images.generate(model="gpt-image-2", prompt="a fox")
    emulator.failures = [(429, {"error": {"message": "slow", "type": "requests", "code": "rate_limit_exceeded"}}, {})]
    with pytest.raises(openai.RateLimitError):
        await client.images.generate(model="gpt-image-2", prompt="a fox")
    assert emulator.billed == 0
