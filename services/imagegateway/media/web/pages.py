"""Web page at `/`, with a Content-Security-Policy for its own script and style only."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_PAGE: Final = Path(__file__).with_name("page.html")


def home(public_url: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Return the handler of `/`. Images may also load from `public_url`, the origin of signed links."""
    text = _PAGE.read_text()
    headers = {"Content-Security-Policy": _policy(text, public_url), "Cache-Control": "no-cache"}

    async def serve(_request: web.Request) -> web.Response:
        return web.Response(text=text, content_type="text/html", charset="utf-8", headers=headers)

    return serve


def _policy(text: str, public_url: str) -> str:
    origin = urlsplit(public_url)
    images = f"'self' data: blob: {origin.scheme}://{origin.netloc}"
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {_hash(text, 'script')}",
            f"style-src {_hash(text, 'style')}",
            f"img-src {images}",
            f"media-src {images}",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


def _hash(text: str, element: str) -> str:
    """Return the CSP source of the page's only inline element of this name."""
    (content,) = re.findall(rf"<{element}>(.*?)</{element}>", text, re.DOTALL)
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
