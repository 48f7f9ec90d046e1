"""The gRPC face of a family: ProviderService over a `Family`, the same for all of them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import grpc
from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.provider.v1 import provider_service_pb2_grpc as pb_grpc

from services.common import logs
from services.common.errors import GatewayError, code_of
from services.common.items import failed_as
from services.common.server import Server

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from pathlib import Path

    from services.common.family import Family

SERVICE = pb.DESCRIPTOR.services_by_name["ProviderService"].full_name
_log = logs.get(__name__)


def failed(error: GatewayError, *, accepted: bool) -> pb.TaskState:
    """A failure as the state of a task."""
    return pb.TaskState(failed=failed_as(error, accepted=accepted))


class ProviderServicer(pb_grpc.ProviderServiceServicer):
    """Serves one family; logs one line a call."""

    def __init__(self, family: Family) -> None:
        self._family = family

    async def Start(
        self, request: pb.StartRequest, context: grpc.aio.ServicerContext[pb.StartRequest, pb.StartResponse]
    ) -> pb.StartResponse:
        state = await self._answer("start", request.job_id, request.task, self._family.start(request), context)
        return pb.StartResponse(state=state)

    async def Watch(  # type: ignore[override]  # grpc.aio takes a coroutine that writes as well as a generator
        self, request: pb.WatchRequest, context: grpc.aio.ServicerContext[pb.WatchRequest, pb.WatchResponse]
    ) -> None:
        async def tell(running: pb.Running) -> None:
            await context.write(pb.WatchResponse(state=pb.TaskState(running=running)))

        start = request.start
        work = self._family.start(start, tell)
        state = await self._answer("start", start.job_id, start.task, work, context)
        await context.write(pb.WatchResponse(state=state))

    async def Poll(
        self, request: pb.PollRequest, context: grpc.aio.ServicerContext[pb.PollRequest, pb.PollResponse]
    ) -> pb.PollResponse:
        state = await self._answer("poll", request.job_id, request.task, self._family.poll(request), context)
        return pb.PollResponse(state=state)

    async def Cancel(
        self,
        request: pb.CancelRequest,
        context: grpc.aio.ServicerContext[pb.CancelRequest, pb.CancelResponse],
    ) -> pb.CancelResponse:
        requested = await self._family.cancel(request)
        _log.info("task_cancelled", family=self._family.name, job_id=request.job_id, requested=requested)
        return pb.CancelResponse(requested=requested)

    async def _answer(
        self,
        operation: str,
        job_id: str,
        task: pb.ImageTask,
        work: Awaitable[pb.TaskState],
        context: grpc.aio.ServicerContext,  # type: ignore[type-arg]  # the same for all methods
    ) -> pb.TaskState:
        began = time.perf_counter()
        try:
            state = await work
        except GatewayError as error:
            state = failed(error, accepted=operation == "poll")
        except Exception:  # noqa: BLE001  the one place where a family's bug is logged
            _log.exception("task_crashed", family=self._family.name, operation=operation, job_id=job_id)
            await context.abort(grpc.StatusCode.INTERNAL, "The provider server failed.")
        _log.debug(
            f"task_{operation}ed" if operation == "poll" else "task_started",
            family=self._family.name,
            job_id=job_id,
            model=task.model,
            route=task.route,
            state=state.WhichOneof("state"),
            reason=code_of(state.failed.reason) if state.HasField("failed") else None,
            duration_ms=round((time.perf_counter() - began) * 1000, 1),
        )
        return state


async def serve(family: Family, socket: Path) -> Server:
    """Start a server for the family on a UNIX socket."""
    server = Server(socket, [SERVICE])
    pb_grpc.add_ProviderServiceServicer_to_server(ProviderServicer(family), server.grpc)
    await server.start()
    return server
