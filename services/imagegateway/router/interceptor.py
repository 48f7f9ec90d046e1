"""The outermost layer of the router: request ids, authentication, errors to statuses, the canonical log line."""

from __future__ import annotations

import asyncio
import json
import math
import time
import traceback
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status
from imagegateway.platform import logs
from imagegateway.platform.errors import DOMAIN, INTERNAL, GatewayError, UnavailableError
from imagegateway.router import call_context, grpc_messages
from imagegateway.router.request_body import timely
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

    from google.protobuf.message import Message
    from imagegateway.keys.api_keys import KeyRing
    from imagegateway.platform.grpc_server import Context
    from imagegateway.router.body_budget import BodyBudget, HeldBody
    from imagegateway.router.call_context import Call

_OPEN: Final = ("/grpc.health.v1.", "/grpc.reflection.")
"""Standard services that answer without a key: they tell nothing that the published protos don't."""

_log = logs.get(__name__)


class Outermost(grpc.aio.ServerInterceptor):
    """Wraps every method of the public services."""

    def __init__(self, ring: KeyRing, budget: BodyBudget) -> None:
        self._ring = ring
        self._budget = budget

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith(_OPEN):
            return handler
        name = method.rpartition("/")[2]
        # Requests count as streams here, so that the key is checked before a message is read. For a single message
        # that ends early gRPC would never call the method, nor end the call.
        make, answer = (
            (grpc.stream_stream_rpc_method_handler, self._streaming(name, handler))
            if handler.response_streaming
            else (grpc.stream_unary_rpc_method_handler, self._unary(name, handler))
        )
        return make(answer, response_serializer=handler.response_serializer)

    def _unary(self, name: str, handler: Any) -> Any:
        async def answer(received: AsyncIterator[bytes], context: Context) -> Message:
            call, began = _begin(name, context), time.perf_counter()
            try:
                await call_context.authenticate(call, self._ring)
                with self._budget.hold(call.tenant) as held:  # the message is kept until the call ends
                    # In no variable: the frame of a call that fails lives until a garbage collection.
                    response: Message = await handler.unary_unary(
                        _parsed(handler, await _only(call, received, held)), context
                    )
            except BaseException as error:
                await _fail(call, context, error, began, sent=False)
                raise
            await context.send_initial_metadata(tuple(call.headers.items()))
            finished(call, began)
            return response

        return answer

    def _streaming(self, name: str, handler: grpc.RpcMethodHandler[Any, Any]) -> Any:
        method: Any = handler.stream_stream if handler.request_streaming else handler.unary_stream

        async def answer(received: AsyncIterator[bytes], context: Context) -> AsyncIterator[Message]:
            call, began = _begin(name, context), time.perf_counter()
            sent = False
            try:
                await call_context.authenticate(call, self._ring)
                with self._budget.hold(call.tenant) as held:
                    request = (
                        _all_parsed(handler, _messages(call, received, held))
                        if handler.request_streaming
                        else _parsed(handler, await _only(call, received, held))
                    )
                    async with aclosing(method(request, context)) as messages:
                        del request  # see _unary
                        async for message in messages:
                            if not sent:
                                await context.send_initial_metadata(tuple(call.headers.items()))
                                sent = True
                            if call.head:
                                message.ClearField("data")
                            yield message
                            if call.head:
                                break
            except BaseException as error:
                await _fail(call, context, error, began, sent=sent)
                raise
            finished(call, began)

        return answer


async def _messages(call: Call, received: AsyncIterator[bytes], held: HeldBody) -> AsyncGenerator[bytes]:
    """Yield the caller's messages.

    Count them in `held` unless Envoy's transcoder made them: those are small, or parts of a body that is counted when
    the method reads it. Raises GatewayError as `timely` and `grpc_messages.read` do.
    """
    encoding = call.metadata.get(grpc_messages.PIECES)
    sent: Any = aiter(received)
    async with aclosing(sent):  # gRPC's generator would keep a message until a garbage collection
        if encoding is None:
            async for data in sent:
                yield data
        else:
            async with (
                aclosing(timely(sent)) as pieces,
                aclosing(grpc_messages.read(pieces, encoding, held)) as whole,
            ):
                async for data in whole:
                    yield data


async def _only(call: Call, received: AsyncIterator[bytes], held: HeldBody) -> bytes:
    """Return the message of a call that takes one. Raises GatewayError INVALID_VALUE where no whole one comes, and as
    `_messages` does.
    """
    async with aclosing(_messages(call, received, held)) as messages:
        async for data in messages:
            return data
    raise GatewayError(ErrorReason.ERROR_REASON_INVALID_VALUE, "The request ends before its message does.")


def _parsed(handler: Any, data: bytes) -> Any:
    """The request. gRPC would tell the caller about its own parser where it can't be read."""
    try:
        return handler.request_deserializer(data)
    except DecodeError:
        raise GatewayError(
            ErrorReason.ERROR_REASON_INVALID_VALUE, "The request holds a value of another type than its field's."
        ) from None


async def _all_parsed(handler: Any, received: AsyncIterator[bytes]) -> AsyncIterator[Any]:
    async for data in received:
        yield _parsed(handler, data)


def _begin(name: str, context: Context) -> Call:
    call = call_context.begin(
        name, {key: call_context.decode(value) for key, value in context.invocation_metadata() or ()}
    )
    context.add_done_callback(lambda _context: call.end())  # type: ignore[arg-type]  # the stub takes no callable
    return call


async def _fail(call: Call, context: Context, error: BaseException, began: float, *, sent: bool) -> None:
    """End the call with the error's status. Returns only for what must be raised on: cancellation, and the like."""
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        finished(call, began, status=499)
        return
    if not isinstance(error, Exception):
        return
    failure = failure_of(call, error)
    finished(call, began, failure=failure)
    traceback.clear_frames(error.__traceback__)  # they would hold the request's body until a garbage collection
    # A stream that has begun can only end with the status; the edge put the error into the body already.
    trailing: list[tuple[str, str | bytes]] = [] if sent else list(trailers(call, failure).items())
    if not call.rest:
        trailing.append(("grpc-status-details-bin", details(failure)))
    await context.abort(failure.meaning.grpc, failure.message, tuple(trailing))


def failure_of(call: Call, error: Exception) -> GatewayError:
    """Return the caller's error for whatever ended a call. What nobody foresaw is logged."""
    if isinstance(error, GatewayError):
        return error
    if isinstance(error, UnavailableError):
        if error.__cause__:
            _log.error("part_unavailable", request_id=call.request_id, operation=call.method, exc_info=error)
        return error.as_gateway_error()
    _log.error("request_crashed", request_id=call.request_id, operation=call.method, exc_info=error)
    return INTERNAL


def trailers(call: Call, failure: GatewayError) -> dict[str, str]:
    """The metadata of an error. Over REST they become headers, which Envoy's hook turns into status and body."""
    metadata = error_headers(call, failure)
    if call.rest:
        metadata[call_context.STATUS] = str(failure.meaning.http)
        metadata["x-oai-error"] = json.dumps(failure.body(), separators=(",", ":"))
    return metadata


def error_headers(call: Call, failure: GatewayError) -> dict[str, str]:
    """The headers of an error's answer: when, and whether, to try again."""
    headers = dict(call.headers)
    wait = _wait(failure)
    if wait is not None:
        headers["retry-after"] = str(math.ceil(wait))
    if call.rest and failure.meaning.http >= 500 and (failure.paid or not failure.meaning.retry):
        headers["x-should-retry"] = "false"
    return headers


def _wait(failure: GatewayError) -> float | None:
    """Seconds until another call makes sense: at least 1, and always told with 429 and 503."""
    if failure.retry_after is None:
        return 1.0 if failure.meaning.http in {429, 503} else None
    return max(1.0, failure.retry_after)


def details(failure: GatewayError) -> bytes:
    """Return an error's `google.rpc.Status`, the value of `grpc-status-details-bin`."""
    parts: list[Message] = [
        error_details_pb2.ErrorInfo(reason=failure.code.upper(), domain=DOMAIN, metadata=dict(failure.details))
    ]
    if failure.param:
        violation = error_details_pb2.BadRequest.FieldViolation(field=failure.param, description=failure.message)
        parts.append(error_details_pb2.BadRequest(field_violations=[violation]))
    wait = _wait(failure)
    if wait is not None:
        delay = Duration()
        delay.FromMilliseconds(math.ceil(wait * 1000))
        parts.append(error_details_pb2.RetryInfo(retry_delay=delay))
    status = Status(code=failure.meaning.grpc.value[0], message=failure.message)
    for detail in parts:
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    serialized: bytes = status.SerializeToString()
    return serialized


def finished(call: Call, began: float, failure: GatewayError | None = None, status: int | None = None) -> None:
    """Log the call's one line."""
    level = failure.meaning.level if failure else "info"
    if failure:
        status = failure.meaning.http
    getattr(_log, level)(
        "request_finished",
        request_id=call.request_id,
        operation=call.method,
        protocol="rest" if call.rest else "grpc",
        status=status or int(call.headers.get(call_context.STATUS, "200")),
        **({"reason": failure.code, "param": failure.param} if failure else {}),
        duration_ms=round((time.perf_counter() - began) * 1000, 1),
        **call.log,
    )
