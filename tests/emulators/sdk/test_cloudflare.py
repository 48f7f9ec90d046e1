"""Cloudflare's emulator, called by Cloudflare's SDK (PyPI `cloudflare` 5.9.0).

The SDK can't send FLUX.2's multipart requests: the standard library's client sends them.
"""

from __future__ import annotations

import asyncio
import base64
import http.client
import importlib
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.emulators.base import image_bytes
from tests.emulators.cloudflare import Cloudflare

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

cloudflare: Any = importlib.import_module("cloudflare")
SCHNELL = "@cf/black-forest-labs/flux-1-schnell"


@pytest.fixture
async def emulator() -> AsyncIterator[Cloudflare]:
    async with Cloudflare() as running:
        yield running


@pytest.fixture
async def client(emulator: Cloudflare) -> AsyncIterator[Any]:
    base = emulator.base + "/client/v4"
    async with cloudflare.AsyncCloudflare(api_token=emulator.key, base_url=base, max_retries=0) as opened:
        yield opened


async def test_json_model_returns_an_envelope(emulator: Cloudflare, client: Any) -> None:
    result = await client.ai.run(SCHNELL, account_id=emulator.account, prompt="a fox")
    assert base64.b64decode(result["image"]) == image_bytes(1024, 1024, "JPEG")
    assert emulator.billed == 1


async def test_errors_raise_in_the_sdk(emulator: Cloudflare, client: Any) -> None:
    for prompt, error in (
        ("flagged", cloudflare.BadRequestError),
        ("no-access", cloudflare.PermissionDeniedError),
        ("no-capacity", cloudflare.RateLimitError),
        ("no-route", cloudflare.InternalServerError),
    ):
        with pytest.raises(error):
            await client.ai.run(SCHNELL, account_id=emulator.account, prompt=prompt)
    with pytest.raises(cloudflare.AuthenticationError):
        await client.with_options(api_token="other").ai.run(SCHNELL, account_id=emulator.account, prompt="a fox")
    with pytest.raises(cloudflare.NotFoundError):
        await client.ai.run(SCHNELL, account_id="f" * 32, prompt="a fox")
    with pytest.raises(cloudflare.BadRequestError, match="5006"):
        await client.ai.run("@cf/black-forest-labs/flux-2-dev", account_id=emulator.account, prompt="a fox")
    assert emulator.billed == 0


async def test_multipart_model_returns_an_image(emulator: Cloudflare) -> None:
    status, answer = await asyncio.to_thread(_post, emulator, 256)
    assert (status, answer["success"]) == (200, True)
    assert base64.b64decode(answer["result"]["image"]) == image_bytes(1072, 512, "JPEG")
    assert (await asyncio.to_thread(_post, emulator, 512))[0] == 400


def _post(emulator: Cloudflare, side: int) -> tuple[int, dict[str, Any]]:
    """Send a multipart request with the standard library's client."""
    parts = [("prompt", b"a fox"), ("width", b"1080"), ("height", b"512"), ("guidance", b"3.5")]
    lines = [b'--b\r\ncontent-disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (k.encode(), v) for k, v in parts]
    head = b'--b\r\ncontent-disposition: form-data; name="input_image_0"; filename="a.png"\r\n'
    lines.append(head + b"content-type: image/png\r\n\r\n" + image_bytes(side, 64) + b"\r\n--b--\r\n")
    connection = http.client.HTTPConnection(urlsplit(emulator.base).netloc, timeout=10)
    try:
        connection.request(
            "POST",
            f"/client/v4/accounts/{emulator.account}/ai/run/@cf/black-forest-labs/flux-2-klein-9b",
            b"".join(lines),
            {"authorization": f"Bearer {emulator.key}", "content-type": "multipart/form-data; boundary=b"},
        )
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()
