"""Spans of outbound HTTP requests, by OpenTelemetry's semantic conventions for HTTP clients.

A URL may be signed or hold a key, so a span has its host and port alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagegateway.platform import tracing
from imagegateway.platform.spans import NO_SPAN, SpanKind

if TYPE_CHECKING:
    from imagegateway.outbound.messages import Request
    from imagegateway.platform.spans import Attribute, Span


def request_span(request: Request) -> Span:
    """Return the span of a request, which ends with the head of its response."""
    if not tracing.is_on():
        return NO_SPAN
    url = request.url
    attributes: dict[str, Attribute] = {
        "http.request.method": request.method,
        "server.address": request.tls_name or url.raw_host or "",  # a proxy gets the address
        "server.port": url.port or 0,
    }
    return tracing.span(request.method, SpanKind.CLIENT, attributes)


def set_status(span: Span, status: int) -> None:
    """Set the status of the response."""
    span.set({"http.response.status_code": status})
    if status >= 400:
        span.fail(str(status))
