"""AUTOMATIC1111's emulator, called by a third party's SDK (PyPI `webuiapi` 0.9.17)."""

from __future__ import annotations

import asyncio
import importlib
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from PIL import Image

from tests.emulators.automatic1111 import Automatic1111
from tests.emulators.base import image_bytes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

webuiapi: Any = importlib.import_module("webuiapi")


@pytest.fixture
async def emulator() -> AsyncIterator[Automatic1111]:
    async with Automatic1111(key="user:pass") as running:
        yield running


@pytest.fixture
async def client(emulator: Automatic1111) -> Any:
    place = urlsplit(emulator.base)
    # The constructor calls the server.
    make = partial(webuiapi.WebUIApi, host=place.hostname, port=place.port, username="user", password="pass")
    return await asyncio.to_thread(make)


async def test_images_are_generated_from_text(emulator: Automatic1111, client: Any) -> None:
    made = await asyncio.to_thread(client.txt2img, prompt="a fox", n_iter=2, seed=7, width=128, height=64, steps=20)
    assert [image.size for image in made.images] == [(128, 64)] * 2
    assert made.info["all_seeds"] == [7, 8]
    assert emulator.billed == 2


async def test_images_are_generated_from_images_and_masks(emulator: Automatic1111, client: Any) -> None:
    source = Image.open(BytesIO(image_bytes()))
    made = await asyncio.to_thread(
        client.img2img, images=[source], mask_image=source.convert("L"), prompt="a fox", width=64, height=64
    )
    assert made.image.size == (64, 64)
    assert emulator.sent[-1].path == "/sdapi/v1/img2img"


async def test_progress_samplers_and_errors_are_readable(emulator: Automatic1111, client: Any) -> None:
    assert (await asyncio.to_thread(client.get_progress))["progress"] == 0
    assert (await asyncio.to_thread(client.get_samplers))[0]["name"] == "Euler"
    with pytest.raises(RuntimeError, match="Sampler not found"):
        await asyncio.to_thread(client.txt2img, prompt="a fox", sampler_name="none")
    emulator.key = "another:one"
    with pytest.raises(RuntimeError, match="401"):
        await asyncio.to_thread(client.txt2img, prompt="a fox")
