"""Web page: `/` and its modules and styles under `/assets/`, in memory, with ETags and Content-Security-Policy."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from aiohttp import web
from imagegateway.media.web.responses import is_cached
from imagegateway.platform.errors import GatewayError
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Mapping

ASSETS: Final = "/assets/{name:.+}"
_FOLDER: Final = Path(__file__).with_name("page")
_HOME: Final = "index.html"
_MEDIA_TYPES: Final = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class _File:
    body: bytes
    media_type: str
    tag: str

    @classmethod
    def read(cls, path: Path) -> _File:
        body = path.read_bytes()
        return cls(body, _MEDIA_TYPES[path.suffix], hashlib.sha256(body).hexdigest()[:32])

    def response(self, request: web.Request, headers: Mapping[str, str]) -> web.Response:
        """Return the file, or 304 if the browser's copy is current."""
        # A browser asks again on each visit: one tab never runs modules of two versions of the gateway.
        headers = {"ETag": f'"{self.tag}"', "Cache-Control": "no-cache", **headers}
        if is_cached(request, self.tag):
            return web.Response(status=304, headers=headers)
        return web.Response(body=self.body, content_type=self.media_type, charset="utf-8", headers=headers)


class Page:
    """Handlers of the page's files. Images and videos may also load from `public_url`, the origin of signed links."""

    def __init__(self, public_url: str) -> None:
        paths = sorted(path for path in _FOLDER.rglob("*") if path.suffix in _MEDIA_TYPES)
        self._files = {path.relative_to(_FOLDER).as_posix(): _File.read(path) for path in paths}
        self._home = self._files.pop(_HOME)
        self._headers = {"Content-Security-Policy": _policy(public_url), "Referrer-Policy": "no-referrer"}

    async def home(self, request: web.Request) -> web.Response:
        """Respond to `/`."""
        return self._home.response(request, self._headers)

    async def asset(self, request: web.Request) -> web.Response:
        """Respond to `ASSETS`. Raises GatewayError for a name without a file."""
        file = self._files.get(request.match_info["name"])
        if file is None:
            raise GatewayError(ErrorReason.ERROR_REASON_UNKNOWN_URL, "There is nothing at this URL.")
        return file.response(request, {})


def _policy(public_url: str) -> str:
    origin = urlsplit(public_url)
    media = f"'self' data: blob: {origin.scheme}://{origin.netloc}"
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            f"img-src {media}",
            f"media-src {media}",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )
