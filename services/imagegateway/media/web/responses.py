"""Middleware of every handler: request ids, errors in OpenAI's format, and one log line per request."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Final

from aiohttp import web
from imagegateway.media.store import StoreError
from imagegateway.platform import ids, logs
from imagegateway.platform.errors import GatewayError
from imagegateway.v1.error_reason_pb2 import ErrorReason
from structlog.contextvars import bound_contextvars

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp.typedefs import Handler

REQUEST_ID: Final = web.RequestKey("request_id", str)
STREAM: Final = web.RequestKey("stream", web.StreamResponse)
"""Response whose body a handler has begun to send."""
SENT: Final = web.RequestKey("sent", int)
"""Bytes of that body so far."""
QUIET: Final = frozenset({"/healthz", "/readyz"})
_log = logs.get(__name__)


def failure(error: GatewayError, status: int | None = None, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return an error response. `status` overrides the reason's for HTTP's own errors (405, 416)."""
    return web.Response(
        text=json.dumps(error.body()),
        status=status or error.meaning.http,
        headers={"Cache-Control": "no-store", **error.http_headers(), **(headers or {})},
        content_type="application/json",
    )


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Add the headers of every response, streams included."""
    response.headers["X-Request-Id"] = request[REQUEST_ID]
    response.headers["X-Content-Type-Options"] = "nosniff"


@web.middleware
async def outermost(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Set the request id, convert exceptions to responses, and log the request."""
    started = time.perf_counter()
    request[REQUEST_ID] = ids.request_id(request.headers.get("x-request-id", ""))
    with bound_contextvars(request_id=request[REQUEST_ID]):
        status, size = 499, 0  # without a response, the caller went away
        try:
            status, response = await _respond(request, handler)
            size = response.content_length or 0
        finally:
            if request.path not in QUIET:
                log = _log.error if status >= 500 else _log.info
                log(
                    "request_finished",
                    method=request.method,
                    path=request.path,
                    status=status,
                    bytes=request.get(SENT, size),
                    duration_ms=round((time.perf_counter() - started) * 1000, 1),
                )
    return response


async def _respond(request: web.Request, handler: Handler) -> tuple[int, web.StreamResponse]:
    """Return the status for the log, and the response."""
    try:
        response = await handler(request)
    except GatewayError as error:
        response = failure(error)
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        reason = GatewayError(
            ErrorReason.ERROR_REASON_UNKNOWN_URL, f"{request.method} is not possible here: use {allowed}."
        )
        response = failure(reason, error.status, {"Allow": allowed})
    except web.HTTPException:
        response = failure(GatewayError(ErrorReason.ERROR_REASON_UNKNOWN_URL, "There is nothing at this URL."))
    except ConnectionError:
        return 499, request.get(STREAM, web.Response(status=499))
    except Exception as error:  # noqa: BLE001  every failure has a response
        _log.error("request_failed", exc_info=True)
        if STREAM in request:
            # After a part of the file, only a broken connection reports that the rest is missing.
            if request.transport is not None:
                request.transport.abort()
            return 500, request[STREAM]
        response = failure(_public_error(error, request[REQUEST_ID]))
    return response.status, response


def _public_error(error: Exception, request_id: str) -> GatewayError:
    """Return an error without internals."""
    if isinstance(error, StoreError):
        return GatewayError(
            ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE,
            "The media store can't be reached; try again.",
            retry_after=2,
        )
    return GatewayError(
        ErrorReason.ERROR_REASON_INTERNAL, f"Something went wrong in the gateway (request {request_id})."
    )
