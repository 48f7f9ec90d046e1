"""Request interceptor: call context, authentication, body budget, errors, log line and metrics of every gRPC call."""

from __future__ import annotations

import asyncio
import time
import traceback
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar, cast

import grpc
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.message import DecodeError, Message
from imagegateway.platform.errors import GatewayError
from imagegateway.router import call_context, call_outcome, call_record, grpc_messages
from imagegateway.router.permissions import scopes_of
from imagegateway.router.request_body import TimedPieces
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
    from typing import Self

    from imagegateway.keys.key_ring import KeyRing
    from imagegateway.keys.policy import Scope
    from imagegateway.platform.grpc_server import Context
    from imagegateway.router.body_budget import BodyBudget, BodyReservation
    from imagegateway.router.call_context import Call
    from imagegateway.router.call_limiter import CallLimiter

    _Unary: TypeAlias = Callable[[Message, Context], Awaitable[Message]]
    _Bodies: TypeAlias = Callable[[AsyncIterator[Message], Context], AsyncGenerator[HttpBody, None]]
    _Streaming: TypeAlias = Callable[[Message, Context], AsyncGenerator[Message, None]]
    _Deserializer: TypeAlias = Callable[[bytes], Message]

_TRequest = TypeVar("_TRequest")
_TResponse = TypeVar("_TResponse")

_OPEN: Final = ("/grpc.health.v1.", "/grpc.reflection.")
"""Standard services that need no key: they show only what the published protos contain."""
_ORIGINAL_PATH: Final = "x-envoy-original-path"
"""Metadata that Envoy's transcoder sets, and removes from callers' own requests: the call comes from REST."""
_BODY_FIELD: Final = "data"
"""Field of `google.api.HttpBody` that a response to HEAD leaves empty."""


class RequestInterceptor(grpc.aio.ServerInterceptor):
    """Wrapper of every method of the public services."""

    def __init__(self, ring: KeyRing, limiter: CallLimiter, budget: BodyBudget) -> None:
        self._ring = ring
        self._limiter = limiter
        self._budget = budget
        self._wrapped: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
        """Wrapped methods that have been called, by their path."""

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[_TRequest, _TResponse] | None]
        ],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[_TRequest, _TResponse] | None:
        method = handler_call_details.method
        if known := self._wrapped.get(method):
            return known
        handler = await continuation(handler_call_details)
        if handler is None or method.startswith(_OPEN):
            return handler
        name = method.rpartition("/")[2]
        scopes = scopes_of(method.removeprefix("/"))
        # Requests count as streams here, so that the key is checked before a message is read. For a single message
        # that ends early gRPC would never call the method, nor end the call.
        serializer = handler.response_serializer
        wrapped: grpc.RpcMethodHandler[Any, Any]  # grpc's stubs type the methods of synchronous servers
        if handler.response_streaming and not handler.request_streaming:
            streaming = cast("Any", self._streaming(name, scopes, handler))
            wrapped = grpc.stream_stream_rpc_method_handler(streaming, response_serializer=serializer)
        else:
            wrap = self._body if handler.request_streaming else self._unary
            unary = cast("Any", wrap(name, scopes, handler))
            wrapped = grpc.stream_unary_rpc_method_handler(unary, response_serializer=serializer)
        self._wrapped[method] = wrapped
        return wrapped

    def _unary(
        self, name: str, scopes: frozenset[Scope], handler: grpc.RpcMethodHandler[Any, Any]
    ) -> Callable[[object, Context], Awaitable[Message]]:
        """Return the wrapper of a method with one request and one response."""
        method = cast("_Unary", handler.unary_unary)
        deserialize = cast("_Deserializer", handler.request_deserializer)

        async def serve(_received: object, context: Context) -> Message:
            call, started = _begin(name, context), time.perf_counter()
            try:
                await call_context.authenticate(call, self._ring, self._limiter, scopes)
                with self._budget.reservation(call.tenant) as reservation:  # gRPC keeps the message until the end
                    # No variable holds the message: the frame of a failed call lives until a garbage collection.
                    response = await method(
                        _parse(deserialize, await _only_message(call, context, reservation)), context
                    )
                await context.send_initial_metadata(tuple(call.headers.items()))
            except BaseException as error:
                await _fail(call, context, error, started, sent=False)
                raise
            call_record.record(call, started)
            return response

        return serve

    def _body(
        self, name: str, scopes: frozenset[Scope], handler: grpc.RpcMethodHandler[Any, Any]
    ) -> Callable[[object, Context], Awaitable[HttpBody]]:
        """Return the wrapper of a method over REST with a body in pieces and a response of pieces.

        On the wire, a response of one message is a stream with one message. gRPC sends the message that a method
        returns together with the status, and each earlier one by another write.
        """
        method = cast("_Bodies", handler.stream_stream)
        deserialize = cast("_Deserializer", handler.request_deserializer)

        async def serve(_received: object, context: Context) -> HttpBody:
            call, started = _begin(name, context), time.perf_counter()
            sent = False
            missing: int | None = None
            last = HttpBody()  # an event stream states no length, and ends with this empty piece
            try:
                await call_context.authenticate(call, self._ring, self._limiter, scopes)
                with self._budget.reservation(call.tenant) as reservation:
                    request = _Requests(deserialize, _messages(call, context, reservation))
                    async with aclosing(method(request, context)) as pieces:
                        async for piece in pieces:
                            if not sent:
                                await context.send_initial_metadata(tuple(call.headers.items()))
                                sent = True
                                missing = _length(call)
                            if missing is not None:
                                missing -= len(piece.data)
                            if missing == 0:
                                last = piece
                            else:
                                await context.write(piece.SerializeToString())
            except BaseException as error:
                await _fail(call, context, error, started, sent=sent)
                raise
            call_record.record(call, started)
            return last

        return serve

    def _streaming(
        self, name: str, scopes: frozenset[Scope], handler: grpc.RpcMethodHandler[Any, Any]
    ) -> Callable[[object, Context], AsyncIterator[Message]]:
        """Return the wrapper of a method with one request and a stream of responses."""
        method = cast("_Streaming", handler.unary_stream)
        deserialize = cast("_Deserializer", handler.request_deserializer)

        async def serve(_received: object, context: Context) -> AsyncIterator[Message]:
            call, started = _begin(name, context), time.perf_counter()
            sent = False
            missing: int | None = None
            try:
                await call_context.authenticate(call, self._ring, self._limiter, scopes)
                with self._budget.reservation(call.tenant) as reservation:
                    request = _parse(deserialize, await _only_message(call, context, reservation))
                    async with aclosing(method(request, context)) as messages:
                        del request  # see _unary
                        async for message in messages:
                            if not sent:
                                await context.send_initial_metadata(tuple(call.headers.items()))
                                sent = True
                                missing = _length(call)
                            if missing is not None:
                                missing -= len(getattr(message, _BODY_FIELD))
                            if call.head:
                                message.ClearField(_BODY_FIELD)
                            yield message
                            if call.head:
                                break
            except BaseException as error:
                # With all bytes of its stated length, the caller has the whole response and may leave before its end.
                await _fail(call, context, error, started, sent=sent, whole=missing == 0)
                raise
            call_record.record(call, started)

        return serve


class _Received:
    """The caller's messages, or the pieces of them that Envoy sends. Holds none, unlike gRPC's own iterator."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        data: bytes = await self._context.read()
        if data is grpc.aio.EOF:  # type: ignore[comparison-overlap]
            raise StopAsyncIteration
        return data


class _Requests:
    """The parsed messages of a stream. Raises GatewayError as `_messages` and `_parse` do."""

    def __init__(self, deserialize: _Deserializer, messages: AsyncIterator[bytes]) -> None:
        self._deserialize = deserialize
        self._messages = messages

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        return _parse(self._deserialize, await anext(self._messages))


def _messages(call: Call, context: Context, reservation: BodyReservation) -> AsyncIterator[bytes]:
    """Return the caller's messages, which reserve their memory.

    The messages of Envoy's transcoder reserve none: they are small, or pieces of a body whose reader reserves it.
    Raises GatewayError as `TimedPieces` and `grpc_messages.read` do.
    """
    received = _Received(context)
    encoding = call.metadata.get(grpc_messages.PIECES)
    if encoding is None:
        return received
    return grpc_messages.read(TimedPieces(received, len), encoding, reservation)


async def _only_message(call: Call, context: Context, reservation: BodyReservation) -> bytes:
    """Return the message of a call with one request.

    Raises GatewayError INVALID_VALUE for a call without a whole message, and as `_messages` does.
    """
    async for data in _messages(call, context, reservation):
        return data
    raise GatewayError(ErrorReason.ERROR_REASON_INVALID_VALUE, "The request ends before its message does.")


def _parse(deserialize: _Deserializer, data: bytes) -> Message:
    """Return the request. Raises GatewayError INVALID_VALUE, because gRPC's own error describes its parser."""
    try:
        return deserialize(data)
    except DecodeError:
        raise GatewayError(
            ErrorReason.ERROR_REASON_INVALID_VALUE, "The request holds a value of another type than its field's."
        ) from None


def _length(call: Call) -> int | None:
    """Return the bytes of a response whose headers state them, else None."""
    length = call.headers.get(call_context.LENGTH)
    return None if length is None else int(length)


def _begin(name: str, context: Context) -> Call:
    metadata = {key: call_context.decode(value) for key, value in context.invocation_metadata() or ()}
    call = call_context.begin(name, metadata, rest=_ORIGINAL_PATH in metadata)
    context.add_done_callback(lambda _context: call.end())  # type: ignore[arg-type]  # the stub takes no callable
    return call


async def _fail(
    call: Call, context: Context, error: BaseException, started: float, *, sent: bool, whole: bool = False
) -> None:
    """End the call with the error's status. Return only for exceptions that the caller must re-raise.

    `sent`: the response has begun. `whole`: the caller has all of it.
    """
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        call_record.record(call, started, status=None if whole else 499)
        return
    if not isinstance(error, Exception):
        return
    failure = call_outcome.error_of(call, error)
    call_record.record(call, started, error=failure)
    traceback.clear_frames(error.__traceback__)  # the frames would hold the body until a garbage collection
    # A stream that has begun can only end with the status. Its last event carries the error already.
    trailing: list[tuple[str, str | bytes]] = [] if sent else list(call_outcome.error_trailers(call, failure).items())
    if not call.rest:
        trailing.append(("grpc-status-details-bin", call_outcome.status_details(failure)))
    await context.abort(failure.meaning.grpc, failure.message, tuple(trailing))
