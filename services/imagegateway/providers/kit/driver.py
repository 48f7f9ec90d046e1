"""Task driver: a family behind HTTP, whose tasks are calls to providers made, polled and cancelled side by side.

`call_driver` drives single calls, `submission` retries them, and `http_call` sends their requests.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from imagegateway.media.decoding import decoding_cost
from imagegateway.media.store import StoreUnavailable
from imagegateway.media.store_retry import INPUT_SECONDS, retry_until_available
from imagegateway.platform.errors import GatewayError, unsupported
from imagegateway.providers.catalog import Capability
from imagegateway.providers.kit import reserved_options
from imagegateway.providers.kit.call import Call, InputImage, provider_options
from imagegateway.providers.kit.call_driver import CallDriver
from imagegateway.providers.kit.endpoints import Endpoint
from imagegateway.providers.kit.http_call import HttpSender
from imagegateway.providers.kit.parallel import in_parallel
from imagegateway.providers.kit.response_stream import PartialImages
from imagegateway.providers.kit.results import ResultStore
from imagegateway.providers.kit.route_pauses import RoutePauses
from imagegateway.providers.kit.submission import ActiveStarts, Submitter, is_safe_to_retry, submit_all
from imagegateway.providers.kit.task_state import CallState, merge_calls, parse_task_ref
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from imagegateway.media.decoding import DecodeBudget
    from imagegateway.media.store import MediaStore
    from imagegateway.outbound.client import Outbound
    from imagegateway.platform.settings import Settings
    from imagegateway.provider.v1 import provider_service_pb2 as pb
    from imagegateway.providers.catalog import Model, Route
    from imagegateway.providers.kit.adapter import Adapter
    from imagegateway.providers.kit.family import OnProgress
    from imagegateway.providers.kit.http_messages import HttpRequest
    from imagegateway.providers.kit.outcomes import Outcome
    from imagegateway.providers.kit.response_spool import ResponseSpool
    from imagegateway.providers.kit.submission import ActiveStart

    Request = pb.StartRequest | pb.PollRequest | pb.CancelRequest


class HttpFamily:
    """Family whose models live behind HTTP: one adapter for each of its routes.

    `clock` returns Unix seconds.
    """

    def __init__(
        self,
        name: str,
        models: tuple[Model, ...],
        adapters: Sequence[Adapter],
        *,
        settings: Settings,
        outbound: Outbound,
        store: MediaStore,
        decode_budget: DecodeBudget,
        spool: ResponseSpool,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Any] = asyncio.sleep,
    ) -> None:
        self.name = name
        self.models = models
        self._by_id = {model.id: model for model in models}
        self._adapters = {adapter.route: adapter for adapter in adapters}
        self._settings = settings
        self._outbound = outbound
        self._store = store
        self._decode_budget = decode_budget
        self._clock = clock
        self._sleep = sleep
        self._sender = HttpSender(outbound, spool)
        self._results = ResultStore(outbound, store, decode_budget, self._sender, sleep)
        self._submitter = Submitter(RoutePauses(clock), settings.retry_seconds, clock, sleep)
        self._starts = ActiveStarts()

    async def close(self) -> None:
        """Close the family's connections."""
        await self._outbound.aclose()

    async def start(self, request: pb.StartRequest, on_progress: OnProgress | None = None) -> pb.TaskState:
        """Make a task's calls side by side, and return the task's state.

        A task of more calls than the provider takes at once stays here until the last of them is made.
        Raises GatewayError, before the first call, for a request that the provider can't serve and, where the task is
        strict, for the adapter's first warning.
        """
        reserved_options.check(provider_options(request.task), self._route(request.task).reserved_options)
        driver = self._driver(request)
        with self._starts.open(request.job_id, request.task.route) as start:
            calls = await self._calls(request, driver.adapter)
            requests = await in_parallel(self._translate(driver.adapter, call) for call in calls)
            for warning in (warning for call in calls for warning in call.warnings if request.task.strict):
                raise unsupported(warning.param, warning.message)
            work = list(zip(calls, requests, strict=True))
            return await self._begin(driver, work, start, PartialImages(on_progress), fail_fast=request.fail_fast)

    async def poll(self, request: pb.PollRequest) -> pb.TaskState:
        """Poll each unfinished call, and return the task's state.

        A poll without a response, or with results that can't be stored, changes nothing; a poll with an unreadable
        response is repeated within the grace period of unknown states.
        """
        states = parse_task_ref(request.task_ref)
        calls = [self._call(request, state.index, state.count) for state in states]
        for call, state in zip(calls, states, strict=True):
            call.warnings = state.warnings
        return await self._poll(self._driver(request), calls, states)

    async def cancel(self, request: pb.CancelRequest) -> bool:
        """Stop a task, or without a task reference its start: a start sends nothing more, and its call at the
        provider is interrupted where that reaches no other call. Return False where a call goes on.
        """
        driver = self._driver(request)
        if request.task_ref:
            running = [state for state in parse_task_ref(request.task_ref) if state.is_running]
            return all([await self._cancel(driver, request, state) for state in running])
        start = self._starts.find(request.job_id)
        if start is None:
            return False
        start.cancel()
        stopped = [await self._cancel(driver, request, state) for state in start.states if state.is_running]
        stopped += [await driver.interrupt(call, start) for call in list(start.at_provider.values())]
        return all(stopped)

    # ---- a task's calls

    async def _begin(
        self,
        driver: CallDriver,
        work: list[tuple[Call, HttpRequest]],
        start: ActiveStart,
        partial_images: PartialImages,
        *,
        fail_fast: bool,
    ) -> pb.TaskState:
        """Make a task's calls, as many at once as the provider takes."""
        calls = [call for call, _ in work]
        batch_size = self._batch_size(calls[0])
        outcomes: list[Outcome] = []
        for first in range(0, len(work), batch_size):
            await self._wait_for_calls(driver, calls[:first], start)
            batch = work[first : first + batch_size]
            submits = [partial(driver.submit, call, request, start, partial_images) for call, request in batch]
            submitted = await submit_all(submits, fail_fast=fail_fast and not first)
            states = [CallState(call.index, call.count, warnings=call.warnings) for call, _ in batch]
            outcomes += _settle(driver, calls[first : first + batch_size], states, submitted)
            start.states += states
            if fail_fast and not first and all(map(is_safe_to_retry, submitted)):
                break
        state = merge_calls(start.states, outcomes, self._clock())
        if state.HasField("done"):
            state.done.partial_images.extend(partial_images.received)
        return state

    async def _poll(self, driver: CallDriver, calls: list[Call], states: list[CallState]) -> pb.TaskState:
        """Poll each call that has not ended, and return the task's state."""
        polled = await in_parallel(driver.poll(call, state) for call, state in zip(calls, states, strict=True))
        outcomes = _settle(driver, calls, states, polled)
        return merge_calls(states, outcomes, self._clock())

    async def _wait_for_calls(self, driver: CallDriver, calls: list[Call], start: ActiveStart) -> None:
        """Wait until all calls so far have ended: the provider takes no more beside them."""
        while any(state.is_running for state in start.states) and not start.is_cancelled:
            state = await self._poll(driver, calls, start.states)
            if state.HasField("running"):
                await start.pause(self._sleep(state.running.poll_after.ToTimedelta().total_seconds()))

    async def _cancel(self, driver: CallDriver, request: pb.CancelRequest, state: CallState) -> bool:
        return await driver.cancel(self._call(request, state.index, state.count), state)

    def _batch_size(self, call: Call) -> int:
        """Return how many such calls the provider takes side by side, by its documentation and the settings."""
        route = call.route
        if route.concurrency is None:
            return call.task.n
        most = min(route.concurrency, self._settings.route_concurrency(route.name, route.concurrency))
        return max(1, most // route.slots(call.count))

    # ---- parts of a call

    def _driver(self, request: Request) -> CallDriver:
        """Return the driver of a request's calls. Raises GatewayError as `Endpoint.resolve`."""
        adapter = self._adapters[request.task.route]
        return CallDriver(
            adapter,
            Endpoint.resolve(adapter, self._settings, request.credential),
            self._sender,
            self._results,
            self._submitter,
            self._starts,
            clock=self._clock,
            sleep=self._sleep,
        )

    async def _calls(self, request: pb.StartRequest, adapter: Adapter) -> list[Call]:
        """Return a task's calls with their inputs read."""
        task, model = request.task, self._by_id[request.task.model]
        inputs = tuple([await self._read_input(ref) for ref in task.inputs])
        takes_mask = task.HasField("mask") and model.supports(Capability.MASK)
        mask = await self._read_input(task.mask) if takes_mask else None
        markup = await self._read_input(task.markup) if task.HasField("markup") else None
        most = self._route(task).max_images_per_call or adapter.max_images_per_call
        calls = []
        for index in range(0, task.n, most):
            call = self._call(request, index, min(most, task.n - index))
            call.inputs, call.mask, call.markup = inputs, mask, markup
            calls.append(call)
        return calls

    def _call(self, request: Request, index: int, count: int) -> Call:
        model = self._by_id[request.task.model]
        return Call(request.task, model, self._route(request.task), request.job_id, index, count, request.tenant)

    def _route(self, task: pb.ImageTask) -> Route:
        return self._by_id[task.model].route(task.route)

    async def _translate(self, adapter: Adapter, call: Call) -> HttpRequest:
        """Return the call's request. Adapters encode and convert input images, within the decode budget."""
        images = [image for image in (*call.inputs, call.mask, call.markup) if image]
        if not images:
            return adapter.submit(call)
        costs = (decoding_cost(image.width, image.height, len(image.data), image.media_type) for image in images)
        async with self._decode_budget.admit(max(costs), tenant=call.tenant):
            return await self._decode_budget.run(partial(adapter.submit, call))

    async def _read_input(self, ref: pb.MediaRef) -> InputImage:
        read = partial(self._store.read, ref.key)
        try:
            data = await retry_until_available(read, seconds=INPUT_SECONDS, sleep=self._sleep)
        except StoreUnavailable:
            raise GatewayError(
                ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE,
                "The media store is unavailable.",
                retry_after=INPUT_SECONDS,
            ) from None
        return InputImage(data, ref.media_type, ref.width, ref.height)


def _settle(
    driver: CallDriver, calls: Sequence[Call], states: Sequence[CallState], outcomes: Sequence[Outcome]
) -> list[Outcome]:
    """Settle calls, and return their outcomes."""
    steps = zip(calls, states, outcomes, strict=True)
    return [driver.settle(call, state, outcome) for call, state, outcome in steps]
