"""gRPC servicer of a family: ProviderService over a `Family`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import grpc
from imagegateway.platform import logs
from imagegateway.platform.errors import INTERNAL, GatewayError, code_of
from imagegateway.platform.grpc_server import Server
from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.provider.v1 import provider_service_pb2_grpc as pb_grpc
from imagegateway.providers.kit.parallel import in_parallel
from imagegateway.providers.kit.provider_calls import ProviderCalls, ServerStoppingError
from imagegateway.providers.kit.task_state import failed_task, outcome_unknown

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from pathlib import Path
    from typing import Literal, NoReturn

    from imagegateway.platform.grpc_server import Context
    from imagegateway.providers.kit.family import Family, OnProgress
    from imagegateway.providers.kit.provider_calls import ProviderCall

SERVICE = pb.DESCRIPTOR.services_by_name["ProviderService"].full_name
_log = logs.get(__name__)


class ProviderServicer(pb_grpc.ProviderServiceServicer):
    """Servicer of one family. Each provider call is a task of `calls`, and logs one line."""

    def __init__(self, family: Family, calls: ProviderCalls) -> None:
        self._family = family
        self._calls = calls

    async def Start(
        self, request: pb.StartRequest, context: grpc.aio.ServicerContext[pb.StartRequest, pb.StartResponse]
    ) -> pb.StartResponse:
        call = self._start(request)
        return pb.StartResponse(state=await _answer(call, context) if call else outcome_unknown())

    async def Watch(  # type: ignore[override]  # grpc.aio takes a coroutine that writes as well as a generator
        self, request: pb.WatchRequest, context: grpc.aio.ServicerContext[pb.WatchRequest, pb.WatchResponse]
    ) -> None:
        call = self._start(request.start)
        if call is None:
            await context.write(pb.WatchResponse(state=outcome_unknown()))
            return
        try:
            async for state in call.states():
                await context.write(pb.WatchResponse(state=state))
        except ServerStoppingError:
            await _stopping(context)

    async def Poll(
        self, request: pb.PollRequest, context: grpc.aio.ServicerContext[pb.PollRequest, pb.PollResponse]
    ) -> pb.PollResponse:
        async def work(_on_progress: OnProgress) -> pb.TaskState:
            return await self._observed("poll", request.job_id, request.task, self._family.poll(request))

        # Fetching a result goes on when the RPC times out, and the next poll returns it.
        call = self._calls.join(
            ("poll", request.job_id, request.task_ref), work, keep=lambda state: not state.HasField("running")
        )
        return pb.PollResponse(state=await _answer(call, context))

    async def Cancel(
        self,
        request: pb.CancelRequest,
        context: grpc.aio.ServicerContext[pb.CancelRequest, pb.CancelResponse],
    ) -> pb.CancelResponse:
        requested = await self._family.cancel(request)
        _log.info("task_cancelled", family=self._family.name, job_id=request.job_id, requested=requested)
        return pb.CancelResponse(requested=requested)

    def _start(self, request: pb.StartRequest) -> ProviderCall | None:
        """Start or join a call; return None for an unknown call that may only be joined."""
        key = ("start", request.job_id, str(request.attempt))
        if request.join_only:
            return self._calls.find(key)

        async def work(on_progress: OnProgress) -> pb.TaskState:
            listener = on_progress if request.task.partial_images else None
            start = self._family.start(request, listener)
            try:
                return await self._observed("start", request.job_id, request.task, start)
            except Exception:  # noqa: BLE001  logged already
                # The crash may have come after the provider took the task.
                return failed_task(INTERNAL, may_be_billed=True)

        return self._calls.join(key, work, keep=lambda _state: True)

    async def _observed(
        self, operation: Literal["start", "poll"], job_id: str, task: pb.ImageTask, work: Awaitable[pb.TaskState]
    ) -> pb.TaskState:
        """Log an operation, and return its state, or the family's error as one. Raises for a fault of the gateway."""
        began = time.perf_counter()
        try:
            state = await work
        except GatewayError as error:
            state = failed_task(error, may_be_billed=operation == "poll")
        except Exception:
            _log.exception("task_crashed", family=self._family.name, operation=operation, job_id=job_id)
            raise
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


class ProviderServer(Server):
    """Server that owns its provider calls: it stops after they have ended, or after its grace period."""

    def __init__(self, family: Family, socket: Path) -> None:
        super().__init__(socket, [SERVICE])
        self._calls = ProviderCalls()
        pb_grpc.add_ProviderServiceServicer_to_server(ProviderServicer(family, self._calls), self.grpc)

    async def stop(self, grace: float) -> None:
        """Accept no new calls, and wait `grace` seconds for those in progress, with or without a waiting RPC."""
        await in_parallel((super().stop(grace), self._calls.drain(grace)))


async def serve(family: Family, socket: Path) -> Server:
    """Return a started server of the family on a UNIX socket."""
    server = ProviderServer(family, socket)
    await server.start()
    return server


async def _answer(call: ProviderCall, context: Context) -> pb.TaskState:
    try:
        return await call.answer()
    except ServerStoppingError:
        await _stopping(context)
    except Exception:  # noqa: BLE001  logged where it was raised
        await context.abort(grpc.StatusCode.INTERNAL, "The provider server failed.")


async def _stopping(context: Context) -> NoReturn:
    await context.abort(grpc.StatusCode.UNAVAILABLE, "The provider server stops.")
