"""Stability's emulator, called by `litellm` 1.110.2: the vendor's SDK knows gRPC only."""

from __future__ import annotations

import base64
import importlib
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pytest

from tests.emulators.base import image_bytes
from tests.emulators.stability import Stability

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

litellm: Any = importlib.import_module("litellm")


@pytest.fixture
async def emulator() -> AsyncIterator[Stability]:
    async with Stability() as running:
        yield running


async def test_image_is_generated(emulator: Stability) -> None:
    made = await litellm.aimage_generation(
        model="stability/stable-image-core",
        prompt="a fox",
        size="1792x1024",
        api_base=emulator.base,
        api_key=emulator.key,
    )
    assert base64.b64decode(made.data[0].b64_json) == image_bytes(96, 64)
    (sent,) = emulator.sent
    assert (sent.path, sent.part("aspect_ratio").text) == ("/v2beta/stable-image/generate/core", "16:9")
    assert emulator.billed == 1


async def test_mask_limits_an_edit(emulator: Stability) -> None:
    made = await litellm.aimage_edit(
        model="stability/inpaint",
        image=BytesIO(image_bytes()),
        mask=BytesIO(image_bytes()),
        prompt="a fox",
        api_base=emulator.base,
        api_key=emulator.key,
    )
    assert base64.b64decode(made.data[0].b64_json) == image_bytes(96, 64)
    assert emulator.sent[0].part("mask").data == image_bytes()


@pytest.mark.parametrize("finish", ["CONTENT_FILTERED"])
async def test_filtered_image_raises(emulator: Stability, finish: str) -> None:
    emulator.finish = finish
    with pytest.raises(Exception, match=r"(?i)filter"):
        await litellm.aimage_generation(
            model="stability/stable-image-core", prompt="a fox", api_base=emulator.base, api_key=emulator.key
        )


async def test_wrong_key_is_refused(emulator: Stability) -> None:
    with pytest.raises(litellm.AuthenticationError):
        await litellm.aimage_generation(
            model="stability/stable-image-core", prompt="a fox", api_base=emulator.base, api_key="another"
        )
