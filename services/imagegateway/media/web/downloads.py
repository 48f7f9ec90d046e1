"""Downloads of stored images and videos by signed link."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from aiohttp import web
from imagegateway.media.objects import result_digest
from imagegateway.media.signed_links import CONTENT_POLICY, LinkSigner, LinkStatus, media_type_of
from imagegateway.media.web.ranges import Span, Unsatisfiable, requested
from imagegateway.media.web.responses import SENT, STREAM, failure, is_cached
from imagegateway.platform.errors import GatewayError
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Callable

    from imagegateway.media.store import MediaStore

PATH: Final = "/media/{day}/{result}/{name}"


class Downloads:
    """Handler of `PATH` for GET and HEAD."""

    def __init__(self, store: MediaStore, links: LinkSigner, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._links = links
        self._clock = clock

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Respond with 200, 206 or 304. Raises GatewayError for a link that is forbidden, expired or without file."""
        day, result, name = (request.match_info[part] for part in ("day", "result", "name"))
        expires = self._verify(f"/media/{day}/{result}/{name}", request)
        key = f"results/{day}/{result}"
        sha256 = result_digest(key)
        size = await self._store.size(key)
        if size is None:
            raise GatewayError(ErrorReason.ERROR_REASON_UNKNOWN_URL, "The file of this link does not exist.")

        headers = {
            "ETag": f'"{sha256}"',
            "Cache-Control": f"private, max-age={expires - int(self._clock())}, immutable",
            "Accept-Ranges": "bytes",
            "Access-Control-Allow-Origin": "*",
            "Cross-Origin-Resource-Policy": "cross-origin",
        }
        if is_cached(request, sha256):
            return web.Response(status=304, headers=headers)
        try:
            span = _requested_span(request, sha256, size)
        except Unsatisfiable:
            error = GatewayError(
                ErrorReason.ERROR_REASON_INVALID_VALUE, f"The file has {size} bytes only.", param="range"
            )
            return failure(error, 416, {"Content-Range": f"bytes */{size}", "Access-Control-Allow-Origin": "*"})

        media_type = media_type_of(name)
        headers["Content-Type"] = media_type
        headers["Content-Disposition"] = f'inline; filename="{name}"'
        headers["Content-Security-Policy"] = CONTENT_POLICY
        response = web.StreamResponse(status=200 if span is None else 206, headers=headers)
        if span is not None:
            response.headers["Content-Range"] = f"bytes {span.start}-{span.start + span.length - 1}/{size}"
        return await self._send(request, response, key, span or Span(0, size))

    def _verify(self, path: str, request: web.Request) -> int:
        """Return the link's expiry in Unix seconds. Raises GatewayError for an invalid link."""
        exp, sig = request.query.get("exp", ""), request.query.get("sig", "")
        match self._links.verify(path, exp, sig):
            case LinkStatus.VALID:
                return int(exp)
            case LinkStatus.EXPIRED:
                raise GatewayError(ErrorReason.ERROR_REASON_EXPIRED, "This link has expired.")
            case LinkStatus.FORBIDDEN:
                raise GatewayError(
                    ErrorReason.ERROR_REASON_INVALID_SIGNATURE,
                    "The signature of this link is wrong: use the link whole and unchanged.",
                )

    async def _send(
        self, request: web.Request, response: web.StreamResponse, key: str, span: Span
    ) -> web.StreamResponse:
        response.content_length = span.length
        await response.prepare(request)
        request[STREAM] = response
        request[SENT] = 0
        if request.method != "HEAD":
            async for piece in self._store.stream(key, span.start, span.length):
                await response.write(piece)
                request[SENT] += len(piece)
        return response


def _requested_span(request: web.Request, sha256: str, size: int) -> Span | None:
    """Return the span to send. None: the whole file. Raises Unsatisfiable."""
    if request.method != "GET":  # ranges are defined only for GET
        return None
    if request.headers.get("If-Range", f'"{sha256}"') != f'"{sha256}"':
        return None
    return requested(request.headers.get("Range"), size)
