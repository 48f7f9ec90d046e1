"""Bria's emulator, called by Bria's SDK (PyPI `bria-client` 0.3.1)."""

from __future__ import annotations

import asyncio
import base64
import importlib
from typing import TYPE_CHECKING, Any

import pytest

from tests.emulators.base import image_bytes
from tests.emulators.bria import Bria

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

bria_client: Any = importlib.import_module("bria_client")

IMAGE = base64.b64encode(image_bytes()).decode()
MASK = base64.b64encode(image_bytes(colour=(255, 255, 255))).decode()


@pytest.fixture
async def emulator() -> AsyncIterator[Bria]:
    async with Bria() as running:
        yield running


@pytest.fixture
def client(emulator: Bria) -> Iterator[Any]:
    with bria_client.BriaSyncClient(base_url=emulator.base, api_token=emulator.key) as client:
        yield client


async def test_run_waits_for_the_complete_response(emulator: Bria, client: Any) -> None:
    payload = {"images": [IMAGE], "instruction": "a fox", "mask": MASK}
    made = await asyncio.to_thread(client.run, "image/edit", payload)
    assert (made.status, made.result.seed, emulator.billed) == ("COMPLETED", "77", 1)
    assert made.result.image_url.startswith(f"{emulator.base}/results/")
    assert emulator.sent[0].json["sync"] is True


async def test_submitted_jobs_are_polled(emulator: Bria, client: Any) -> None:
    begun = await asyncio.to_thread(client.submit, "v2/image/generate", {"prompt": "a fox", "aspect_ratio": "16:9"})
    assert begun.in_progress
    assert begun.status_url == f"{emulator.base}/v2/status/{begun.request_id}"
    made = await asyncio.to_thread(client.poll, begun, interval=0.01)
    assert (made.status, emulator.billed) == ("COMPLETED", 1)


async def test_async_client_completes_a_job(emulator: Bria) -> None:
    async with bria_client.BriaAsyncClient(base_url=emulator.base, api_token=emulator.key) as client:
        begun = await client.submit("image/edit/remove_background", {"image": IMAGE})
        assert (await client.poll(begun, interval=0.01)).result.image_url


async def test_failed_jobs_and_refusals_are_errors(emulator: Bria, client: Any) -> None:
    emulator.script = ({"code": 422, "message": "Moderated", "details": "prompt_content_moderation"},)
    begun = await asyncio.to_thread(client.submit, "image/edit/erase", {"image": IMAGE, "mask": MASK})
    failed = await asyncio.to_thread(client.poll, begun, interval=0.01, raise_for_status=False)
    assert (failed.status, failed.error.code, failed.error.message) == ("ERROR", 422, "Moderated")
    refused = await asyncio.to_thread(client.submit, "image/edit", {"instruction": "a fox"})
    assert (refused.error.code, refused.error.details) == (422, "images: field required")
    unknown = await asyncio.to_thread(client.poll, "request-none", raise_for_status=False)
    assert unknown.error.code == 404
    emulator.key = "another"
    assert (await asyncio.to_thread(client.run, "image/generate", {"prompt": "a fox"})).error.code == 401
    assert emulator.billed == 0
