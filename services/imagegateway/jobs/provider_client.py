"""Client of the families' servers: one open channel each, over its UNIX socket."""

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

_AWAY: Final = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED}
_CONNECT_SECONDS: Final = 10.0
"""How long a new call waits for the family's server, in seconds."""
_REJOIN_SECONDS: Final = 60.0
"""How long a call that may be under way waits for it."""
_PAUSE_SECONDS: Final = 0.1
_POLL_SECONDS: Final = 60.0
"""Timeout of one poll. A server that still fetches a result goes on, and the next poll joins it."""
_log = logs.get(__name__)


class ProviderClient:
    """Calls ProviderService of the family that a model belongs to."""

    def __init__(self, settings: Settings, names: Iterable[str]) -> None:
        self._channels = {
            name: grpc.aio.insecure_channel(f"unix:{settings.socket(name)}", options=CHANNEL_OPTIONS)
            for name in names
        }
        self._stubs = {name: pb_grpc.ProviderServiceStub(channel) for name, channel in self._channels.items()}

    async def close(self) -> None:
        await asyncio.gather(*(channel.close() for channel in self._channels.values()))

    async def start(self, family: str, request: pb.StartRequest) -> AsyncGenerator[pb.TaskState, None]:
        """Begin or join the provider call of a job's attempt.

        Yields a running state without a task reference for each preview, where the task wants any, and last the
        state that the call came to. The family's server owns the call: a connection that breaks is made anew and
        joins it. PROVIDER_OUTCOME_UNKNOWN therefore comes from a server that does not know the call.

        Raises GatewayError: PROVIDER_UNAVAILABLE when the server surely did not get a new call,
        PROVIDER_OUTCOME_UNKNOWN when it may have and stays away.
        """
        if not await self._connected(family, _REJOIN_SECONDS if request.join_only else _CONNECT_SECONDS):
            raise _lost(family) if request.join_only else _away(family)
        while True:
            try:
                async with aclosing(self._states(family, request)) as states:
                    async for state in states:
                        yield state
            except grpc.aio.AioRpcError as error:
                if error.code() not in _AWAY:
                    raise _unanswered(family, error) from error
                _log.warning("provider_call_rejoined", family=family, job_id=request.job_id, status=error.code().name)
            else:
                return
            if not request.join_only:
                joining = pb.StartRequest()
                joining.CopyFrom(request)
                joining.join_only = True
                request = joining
            await asyncio.sleep(_PAUSE_SECONDS)
            if not await self._connected(family, _REJOIN_SECONDS):
                raise _lost(family)

    async def _states(self, family: str, request: pb.StartRequest) -> AsyncGenerator[pb.TaskState, None]:
        """Make one RPC. Raises grpc.aio.AioRpcError."""
        if not request.task.partial_images:
            yield (await self._stubs[family].Start(request)).state
            return
        call = self._stubs[family].Watch(pb.WatchRequest(start=request))
        try:
            async for response in call:
                yield response.state
        finally:
            call.cancel()

    async def _connected(self, family: str, seconds: float) -> bool:
        """Wait for the server, long enough for one that is being restarted. Return False when it stays away."""
        try:
            async with asyncio.timeout(seconds):
                await self._channels[family].channel_ready()
        except TimeoutError:
            return False
        return True

    async def poll(self, family: str, request: pb.PollRequest) -> pb.TaskState | None:
        """How a task stands; None when the family's server is away for now. Raises GatewayError."""
        try:
            return (await self._stubs[family].Poll(request, timeout=_POLL_SECONDS)).state
        except grpc.aio.AioRpcError as error:
            if error.code() in _AWAY:
                _log.warning("poll_unanswered", family=family, job_id=request.job_id, status=error.code().name)
                return None
            raise _unanswered(family, error) from error

    async def cancel(self, family: str, request: pb.CancelRequest) -> bool:
        """Stop a task; False where the upstream can't, or did not answer."""
        try:
            return (await self._stubs[family].Cancel(request, timeout=10)).requested
        except grpc.aio.AioRpcError as error:
            _log.warning("cancel_unanswered", family=family, job_id=request.job_id, status=error.code().name)
            return False


async def next_state(told: AsyncGenerator[pb.TaskState, None], deadline: int) -> pb.TaskState:
    """Return the next state of `ProviderClient.start`. `deadline` in Unix milliseconds. Raises TimeoutError."""
    async with asyncio.timeout(max(0.0, deadline / 1000 - time.time())):
        return await anext(told)


def _unanswered(family: str, error: grpc.aio.AioRpcError) -> GatewayError:
    if error.code() is grpc.StatusCode.INTERNAL:
        return INTERNAL
    _log.warning("family_unanswered", family=family, status=error.code().name, error=error.details())
    return _lost(family)


def _away(family: str) -> GatewayError:
    return GatewayError(
        ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE,
        f"The server of the {family} models is not running.",
        retry_after=_CONNECT_SECONDS,
    )


def _lost(family: str) -> GatewayError:
    return GatewayError(
        ErrorReason.ERROR_REASON_PROVIDER_OUTCOME_UNKNOWN,
        f"The server of the {family} models went away during the call; whether the provider took it is not known.",
    )


def failure(state: pb.Failed) -> GatewayError:
    """A task's failure as the caller's error."""
    return GatewayError(
        state.reason,
        state.message,
        param=state.param or None,
        retry_after=state.retry_after.ToTimedelta().total_seconds() if state.HasField("retry_after") else None,
    )
