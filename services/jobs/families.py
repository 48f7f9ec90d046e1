"""The way to the families' servers: one open channel each, over its UNIX socket."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

import grpc
from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.provider.v1 import provider_service_pb2_grpc as pb_grpc
from imagegateway.v1.error_reason_pb2 import ErrorReason

from services.common import logs
from services.common.errors import INTERNAL, GatewayError
from services.common.server import CHANNEL_OPTIONS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

    from services.common.settings import Settings

_AWAY: Final = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED}
_CONNECT_SECONDS: Final = 10.0
_log = logs.get(__name__)


class Families:
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
        """Begin a task: how it began comes last, before it a running state without a task reference for each
        preview, where the task wants any.

        Raises GatewayError: PROVIDER_UNAVAILABLE when the family's server surely didn't get it,
        PROVIDER_OUTCOME_UNKNOWN when it may have.
        """
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):  # long enough for a server that is being restarted
                await self._channels[family].channel_ready()
        except TimeoutError:
            raise GatewayError(
                ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE,
                f"The server of the {family} models is not running.",
                retry_after=_CONNECT_SECONDS,
            ) from None
        try:
            if not request.task.partial_images:
                yield (await self._stubs[family].Start(request)).state
                return
            call = self._stubs[family].Watch(pb.WatchRequest(start=request))
            try:
                async for response in call:
                    yield response.state
            finally:
                call.cancel()
        except grpc.aio.AioRpcError as error:
            raise _unanswered(family, error) from error

    async def poll(self, family: str, request: pb.PollRequest) -> pb.TaskState | None:
        """How a task stands; None when the family's server is away for now. Raises GatewayError."""
        try:
            return (await self._stubs[family].Poll(request, timeout=60)).state
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
    """The next state that `Families.start` tells; raises as it, and TimeoutError at a time in Unix milliseconds."""
    async with asyncio.timeout(max(0.0, deadline / 1000 - time.time())):
        return await anext(told)


def _unanswered(family: str, error: grpc.aio.AioRpcError) -> GatewayError:
    if error.code() is grpc.StatusCode.INTERNAL:
        return INTERNAL
    _log.warning("family_unanswered", family=family, status=error.code().name, error=error.details())
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
