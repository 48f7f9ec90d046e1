"""gRPC client of the provider servers: one open channel for each family, over its UNIX socket."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

import grpc
from imagegateway.platform import logs
from imagegateway.platform.errors import INTERNAL, GatewayError
from imagegateway.platform.grpc_server import CHANNEL_OPTIONS
from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.provider.v1 import provider_service_pb2_grpc as pb_grpc
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

    from imagegateway.platform.settings import Settings

_UNREACHABLE: Final = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED}
_CONNECT_SECONDS: Final = 10.0
"""Timeout of the connection for a new call."""
_REJOIN_SECONDS: Final = 60.0
"""Timeout of the connection for a call that may be in progress."""
_RETRY_SECONDS: Final = 0.1
_POLL_SECONDS: Final = 60.0
"""Timeout of a poll. A server that is still fetching a result continues, and the next poll joins it."""
_CANCEL_SECONDS: Final = 10.0
_log = logs.get(__name__)


class ProviderClient:
    """Calls ProviderService of the family that a model belongs to."""

    def __init__(self, settings: Settings, families: Iterable[str]) -> None:
        self._channels = {
            family: grpc.aio.insecure_channel(f"unix:{settings.socket(family)}", options=CHANNEL_OPTIONS)
            for family in families
        }
        self._stubs = {family: pb_grpc.ProviderServiceStub(channel) for family, channel in self._channels.items()}

    async def close(self) -> None:
        """Close all channels."""
        await asyncio.gather(*(channel.close() for channel in self._channels.values()))

    async def start(self, family: str, request: pb.StartRequest) -> AsyncGenerator[pb.TaskState, None]:
        """Start or join the provider call of a job's attempt.

        Yield a running state without a task reference for each preview, where the task asks for previews, and the
        final state of the call last. The provider server owns the call, so a broken connection is replaced and joins
        the call again. A server that does not know the call ends it as PROVIDER_OUTCOME_UNKNOWN.

        Raises GatewayError: PROVIDER_UNAVAILABLE when the server certainly did not get a new call,
        PROVIDER_OUTCOME_UNKNOWN when it may have got the call and stays unreachable.
        """
        if not await self._connect(family, _REJOIN_SECONDS if request.join_only else _CONNECT_SECONDS):
            raise _outcome_unknown(family) if request.join_only else _unreachable(family)
        while True:
            try:
                async with aclosing(self._states(family, request)) as states:
                    async for state in states:
                        yield state
            except grpc.aio.AioRpcError as error:
                if error.code() not in _UNREACHABLE:
                    raise _rpc_failure(family, error) from error
                _log.warning("provider_call_rejoined", family=family, job_id=request.job_id, status=error.code().name)
            else:
                return
            if not request.join_only:
                joining = pb.StartRequest()
                joining.CopyFrom(request)
                joining.join_only = True
                request = joining
            await asyncio.sleep(_RETRY_SECONDS)
            if not await self._connect(family, _REJOIN_SECONDS):
                raise _outcome_unknown(family)

    async def _states(self, family: str, request: pb.StartRequest) -> AsyncGenerator[pb.TaskState, None]:
        """Make one RPC and yield its states. Raises grpc.aio.AioRpcError."""
        if not request.task.partial_images:
            yield (await self._stubs[family].Start(request)).state
            return
        call = self._stubs[family].Watch(pb.WatchRequest(start=request))
        try:
            async for response in call:
                yield response.state
        finally:
            call.cancel()

    async def _connect(self, family: str, seconds: float) -> bool:
        """Wait at most `seconds` for the server, which may be restarting. Return whether it is connected."""
        try:
            async with asyncio.timeout(seconds):
                await self._channels[family].channel_ready()
        except TimeoutError:
            return False
        return True

    async def poll(self, family: str, request: pb.PollRequest) -> pb.TaskState | None:
        """Return the state of a task; None when the provider server is unreachable. Raises GatewayError."""
        try:
            return (await self._stubs[family].Poll(request, timeout=_POLL_SECONDS)).state
        except grpc.aio.AioRpcError as error:
            if error.code() in _UNREACHABLE:
                _log.warning("poll_unanswered", family=family, job_id=request.job_id, status=error.code().name)
                return None
            raise _rpc_failure(family, error) from error

    async def cancel(self, family: str, request: pb.CancelRequest) -> bool:
        """Ask the provider to stop a task. Return whether it confirmed."""
        try:
            return (await self._stubs[family].Cancel(request, timeout=_CANCEL_SECONDS)).requested
        except grpc.aio.AioRpcError as error:
            _log.warning("cancel_unanswered", family=family, job_id=request.job_id, status=error.code().name)
            return False


async def next_state(states: AsyncGenerator[pb.TaskState, None], deadline: int) -> pb.TaskState:
    """Return the next state of `ProviderClient.start`. `deadline` in Unix milliseconds.

    Raises TimeoutError at the deadline, and what `states` raises.
    """
    async with asyncio.timeout(max(0.0, deadline / 1000 - time.time())):
        return await anext(states)


def _rpc_failure(family: str, error: grpc.aio.AioRpcError) -> GatewayError:
    if error.code() is grpc.StatusCode.INTERNAL:
        return INTERNAL
    _log.warning("provider_server_failed", family=family, status=error.code().name, error=error.details())
    return _outcome_unknown(family)


def _unreachable(family: str) -> GatewayError:
    return GatewayError(
        ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE,
        f"The server of the {family} models is not running.",
        retry_after=_CONNECT_SECONDS,
    )


def _outcome_unknown(family: str) -> GatewayError:
    return GatewayError(
        ErrorReason.ERROR_REASON_PROVIDER_OUTCOME_UNKNOWN,
        f"The server of the {family} models went away during the call; whether the provider took it is not known.",
    )
