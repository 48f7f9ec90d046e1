"""Record of an ended call: the canonical log line, metrics, and the call's span."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from grpc import StatusCode
from imagegateway.platform import logs, metrics
from imagegateway.providers import gen_ai
from imagegateway.router.call_context import STATUS
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from imagegateway.platform.errors import GatewayError
    from imagegateway.platform.spans import Attribute
    from imagegateway.router.call_context import Call

_OPERATIONS: Final = {"EditMultipart": "Edit", "StreamJobEvents": "StreamJob"}
"""Operation of a method that only one protocol has, as metrics name it."""
_LIMIT_REASONS: Final = frozenset(
    {
        ErrorReason.ERROR_REASON_RATE_LIMIT_EXCEEDED,
        ErrorReason.ERROR_REASON_BUDGET_EXCEEDED,
        ErrorReason.ERROR_REASON_PRICE_UNKNOWN,
        ErrorReason.ERROR_REASON_OVERLOADED,
    }
)
_SPAN_ATTRIBUTES: Final = {
    "job_id": gen_ai.JOB_ID,
    "model": "gen_ai.request.model",
    "tenant": "imagegateway.tenant",
}
"""Attributes of a call's span, by field of its log line."""
_log = logs.get(__name__)


def record(call: Call, started: float, error: GatewayError | None = None, status: int | None = None) -> None:
    """Write the canonical log line of a call, count the call, and end its span.

    `started`: `time.perf_counter()` at its start.
    """
    seconds = time.perf_counter() - started
    if error:
        status = error.meaning.http
    status = status or int(call.headers.get(STATUS, "200"))
    level = error.meaning.level if error else "info"
    getattr(_log, level)(
        "request_finished",
        request_id=call.request_id,
        operation=call.method,
        protocol="rest" if call.rest else "grpc",
        status=status,
        **({"reason": error.code, "param": error.param} if error else {}),
        duration_ms=round(seconds * 1000, 1),
        **call.log,
    )
    _count(call, seconds, error, status)
    if call.span.is_recording:
        _end_span(call, error, status)


def _count(call: Call, seconds: float, error: GatewayError | None, status: int) -> None:
    reason = error.code if error else ""
    requests, durations = metrics.request_metrics(
        _OPERATIONS.get(call.method, call.method),
        str(call.log.get("model", metrics.UNKNOWN)),
        str(call.log.get("provider", metrics.UNKNOWN)),
        str(status),
        reason,
    )
    requests.inc()
    durations.observe(seconds)
    if error and error.reason in _LIMIT_REASONS and call.key:
        metrics.REFUSALS.labels(reason, metrics.tenant_label(call.key.tenant)).inc()


def _end_span(call: Call, error: GatewayError | None, status: int) -> None:
    """End the span of a call. An error of the caller is an attribute, and no error of the span."""
    attributes: dict[str, Attribute] = {
        name: str(call.log[field]) for field, name in _SPAN_ATTRIBUTES.items() if field in call.log
    }
    if "model" in call.log:
        attributes["gen_ai.operation.name"] = gen_ai.OPERATION
    if call.rest:
        attributes["http.response.status_code"] = status
    else:
        code = error.meaning.grpc if error else StatusCode.OK
        attributes |= {"rpc.system.name": "grpc", "rpc.response.status_code": code.name}
    if error:
        attributes["error.type"] = error.code
    call.span.set(attributes)
    if error and status >= 500:
        call.span.fail(error.code)
    call.span.end()
