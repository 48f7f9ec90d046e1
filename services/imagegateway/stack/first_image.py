"""Self-check: make the first image through the public REST API, over this machine's socket."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from typing import TYPE_CHECKING, Final

from imagegateway.stack.errors import SelfCheckError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from imagegateway.platform.settings import Settings

_ATTEMPT_SECONDS: Final = 30.0
_RETRY_SECONDS: Final = 30.0
"""Time during which a 503 is retried: a provider server may still be starting."""
_PAUSE_SECONDS: Final = 0.5
_PATH: Final = "/v1/images/generations"
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
    """Make one call. It needs no HTTP client, which would be 12 MB in this process for as long as the stack runs."""
    body = json.dumps(_REQUEST).encode()
    head = (
        f"POST {_PATH} HTTP/1.0\r\nhost: localhost\r\nauthorization: Bearer {api_key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
        f"prefer: wait={_ATTEMPT_SECONDS:.0f}\r\n\r\n"  # whatever IMAGEGATEWAY_INLINE_WAIT says
    )
    try:
        async with asyncio.timeout(_ATTEMPT_SECONDS):
            reader, writer = await asyncio.open_unix_connection(settings.socket("envoy-api"))
            try:
                writer.write(head.encode() + body)
                answer = await reader.read()  # the end of an HTTP/1.0 answer is that of its connection
            finally:
                writer.close()
        status_line, _, text = answer.partition(b"\r\n\r\n")
        status = int(status_line.split()[1])
        document = json.loads(text)
        if status == 200:
            return base64.b64decode(document["data"][0]["b64_json"])
        message = document["error"]["message"]
    except (OSError, TimeoutError, ValueError, LookupError, TypeError) as error:
        raise SelfCheckError("no first image: the gateway does not respond as it should") from error
    raise SelfCheckError(f"no first image: {message}", temporary=status == 503)
