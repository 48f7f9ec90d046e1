"""A family of models behind HTTP: its tasks as calls to providers, made, polled and cancelled side by side.

`call_driver` drives a call, `submission` repeats what costs nothing, and `http_call` is the only caller of providers.
"""

from __future__ import annotations

import asyncio
import json
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from imagegateway.media.decoding import decoding_cost
from imagegateway.media.store import StoreUnavailable
from imagegateway.media.store_retry import INPUT_SECONDS, retry_until_available
from imagegateway.platform.errors import GatewayError, unsupported
from imagegateway.providers.catalog import Capability
from imagegateway.providers.kit import reserved_options
from imagegateway.providers.kit.adapter import Call, Picture, options_of
from imagegateway.providers.kit.call_driver import CallDriver
from imagegateway.providers.kit.endpoints import Target
from imagegateway.providers.kit.http_call import Sender
from imagegateway.providers.kit.response_stream import Previews
from imagegateway.providers.kit.results import Results
from imagegateway.providers.kit.route_pauses import RoutePauses
from imagegateway.providers.kit.submission import OpenStarts, Submitter, not_taken, submit_all
from imagegateway.providers.kit.task_state import Item, state_of
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from imagegateway.media.decoding import DecodeGate
    from imagegateway.media.store import MediaStore
    from imagegateway.outbound.client import Outbound
    from imagegateway.platform.settings import Settings
    from imagegateway.provider.v1 import provider_service_pb2 as pb
    from imagegateway.providers.catalog import Model, Route
    from imagegateway.providers.kit.adapter import Adapter, Outcome, Outgoing
    from imagegateway.providers.kit.family import Tell
    from imagegateway.providers.kit.reply_memory import ReplyMemory
    from imagegateway.providers.kit.submission import OpenStart

    Request = pb.StartRequest | pb.PollRequest | pb.CancelRequest


class HttpFamily:
    """A family whose models live behind HTTP: one adapter for each of its routes."""

    def __init__(
        self,
        name: str,
        models: tuple[Model, ...],
        adapters: Sequence[Adapter],
        *,
        settings: Settings,
        outbound: Outbound,
        store: MediaStore,
        gate: DecodeGate,
        memory: ReplyMemory,
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
        self._gate = gate
        self._clock = clock
        self._sleep = sleep
        self._sender = Sender(outbound, memory)
        self._results = Results(outbound, store, gate, self._sender, sleep)
        self._submitter = Submitter(RoutePauses(clock), settings.retry_seconds, clock, sleep)
        self._starts = OpenStarts()

    async def close(self) -> None:
        await self._outbound.aclose()

    async def start(self, request: pb.StartRequest, tell: Tell | None = None) -> pb.TaskState:
        """Make a task's calls side by side; what can't have been accepted is tried again.

        A task of more calls than the provider takes at once stays here until the last of them is made.
        Raises GatewayError before the first call for what can't be asked and, where the task is strict, for what
        an adapter warns of.
        """
        reserved_options.refuse(options_of(request.task), self._route(request.task).reserved_options)
        driver = self._driver(request)
        with self._starts.open(request.job_id, request.task.route) as start:
            calls = await self._calls(request, driver.adapter)
            translated = await asyncio.gather(*(self._translated(driver.adapter, call) for call in calls))
            for warning in (warning for call in calls for warning in call.warnings if request.task.strict):
                raise unsupported(warning.param, warning.message)
            work = list(zip(calls, translated, strict=True))
            return await self._begin(driver, work, start, Previews(tell), hand_back=request.hand_back)

    async def poll(self, request: pb.PollRequest) -> pb.TaskState:
        """Ask how each unfinished call stands. A poll that gets no answer, or whose results can't be stored, changes
        nothing; one whose answer can't be read is repeated within the grace of unknown states.
        """
        items = [Item.decode(data) for data in json.loads(request.task_ref)]
        calls = [self._call(request, item.index, item.count) for item in items]
        for call, item in zip(calls, items, strict=True):
            call.warnings = item.warnings
        return await self._look(self._driver(request), calls, items)

    async def cancel(self, request: pb.CancelRequest) -> bool:
        """Stop a task, or the start of one: a start that waits sends nothing more, and what is at the provider is
        interrupted where that reaches no other call. False where something goes on that can't be stopped.
        """
        driver = self._driver(request)
        if request.task_ref:
            items = [item for data in json.loads(request.task_ref) if (item := Item.decode(data)).running]
            return all([await self._cancel(driver, request, item) for item in items])
        start = self._starts.find(request.job_id)
        if start is None:
            return False
        start.cancel()
        stopped = [await self._cancel(driver, request, item) for item in start.items if item.running]
        stopped += [await driver.interrupt(call, start) for call in list(start.at_provider.values())]
        return all(stopped)

    # ---- a task's calls

    async def _begin(
        self,
        driver: CallDriver,
        work: list[tuple[Call, Outgoing]],
        start: OpenStart,
        previews: Previews,
        *,
        hand_back: bool,
    ) -> pb.TaskState:
        """Make a task's calls, as many at once as the provider takes."""
        calls = [call for call, _ in work]
        at_once = self._at_once(calls[0])
        outcomes: list[Outcome] = []
        for first in range(0, len(work), at_once):
            await self._outlast(driver, calls[:first], start)
            wave = work[first : first + at_once]
            submits = [partial(driver.submit, call, outgoing, start, previews) for call, outgoing in wave]
            made = await submit_all(submits, hand_back=hand_back and not first)
            begun = [Item(call.index, call.count, warnings=call.warnings) for call, _ in wave]
            outcomes += _settle(driver, calls[first : first + at_once], begun, made)
            start.items += begun
            if hand_back and not first and all(map(not_taken, made)):
                break
        state = state_of(start.items, outcomes, self._clock())
        if state.HasField("done"):
            state.done.partial_images.extend(previews.shown)
        return state

    async def _look(self, driver: CallDriver, calls: list[Call], items: list[Item]) -> pb.TaskState:
        """Ask for every call that has not ended."""
        asked = (driver.ask(call, item) for call, item in zip(calls, items, strict=True))
        outcomes = _settle(driver, calls, items, await asyncio.gather(*asked))
        return state_of(items, outcomes, self._clock())

    async def _outlast(self, driver: CallDriver, calls: list[Call], start: OpenStart) -> None:
        """Wait until all calls so far have ended: the provider takes no more beside them."""
        while any(item.running for item in start.items) and not start.cancelled:
            state = await self._look(driver, calls, start.items)
            if state.HasField("running"):
                await start.pause(self._sleep(state.running.poll_after.ToTimedelta().total_seconds()))

    async def _cancel(self, driver: CallDriver, request: pb.CancelRequest, item: Item) -> bool:
        return await driver.cancel(self._call(request, item.index, item.count), item)

    def _at_once(self, call: Call) -> int:
        """How many such calls the provider takes side by side: alone on its route a task waits for nobody else."""
        route = call.route
        if route.concurrency is None:
            return call.task.n
        most = min(route.concurrency, self._settings.route_concurrency(route.name, route.concurrency))
        return max(1, most // route.slots(call.count))

    # ---- what calls are made of

    def _driver(self, request: Request) -> CallDriver:
        """What drives the calls of a request. Raises GatewayError as `Target.of`."""
        adapter = self._adapters[request.task.route]
        target = Target.of(adapter, self._settings, request.credential)
        return CallDriver(
            adapter,
            target,
            self._sender,
            self._results,
            self._submitter,
            self._starts,
            clock=self._clock,
            sleep=self._sleep,
        )

    async def _calls(self, request: pb.StartRequest, adapter: Adapter) -> list[Call]:
        task, model = request.task, self._by_id[request.task.model]
        inputs = tuple([await self._picture(ref) for ref in task.inputs])
        mask = await self._picture(task.mask) if task.HasField("mask") and model.supports(Capability.MASK) else None
        markup = await self._picture(task.markup) if task.HasField("markup") else None
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
        return next(route for route in self._by_id[task.model].routes if route.name == task.route)

    async def _translated(self, adapter: Adapter, call: Call) -> Outgoing:
        """Return the call's request. Adapters encode inputs and convert images, one at a time."""
        read = [picture for picture in (*call.inputs, call.mask, call.markup) if picture]
        if not read:
            return adapter.submit(call)
        costs = (decoding_cost(image.width, image.height, len(image.data), image.media_type) for image in read)
        async with self._gate.admit(max(costs), tenant=call.tenant):
            return await self._gate.run(partial(adapter.submit, call))

    async def _picture(self, ref: pb.MediaRef) -> Picture:
        read = partial(self._store.read, ref.key)
        try:
            data = await retry_until_available(read, seconds=INPUT_SECONDS, sleep=self._sleep)
        except StoreUnavailable:
            raise GatewayError(
                ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE, "The media store is away.", retry_after=INPUT_SECONDS
            ) from None
        return Picture(data, ref.media_type, ref.width, ref.height)


def _settle(
    driver: CallDriver, calls: Sequence[Call], items: Sequence[Item], outcomes: Sequence[Outcome]
) -> list[Outcome]:
    steps = zip(calls, items, outcomes, strict=True)
    return [driver.settle(call, item, outcome) for call, item, outcome in steps]
