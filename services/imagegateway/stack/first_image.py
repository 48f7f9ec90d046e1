"""The self-check: one picture through REST, as a caller would make it."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import aiohttp

if TYPE_CHECKING:
    from pathlib import Path

    from imagegateway.platform.settings import Settings


_TIMEOUT: Final = aiohttp.ClientTimeout(total=30)


class SelfCheckError(Exception):
    """The stack answers, but makes no picture."""


@dataclass(frozen=True, slots=True)
class FirstPicture:
    """Where the picture lies."""

    path: Path


async def make(settings: Settings, secret: str) -> FirstPicture:
    """Ask for a picture and write it to the data directory. Raises SelfCheckError with the gateway's own words."""
    data = await _ask(settings, secret)
    path = settings.data_dir / "first-picture.png"
    path.write_bytes(data)
    return FirstPicture(path)


async def _ask(settings: Settings, secret: str) -> bytes:
    body = {
        "model": "local/sketch",
        "prompt": "a gateway of light over a calm sea at dawn",
        "seed": 7,
        "size": "1024x1024",
        "response_format": "b64_json",
    }
    url = f"{settings.local_url}/v1/images/generations"
    headers = {"authorization": f"Bearer {secret}"}
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT, headers=headers) as session,
            session.post(url, json=body) as response,
        ):
            text = await response.text()
    except (aiohttp.ClientError, TimeoutError) as error:
        raise SelfCheckError(f"no first picture: {error or 'there is no answer'}") from error
    if response.status != 200:
        raise SelfCheckError(f"no first picture: {text}")
    return base64.b64decode(json.loads(text)["data"][0]["b64_json"])
