"""gRPC servicer of provider families: ProviderService over one or more `Family`."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

import grpc
from imagegateway.platform import logs, trace_context, tracing
from imagegateway.platform.errors import INTERNAL, GatewayError, code_of
from imagegateway.platform.grpc_server import CALL_REACHED, Server
from imagegateway.platform.spans import NO_SPAN, SpanKind
from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.provider.v1 import provider_service_pb2_grpc as pb_grpc
from imagegateway.providers import gen_ai
from imagegateway.providers.kit.parallel import in_parallel
from imagegateway.providers.kit.provider_calls import NotBegunError, ProviderCalls, ServerStoppingError
from imagegateway.providers.kit.task_state import failed_task

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from typing import Literal, NoReturn

    from imagegateway.platform.grpc_server import Context
    from imagegateway.platform.listener import Listener
    from imagegateway.platform.spans import Span
    from imagegateway.providers.kit.family import Family, OnProgress
    from imagegateway.providers.kit.provider_calls import CallKey, ProviderCall, Work

SERVICE = pb.DESCRIPTOR.services_by_name["ProviderService"].full_name
_REACHED: Final = ((CALL_REACHED, "1"),)
_REFUSE_SECONDS: Final = 0.3
"""Time in which a stopping server refuses new calls before it closes its connections, in seconds."""
_REACHED_SECONDS: Final = 0.2
"""Age at which a call without an answer sends `_REACHED`, in seconds: before a server that stops can end the RPC. A
quicker call saves the message.
"""
_log = logs.get(__name__)


class ProviderServicer(pb_grpc.ProviderServiceServicer):
    """Servicer of families, chosen by a task's model. Each provider call is a task of `calls`, and logs one line."""

    def __init__(self, families: Iterable[Family], calls: ProviderCalls) -> None:
        served = [(model, family) for family in families for model in family.models]
        self._models = {model.id: model for model, _ in served}
        self._families = {model.id: family for model, family in served}
        self._calls = calls

    async def Start(
        self, request: pb.StartRequest, context: grpc.aio.ServicerContext[pb.StartRequest, pb.StartResponse]
    ) -> pb.StartResponse:
        _enter(request.job_id, context)
        call = await self._start(request, context)
        return pb.StartResponse(state=await _answer(call, context, metadata=_REACHED))

    async def Watch(  # type: ignore[override]  # grpc.aio takes a coroutine that writes as well as a generator
        self, request: pb.WatchRequest, context: grpc.aio.ServicerContext[pb.WatchRequest, pb.WatchResponse]
    ) -> None:
        await context.send_initial_metadata(_REACHED)
        _enter(request.start.job_id, context)
        call = await self._start(request.start, context)
        try:
            async for state in call.states():
                await context.write(pb.WatchResponse(state=state))
        except ServerStoppingError:
            await _stopping(context)

    async def Poll(
        self, request: pb.PollRequest, context: grpc.aio.ServicerContext[pb.PollRequest, pb.PollResponse]
    ) -> pb.PollResponse:
        _enter(request.job_id, context)
        family = await self._family(request.task, context)

        async def work(_on_progress: OnProgress) -> pb.TaskState:
            return await self._observed("poll", family, request.job_id, request.task, family.poll(request))

        # Fetching a result goes on when the RPC times out, and the next poll returns it.
        call = await self._begin(
            ("poll", request.job_id, request.task_ref),
            work,
            context,
            keep=lambda state: not state.HasField("running"),
        )
        return pb.PollResponse(state=await _answer(call, context))

    async def Cancel(
        self,
        request: pb.CancelRequest,
        context: grpc.aio.ServicerContext[pb.CancelRequest, pb.CancelResponse],
    ) -> pb.CancelResponse:
        _enter(request.job_id, context)
        family = await self._family(request.task, context)
        with tracing.span(f"cancel {request.task.model}"):
            requested = await family.cancel(request)
        _log.info("task_cancelled", family=family.name, job_id=request.job_id, requested=requested)
        return pb.CancelResponse(requested=requested)

    async def _start(self, request: pb.StartRequest, context: Context) -> ProviderCall:
        """Start or join a call. End the RPC as NOT_FOUND for an unknown call that may only be joined."""
        key = ("start", request.job_id, str(request.attempt))
        if request.join_only:
            return self._calls.find(key) or await _unknown_call(context)
        family = await self._family(request.task, context)

        async def work(on_progress: OnProgress) -> pb.TaskState:
            listener = on_progress if request.task.partial_images else None
            start = family.start(request, listener)
            try:
                return await self._observed("start", family, request.job_id, request.task, start)
            except Exception:  # noqa: BLE001  logged already
                # The crash may have come after the provider took the task.
                return failed_task(INTERNAL, may_be_billed=True)

        return await self._begin(key, work, context, keep=lambda _state: True)

    async def _begin(
        self, key: CallKey, work: Work, context: Context, keep: Callable[[pb.TaskState], bool]
    ) -> ProviderCall:
        """Begin or join a call. End the RPC of a new call as ABORTED while the server stops."""
        try:
            return self._calls.join(key, work, keep)
        except NotBegunError:
            await context.abort(grpc.StatusCode.ABORTED, "The provider server stops; the call has not begun.")

    async def _family(self, task: pb.ImageTask, context: Context) -> Family:
        """Return the family of a task. End the RPC as UNIMPLEMENTED for a model that this server does not serve."""
        family = self._families.get(task.model)
        if family is None:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, f"This server does not serve {task.model}.")
        return family

    async def _observed(
        self,
        operation: Literal["start", "poll"],
        family: Family,
        job_id: str,
        task: pb.ImageTask,
        work: Awaitable[pb.TaskState],
    ) -> pb.TaskState:
        """Log and trace an operation. Return its state, or the family's error as one.

        Raises for a fault of the gateway.
        """
        began = time.perf_counter()
        with self._span(operation, job_id, task) as span:
            try:
                state = await work
            except GatewayError as error:
                state = failed_task(error, may_be_billed=operation == "poll")
            except Exception:
                _log.exception("task_crashed", family=family.name, operation=operation, job_id=job_id)
                raise
            if span.is_recording:
                span.set(gen_ai.response_attributes(state, self._models[task.model].route(task.route).native_id))
                if state.HasField("failed"):
                    span.fail(code_of(state.failed.reason))
        _log.debug(
            f"task_{operation}ed" if operation == "poll" else "task_started",
            family=family.name,
            job_id=job_id,
            model=task.model,
            route=task.route,
            state=state.WhichOneof("state"),
            reason=code_of(state.failed.reason) if state.HasField("failed") else None,
            duration_ms=round((time.perf_counter() - began) * 1000, 1),
        )
        return state

    def _span(self, operation: Literal["start", "poll"], job_id: str, task: pb.ImageTask) -> Span:
        """Return the span of an operation. Polls ask for a state and generate nothing."""
        if not tracing.is_on():
            return NO_SPAN
        if operation == "poll":
            return tracing.span(f"poll {task.model}", attributes={gen_ai.JOB_ID: job_id})
        attributes = {gen_ai.JOB_ID: job_id, **gen_ai.request_attributes(task, self._models[task.model].modality)}
        return tracing.span(f"{gen_ai.OPERATION} {task.model}", SpanKind.CLIENT, attributes)


class ProviderServer(Server):
    """Server that owns its provider calls: it stops after they have ended, or after its grace period."""

    def __init__(self, families: Iterable[Family], listener: Listener) -> None:
        super().__init__(listener, [SERVICE])
        self._calls = ProviderCalls()
        pb_grpc.add_ProviderServiceServicer_to_server(ProviderServicer(families, self._calls), self.grpc)

    async def stop(self, grace: float) -> None:
        """Accept no new calls, and wait `grace` seconds for those in progress, with or without a waiting RPC.

        At first the server refuses new calls itself, so that routers try another replica at once.
        """
        self._calls.refuse_new()
        await asyncio.sleep(min(_REFUSE_SECONDS, grace))
        await in_parallel((super().stop(grace), self._calls.drain(grace)))


async def serve(families: Iterable[Family], listener: Listener) -> Server:
    """Return a started server of families."""
    server = ProviderServer(families, listener)
    await server.start()
    return server


def _enter(job_id: str, context: Context) -> None:
    """Make log lines and spans of this RPC, and of the call that it begins, those of the job."""
    headers = {name: value for name, value in context.invocation_metadata() or () if isinstance(value, str)}
    logs.enter(job_id=job_id, request_id=headers.get("x-request-id", ""))
    trace_context.continue_from(headers)


async def _answer(call: ProviderCall, context: Context, metadata: Sequence[tuple[str, str]] = ()) -> pb.TaskState:
    """Return the answer of a call. `metadata` is sent before a call that takes its time has ended."""
    try:
        if metadata and not await call.ends_within(_REACHED_SECONDS):
            await context.send_initial_metadata(metadata)
        return await call.answer()
    except ServerStoppingError:
        await _stopping(context)
    except Exception:  # noqa: BLE001  logged where it was raised
        await context.abort(grpc.StatusCode.INTERNAL, "The provider server failed.")


async def _stopping(context: Context) -> NoReturn:
    await context.abort(grpc.StatusCode.UNAVAILABLE, "The provider server stops.")


async def _unknown_call(context: Context) -> NoReturn:
    await context.abort(grpc.StatusCode.NOT_FOUND, "This server does not know the call.")
