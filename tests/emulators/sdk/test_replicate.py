"""Replicate's emulator, called by Replicate's SDK (PyPI `replicate` 1.0.7)."""

from __future__ import annotations

import asyncio
import importlib
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import pytest

from tests.emulators.base import image_bytes
from tests.emulators.replicate import VERSION, Replicate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

replicate: Any = importlib.import_module("replicate")
_MODEL = f"stability-ai/sdxl:{VERSION}"


@pytest.fixture
async def emulator() -> AsyncIterator[Replicate]:
    async with Replicate() as running:
        yield running


@pytest.fixture
def client(emulator: Replicate) -> Any:
    return replicate.Client(api_token=emulator.key, base_url=emulator.base)


async def test_run_waits_for_the_images(emulator: Replicate, client: Any) -> None:
    urls = await asyncio.to_thread(client.run, _MODEL, input={"prompt": "a fox", "num_outputs": 2, "width": 128})
    assert [await asyncio.to_thread(_read, url) for url in urls] == [image_bytes(128, 64)] * 2
    assert emulator.billed == 2


async def test_prediction_is_created_polled_and_cancelled(emulator: Replicate, client: Any) -> None:
    create = client.predictions.create
    prediction = await asyncio.to_thread(create, version=VERSION, input={"prompt": "a fox"})
    assert prediction.status == "starting"
    await asyncio.to_thread(prediction.wait)
    assert (prediction.status, len(prediction.output)) == ("succeeded", 1)
    other = await asyncio.to_thread(create, version=VERSION, input={"prompt": "a fox"})
    await asyncio.to_thread(other.cancel)
    await asyncio.to_thread(other.reload)
    assert (other.status, emulator.billed) == ("canceled", 1)


async def test_failed_prediction_and_refused_input_raise_errors_of_the_sdk(emulator: Replicate, client: Any) -> None:
    emulator.flagged = 1
    with pytest.raises(replicate.exceptions.ModelError, match="NSFW"):
        await asyncio.to_thread(client.run, _MODEL, input={"prompt": "a fox"})
    with pytest.raises(replicate.exceptions.ReplicateError) as refused:
        await asyncio.to_thread(client.run, _MODEL, input={"prompt": "a fox", "num_outputs": 9})
    assert (refused.value.status, refused.value.title) == (422, "Input validation failed")
    emulator.key = "another"
    with pytest.raises(replicate.exceptions.ReplicateError) as unknown:
        await asyncio.to_thread(client.run, _MODEL, input={"prompt": "a fox"})
    assert unknown.value.status == 401


def _read(url: str) -> bytes:
    with urlopen(url) as answer:  # noqa: S310  the emulator's URL
        return bytes(answer.read())
