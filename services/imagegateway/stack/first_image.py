"""Self-check: make the first image through the public REST API, as a caller does."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from typing import TYPE_CHECKING, Final

import aiohttp
from imagegateway.stack.errors import SelfCheckError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from imagegateway.platform.settings import Settings

_ATTEMPT: Final = aiohttp.ClientTimeout(total=30)
_RETRY_SECONDS: Final = 30.0
"""Time during which a 503 is retried: a provider server may still be starting."""
_PAUSE_SECONDS: Final = 0.5
_REQUEST: Final[Mapping[str, str | int]] = {
    "model": "local/sketch",
    "prompt": "a gateway of light over a calm sea at dawn",
    "seed": 7,
    "size": "1024x1024",
    "response_format": "b64_json",
}


async def make_first_image(
    settings: Settings, api_key: str, *, retry_seconds: float = _RETRY_SECONDS, pause_seconds: float = _PAUSE_SECONDS
) -> Path:
    """Make an image and write it to the data directory. Return its path.

    Raises SelfCheckError with the gateway's error message.
    """
    deadline = time.monotonic() + retry_seconds
    while True:
        try:
            data = await _request(settings, api_key)
        except SelfCheckError as error:
            if not error.temporary or time.monotonic() >= deadline:
                raise
            await asyncio.sleep(pause_seconds)
        else:
            break
    path = settings.data_dir / "first-image.png"
    path.write_bytes(data)
    return path


async def _request(settings: Settings, api_key: str) -> bytes:
    url = f"{settings.local_url}/v1/images/generations"
    headers = {"authorization": f"Bearer {api_key}"}
    try:
        async with (
            aiohttp.ClientSession(timeout=_ATTEMPT, headers=headers) as session,
            session.post(url, json=_REQUEST) as response,
        ):
            text = await response.text()
    except (aiohttp.ClientError, TimeoutError) as error:
        raise SelfCheckError(f"no first image: {error or 'the gateway does not respond'}") from error
    if response.status != 200:
        raise SelfCheckError(f"no first image: {text}", temporary=response.status == 503)
    return base64.b64decode(json.loads(text)["data"][0]["b64_json"])
