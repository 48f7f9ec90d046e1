"""Outcome of a failed call: the caller's error with its headers or trailers."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status
from imagegateway.platform import logs
from imagegateway.platform.errors import DOMAIN, INTERNAL, GatewayError, UnavailableError
from imagegateway.router.call_context import STATUS

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from imagegateway.router.call_context import Call

_log = logs.get(__name__)


def error_of(call: Call, error: Exception) -> GatewayError:
    """Return the caller's error for an exception, and log an unforeseen one."""
    if isinstance(error, GatewayError):
        return error
    if isinstance(error, UnavailableError):
        if error.__cause__:
            _log.error("part_unavailable", request_id=call.request_id, operation=call.method, exc_info=error)
        return error.as_gateway_error()
    _log.error("request_failed", request_id=call.request_id, operation=call.method, exc_info=error)
    return INTERNAL


def error_headers(call: Call, error: GatewayError) -> dict[str, str]:
    """Return the headers of an error response. Native gRPC has no `x-should-retry`."""
    headers = call.headers | error.http_headers()
    if not call.rest:
        headers.pop("x-should-retry", None)
    return headers


def error_trailers(call: Call, error: GatewayError) -> dict[str, str]:
    """Return the metadata of an error. Over REST, Envoy's hook turns two of them into status and body."""
    metadata = error_headers(call, error)
    if call.rest:
        metadata[STATUS] = str(error.meaning.http)
        metadata["x-oai-error"] = json.dumps(error.body(), separators=(",", ":"))
    return metadata


def status_details(error: GatewayError) -> bytes:
    """Return an error's `google.rpc.Status`: the value of `grpc-status-details-bin`."""
    parts: list[Message] = [
        error_details_pb2.ErrorInfo(reason=error.code.upper(), domain=DOMAIN, metadata=dict(error.details))
    ]
    if error.param:
        violation = error_details_pb2.BadRequest.FieldViolation(field=error.param, description=error.message)
        parts.append(error_details_pb2.BadRequest(field_violations=[violation]))
    seconds = error.retry_seconds
    if seconds is not None:
        delay = Duration()
        delay.FromMilliseconds(math.ceil(seconds * 1000))
        parts.append(error_details_pb2.RetryInfo(retry_delay=delay))
    status = Status(code=error.meaning.grpc.value[0], message=error.message)
    for part in parts:
        packed = AnyMessage()
        packed.Pack(part)
        status.details.append(packed)
    serialized: bytes = status.SerializeToString()
    return serialized
