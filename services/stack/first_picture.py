"""The self-check: one picture through REST, as a caller would make it."""

from __future__ import annotations

import asyncio
import base64
import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from services.common.settings import Settings


class SelfCheckError(Exception):
    """The stack answers, but makes no picture."""


@dataclass(frozen=True, slots=True)
class FirstPicture:
    """Where the picture lies."""

    path: Path


async def make(settings: Settings, secret: str) -> FirstPicture:
    """Ask for a picture and write it to the data directory. Raises SelfCheckError with the gateway's own words."""
    data = await asyncio.to_thread(_ask, settings, secret)
    path = settings.data_dir / "first-picture.png"
    path.write_bytes(data)
    return FirstPicture(path)


def _ask(settings: Settings, secret: str) -> bytes:
    host = "127.0.0.1" if settings.host in {"0.0.0.0", "::"} else settings.host  # noqa: S104  compared, not bound
    body = {
        "model": "local/sketch",
        "prompt": "a gateway of light over a calm sea at dawn",
        "seed": 7,
        "size": "1024x1024",
        "response_format": "b64_json",
    }
    request = urllib.request.Request(
        f"http://{host}:{settings.port}/v1/images/generations",
        data=json.dumps(body).encode(),
        headers={"authorization": f"Bearer {secret}", "content-type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
            answer = json.load(response)
    except urllib.error.HTTPError as error:
        raise SelfCheckError(error.read().decode(errors="replace")) from error
    except OSError as error:
        raise SelfCheckError(str(error)) from error
    return base64.b64decode(answer["data"][0]["b64_json"])
