"""Recraft's emulator, called by OpenAI's SDK (PyPI `openai` 3.54.0), which Recraft recommends."""

from __future__ import annotations

import base64
import importlib
from typing import TYPE_CHECKING, Any

import pytest

from tests.emulators.base import image_bytes
from tests.emulators.recraft import Recraft, drawing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

openai: Any = importlib.import_module("openai")


@pytest.fixture
async def emulator() -> AsyncIterator[Recraft]:
    async with Recraft() as running:
        yield running


@pytest.fixture
async def client(emulator: Recraft) -> AsyncIterator[Any]:
    async with openai.AsyncOpenAI(base_url=emulator.base + "/v1", api_key=emulator.key, max_retries=0) as opened:
        yield opened


async def test_extra_fields_are_sent_at_top_level(emulator: Recraft, client: Any) -> None:
    made = await client.images.generate(
        model="recraftv3",
        prompt="a fox",
        n=2,
        size="1536x1024",
        extra_body={"style": "icon", "random_seed": 7, "image_format": "png"},
    )
    assert [item.url for item in made.data] == [f"{emulator.base}/result/{index}" for index in range(2)]
    assert (emulator.sent[0].json["style"], made.credits, emulator.billed) == ("icon", 80, 2)
    assert emulator.results["0"][0] == image_bytes(1536, 1024, "PNG", (0, 9, 9))


async def test_vector_image_is_returned_as_base64(client: Any) -> None:
    made = await client.images.generate(model="recraftv4_vector", prompt="a fox", response_format="b64_json")
    assert base64.b64decode(made.data[0].b64_json) == drawing(1024, 1024)


async def test_edits_use_the_transport_of_the_sdk(emulator: Recraft, client: Any) -> None:
    made = await client.post(
        "/images/imageToImage",
        cast_to=openai.types.ImagesResponse,
        body={"prompt": "a fox", "strength": "0.5", "model": "recraftv4"},
        files={"image": ("a.png", image_bytes(), "image/png")},
        options={"headers": {"content-type": "multipart/form-data"}},
    )
    assert made.data[0].url
    assert emulator.billed == 1


async def test_plain_text_errors_raise_errors_of_the_sdk(emulator: Recraft, client: Any) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await client.images.generate(model="recraftv4", prompt="a fox", size="1536x1024")
    assert refused.value.response.text == "size 1536x1024 is not supported by recraftv4"
    with pytest.raises(openai.AuthenticationError) as stranger:
        await client.with_options(api_key="other").images.generate(model="recraftv3", prompt="a fox")
    assert stranger.value.response.text == "request unauthorized"
    assert emulator.billed == 0
