"""Middleware of every handler: request ids, errors in OpenAI's format, and one log line per request."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Final

from aiohttp import ETag, web
from imagegateway.media.store import StoreError
from imagegateway.platform import ids, logs, trace_context, tracing
from imagegateway.platform.client_address import client_address
from imagegateway.platform.errors import GatewayError
from imagegateway.platform.spans import NO_SPAN, SpanKind
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp.typedefs import Handler
    from imagegateway.platform.spans import Span

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


def is_cached(request: web.Request, tag: str) -> bool:
    """Return True when the caller's cached copy is current. `tag`: the present entity tag without its quotes."""
    tags = request.if_none_match or ()
    return any(known.value in {tag, "*"} for known in tags if isinstance(known, ETag))


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Add the headers of every response, streams included."""
    if REQUEST_ID in request:  # the refusal of another process's certificate comes before
        response.headers["X-Request-Id"] = request[REQUEST_ID]
    response.headers["X-Content-Type-Options"] = "nosniff"


@web.middleware
async def outermost(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Set the request id, convert exceptions to responses, and log the request."""
    started = time.perf_counter()
    request[REQUEST_ID] = ids.request_id(request.headers.get("x-request-id", ""))
    logs.enter(request_id=request[REQUEST_ID])
    trace_context.continue_from(request.headers)
    if request.path in QUIET:
        _, response = await _respond(request, handler)
        return response
    status, size = 499, 0  # without a response, the caller went away
    with _span(request) as span:
        try:
            status, response = await _respond(request, handler)
            size = response.content_length or 0
        finally:
            log = _log.error if status >= 500 else _log.info
            log(
                "request_finished",
                client=client_address(request.headers),
                method=request.method,
                path=request.path,
                status=status,
                bytes=request.get(SENT, size),
                duration_ms=round((time.perf_counter() - started) * 1000, 1),
            )
            span.set({"http.response.status_code": status})
            if status >= 500:
                span.fail(str(status))
    return response


def _span(request: web.Request) -> Span:
    """Return the span of a request, with its route: the path may hold the key of a file."""
    if not tracing.is_on():
        return NO_SPAN
    resource = request.match_info.route.resource
    route = resource.canonical if resource else ""
    attributes = {
        "http.request.method": request.method,
        "http.route": route,
        "imagegateway.request.id": request[REQUEST_ID],
    }
    return tracing.span(f"{request.method} {route}".rstrip(), SpanKind.SERVER, attributes)


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
