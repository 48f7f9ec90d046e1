"""Check that the caller of an internal gRPC server has a permitted role.

Connections without TLS come from this user's processes on this machine, and pass.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import grpc
from imagegateway.platform.internal_tls import Role, refusal, roles_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Context = grpc.aio.ServicerContext[Any, Any]

_HEALTH: Final = "/grpc.health.v1."
_TRequest = TypeVar("_TRequest")
_TResponse = TypeVar("_TResponse")


class CallerInterceptor(grpc.aio.ServerInterceptor):
    """Refusal of gRPC calls from processes without a permitted role. Any role may check the health."""

    def __init__(self, callers: frozenset[Role]) -> None:
        self._callers = callers

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[_TRequest, _TResponse] | None]
        ],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[_TRequest, _TResponse] | None:
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        callers = frozenset(Role) if handler_call_details.method.startswith(_HEALTH) else self._callers
        return _checked(handler, callers)


def _checked(handler: grpc.RpcMethodHandler[Any, Any], callers: frozenset[Role]) -> grpc.RpcMethodHandler[Any, Any]:
    """Return a handler that checks the caller's role before its method runs."""
    name = (
        f"{'stream' if handler.request_streaming else 'unary'}_{'stream' if handler.response_streaming else 'unary'}"
    )
    method = getattr(handler, name)

    async def answer(request: Any, context: Context) -> Any:
        await _check(context, callers)
        return await method(request, context)

    async def stream(request: Any, context: Context) -> None:
        await _check(context, callers)
        responses = method(request, context)
        if not hasattr(responses, "__aiter__"):  # a coroutine that writes
            await responses
            return
        async with aclosing(responses):
            async for response in responses:
                await context.write(response)

    wrap = getattr(grpc, f"{name}_rpc_method_handler")
    wrapped = wrap(
        stream if handler.response_streaming else answer, handler.request_deserializer, handler.response_serializer
    )
    return cast("grpc.RpcMethodHandler[Any, Any]", wrapped)


async def _check(context: Context, callers: frozenset[Role]) -> None:
    """End a call over TLS without a permitted role as PERMISSION_DENIED."""
    peer = context.auth_context()
    if peer.get("transport_security_type") != [b"ssl"]:
        return
    names = (name.decode("ascii", "replace") for name in peer.get("peer_dns", ()))
    if not callers & roles_of(names):
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, refusal(callers))
