"""fal's emulator, called by fal's SDK (PyPI `fal-client` 1.0.3)."""

from __future__ import annotations

import asyncio
import importlib
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import pytest

from tests.emulators.base import image_bytes
from tests.emulators.fal import Fal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

fal_client: Any = importlib.import_module("fal_client")
_APP = "fal-ai/fast-sdxl"
_INPUT = {"prompt": "a fox", "num_images": 2, "format": "png", "image_size": {"width": 128, "height": 64}}


@pytest.fixture
async def emulator() -> AsyncIterator[Fal]:
    async with Fal() as running:
        yield running


@pytest.fixture
def client(emulator: Fal, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(fal_client.client, "QUEUE_URL_FORMAT", f"{emulator.base}/")
    monkeypatch.setattr(fal_client.client, "RUN_URL_FORMAT", f"{emulator.base}/run/")
    return fal_client.AsyncClient(key=emulator.key)


async def test_subscribe_and_run_return_the_result(emulator: Fal, client: Any) -> None:
    states: list[Any] = []
    output = await client.subscribe(_APP, _INPUT, with_logs=True, on_queue_update=states.append)
    assert [type(state).__name__ for state in states] == ["Queued", "InProgress", "Completed"]
    assert output["seed"] == 42
    assert await asyncio.to_thread(_read, output["images"][1]["url"]) == image_bytes(128, 64)
    assert len((await client.run(_APP, _INPUT))["images"]) == 2
    assert emulator.billed == 4


async def test_request_of_a_nested_app_is_polled_and_cancelled(emulator: Fal, client: Any) -> None:
    handle = await client.submit(f"{_APP}/image-to-image", {"prompt": "a fox", "image_url": "https://x/y.png"})
    assert type(await handle.status()).__name__ == "Queued"
    await handle.cancel()
    assert emulator.requests[handle.request_id].cancelled
    assert emulator.sent[-1].path == f"/{_APP}/requests/{handle.request_id}/cancel"


@pytest.mark.parametrize("status", [422, 500])
async def test_failed_request_raises_an_error_of_the_sdk(emulator: Fal, client: Any, status: int) -> None:
    problem = {"loc": ["body"], "msg": "no", "type": "content_policy_violation"}
    emulator.result = (status, {"detail": [problem]}, {"x-fal-request-id": "r"})
    with pytest.raises(fal_client.client.FalClientHTTPError) as raised:
        await client.subscribe(_APP, _INPUT)
    assert raised.value.status_code == status


async def test_refused_input_and_key_raise_errors(emulator: Fal, client: Any) -> None:
    with pytest.raises(fal_client.client.FalClientHTTPError) as refused:
        await client.submit(_APP, {})
    assert refused.value.status_code == 422
    emulator.key = "another"
    with pytest.raises(fal_client.client.FalClientHTTPError) as unknown:
        await client.submit(_APP, _INPUT)
    assert unknown.value.status_code == 401


def _read(url: str) -> bytes:
    with urlopen(url) as answer:  # noqa: S310  the emulator's URL
        return bytes(answer.read())
