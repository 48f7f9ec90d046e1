"""Drives adapters: calls, reads, retries what costs nothing, fetches results at once, stores them byte for byte.

The only caller of providers, by `services.common.sending`; what answers say event by event is read in
`services.common.live`.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.v1.error_reason_pb2 import ErrorReason

from services.common import logs
from services.common.adapter import (
    UNREADABLE,
    Call,
    Failure,
    Finished,
    Outgoing,
    Pending,
    Picture,
    Reply,
    Unknown,
    bad_response,
)
from services.common.catalog import MASK
from services.common.errors import GatewayError, unsupported
from services.common.items import Item, failed_as, failed_of, state_of
from services.common.live import Listener, Previews
from services.common.results import Results
from services.common.sending import Sender
from services.common.targets import Target

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from services.common.adapter import Adapter, Found, Outcome
    from services.common.catalog import Model
    from services.common.family import Tell
    from services.common.outbound import Outbound
    from services.common.settings import Settings
    from services.common.store import MediaStore

TRIES: Final = 4
"""Calls that one start may make, as long as none of them can have been accepted."""
MAX_PAUSE: Final = 20.0
"""Longest pause between such calls; a provider that asks for more has its failure passed on."""
LANE_PAUSE: Final = 2.0
"""Longest pause of everyone who uses a key, where its provider named none."""
GRACE_SECONDS: Final = 30.0
"""How long an unknown state is waited out."""
_log = logs.get(__name__)


class UpstreamFamily:
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
        self._clock = clock
        self._sleep = sleep
        self._send = Sender(outbound).send
        self._results = Results(outbound, store, self._send, sleep)
        self._quiet_until: dict[tuple[str, str], float] = {}

    async def close(self) -> None:
        await self._outbound.aclose()

    async def start(self, request: pb.StartRequest, tell: Tell | None = None) -> pb.TaskState:
        """Make a task's calls side by side; what can't have been accepted is tried again.

        A task of more calls than the provider takes at once stays here until the last of them is made.
        Raises GatewayError before the first call for what can't be asked and, where the task is strict, for what
        an adapter warns of.
        """
        adapter = self._adapters[request.task.route]
        target = Target.of(adapter, self._settings, request.credential)
        calls = await self._calls(request, adapter)
        translated = await asyncio.gather(*(_translated(adapter, call) for call in calls))
        for warning in (warning for call in calls for warning in call.warnings if request.task.strict):
            raise unsupported(warning.param, warning.message)
        at_once = self._at_once(calls[0])
        previews = Previews(tell)
        items: list[Item] = []
        outcomes: list[Outcome] = []
        for first in range(0, len(calls), at_once):
            await self._outlast(adapter, target, calls[:first], items)
            wave = calls[first : first + at_once]
            hand_back = request.hand_back and not first
            submits = [
                partial(self._submit, adapter, target, call, outgoing, previews=previews)
                for call, outgoing in zip(wave, translated[first : first + at_once], strict=True)
            ]
            made = await _begin(submits, hand_back=hand_back)
            begun = [Item(call.index, call.count, warnings=call.warnings) for call in wave]
            await self._settle_all(adapter, target, wave, begun, made)
            items += begun
            outcomes += made
            if hand_back and all(map(_untaken, made)):
                break
        state = state_of(items, outcomes, self._clock())
        if state.HasField("done"):
            state.done.partial_images.extend(previews.shown)
        return state

    async def poll(self, request: pb.PollRequest) -> pb.TaskState:
        """Ask how each unfinished call stands. A poll that gets no answer changes nothing; one whose answer can't be
        read is repeated within the grace of unknown states.
        """
        adapter = self._adapters[request.task.route]
        target = Target.of(adapter, self._settings, request.credential)
        items = [Item.decode(data) for data in json.loads(request.task_ref)]
        calls = [self._call(request, item.index, item.count) for item in items]
        for call, item in zip(calls, items, strict=True):
            call.warnings = item.warnings
        return await self._look(adapter, target, calls, items)

    async def cancel(self, request: pb.CancelRequest) -> bool:
        adapter = self._adapters[request.task.route]
        target = Target.of(adapter, self._settings, request.credential)
        if not request.task_ref:
            halt = adapter.interrupt(self._call(request, 0, request.task.n))
            return halt is not None and isinstance(await self._send(adapter, target, halt, request.job_id), Reply)
        told = False
        for item in (Item.decode(data) for data in json.loads(request.task_ref)):
            outgoing = adapter.cancel(self._call(request, item.index, item.count), item.ref) if item.running else None
            if outgoing:
                reply = await self._send(adapter, target, outgoing, request.job_id)
                told = told or isinstance(reply, Reply)
        return told

    # ---- a task's calls

    async def _look(self, adapter: Adapter, target: Target, calls: list[Call], items: list[Item]) -> pb.TaskState:
        """Ask for every call that has not ended."""
        outcomes: list[Outcome] = await asyncio.gather(
            *(self._ask(adapter, target, call, item) for call, item in zip(calls, items, strict=True))
        )
        await self._settle_all(adapter, target, calls, items, outcomes)
        return state_of(items, outcomes, self._clock())

    async def _outlast(self, adapter: Adapter, target: Target, calls: list[Call], items: list[Item]) -> None:
        """Wait until all calls so far have ended: the provider takes no more beside them."""
        while any(item.running for item in items):
            state = await self._look(adapter, target, calls, items)
            if state.HasField("running"):
                await self._sleep(state.running.poll_after.ToTimedelta().total_seconds())

    async def _settle_all(
        self, adapter: Adapter, target: Target, calls: list[Call], items: list[Item], outcomes: list[Outcome]
    ) -> None:
        steps = zip(calls, items, outcomes, strict=True)
        await asyncio.gather(*(self._settle(adapter, target, call, item, outcome) for call, item, outcome in steps))

    def _at_once(self, call: Call) -> int:
        """How many such calls the provider takes side by side: alone on its route a task waits for nobody else."""
        route = call.route
        if route.concurrency is None:
            return call.task.n
        most = min(route.concurrency, self._settings.route_concurrency(route.name, route.concurrency))
        return max(1, most // route.places(call.count))

    # ---- one call

    async def _submit(
        self, adapter: Adapter, target: Target, call: Call, outgoing: Outgoing, tries: int, *, previews: Previews
    ) -> Outcome:
        """Make a call; with one try only it neither waits nor asks again."""
        lane = (adapter.route, target.key)
        asked_again = False
        for attempt in range(1, TRIES + 1):
            pause = self._quiet_until.get(lane, 0.0) - self._clock()
            if pause > 0 and tries == 1:
                return Failure(
                    ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED,
                    "The provider is receiving too many requests.",
                    retry_after=pause,
                )
            if pause > 0:
                await self._sleep(pause)
            outcome = await self._exchange(adapter, target, call, outgoing, previews)
            if not isinstance(outcome, Failure):
                return outcome
            if outcome.accepted and outcome.again and not asked_again and attempt < TRIES:
                asked_again = True
                continue
            if not _untaken(outcome):
                return outcome
            wait = outcome.retry_after if outcome.retry_after is not None else 0.5 * 2**attempt
            if outcome.reason == ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED and wait <= MAX_PAUSE:
                # Everyone who uses this key waits, not only the call that met the limit.
                quiet = wait if outcome.retry_after is not None else min(wait, LANE_PAUSE)
                self._quiet_until[lane] = max(self._quiet_until.get(lane, 0.0), self._clock() + quiet)
            if attempt >= tries or wait > MAX_PAUSE:
                return outcome
            await self._sleep(wait * random.uniform(1, 1.1))  # noqa: S311  only spreads load
        raise AssertionError("unreachable")

    async def _exchange(
        self, adapter: Adapter, target: Target, call: Call, outgoing: Outgoing, previews: Previews
    ) -> Outcome:
        listener = Listener(adapter, call, partial(self._results.keep, adapter, target), previews)
        reply = await self._send(adapter, target, outgoing, call.job_id, listener.read)
        if listener.reading:
            broken = reply if isinstance(reply, Failure) else None
            return _read(adapter, partial(listener.outcome, listener.reading, broken), _UNREADABLE)
        if isinstance(reply, Failure):
            return reply
        if 200 <= reply.status < 300:
            return _read(adapter, partial(adapter.read_submit, call, reply), _UNREADABLE)
        return _read(adapter, partial(adapter.read_error, call, reply), adapter.errors.lookup(reply))

    async def _ask(self, adapter: Adapter, target: Target, call: Call, item: Item) -> Outcome:
        if not item.running:
            return Pending(item.ref)
        reply = await self._send(adapter, target, adapter.poll(call, item.ref), call.job_id)
        if isinstance(reply, Failure):
            if reply.reason == ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE:
                return reply  # where to ask may not be called, and never will
            # Asking costs nothing and says nothing of the task: ask again later; the job's deadline bounds it.
            return Pending(item.ref, after=5.0)
        if 200 <= reply.status < 300:
            return _read(adapter, partial(adapter.read_poll, call, item.ref, reply), _GARBLED)
        outcome = _read(adapter, partial(adapter.read_poll_error, call, item.ref, reply), _GARBLED)
        # What refuses a poll has not refused the task, which had been taken.
        return replace(outcome, accepted=True) if isinstance(outcome, Failure) else outcome

    async def _settle(self, adapter: Adapter, target: Target, call: Call, item: Item, outcome: Outcome) -> None:
        """Bring an item to where its call stands; results are fetched and stored here."""
        if not item.running:
            return
        match outcome:
            case Pending(ref=ref, progress=progress):
                item.ref, item.unknown_since = ref, 0.0
                item.note(progress, self._clock())
            case Unknown(state=state):
                _log.warning("upstream_state_unknown", route=adapter.route, state=state[:100], job_id=call.job_id)
                item.unknown_since = item.unknown_since or self._clock()
                if not item.ref or self._clock() - item.unknown_since > GRACE_SECONDS:
                    unknown = bad_response(f"is in a state that this gateway does not know: {state[:60]}.")
                    item.failure = failed_of(unknown)
            case Failure():
                item.failure = failed_of(outcome)
                if outcome.reason == ErrorReason.ERROR_REASON_MODEL_RETIRED and call.model.successor:
                    item.failure.message += f" Its successor is {call.model.successor}."
            case Finished(pictures=pictures, missing=missing, usage=usage, cost=cost):
                kept = await asyncio.gather(*(self._keep(adapter, target, call, found) for found in pictures))
                artifacts = [result for result in kept if isinstance(result, pb.Artifact)]
                lost = [result for result in kept if isinstance(result, pb.Failed)]
                if lost and not artifacts:
                    item.failure = lost[0]
                    return
                item.done = pb.Done(
                    artifacts=artifacts, missing=[*lost, *map(failed_of, missing)], usage=usage, cost=cost
                )

    async def _keep(self, adapter: Adapter, target: Target, call: Call, found: Found) -> pb.Artifact | pb.Failed:
        """One result in the store, or why it can't be used."""
        try:
            return await self._results.keep(adapter, target, call, found)
        except GatewayError as error:
            return failed_as(error, accepted=True)

    # ---- what calls are made of

    async def _calls(self, request: pb.StartRequest, adapter: Adapter) -> list[Call]:
        task = request.task
        inputs = tuple([await self._picture(ref) for ref in task.inputs])
        masked = task.HasField("mask") and self._by_id[task.model].can(MASK)
        mask = await self._picture(task.mask) if masked else None
        markup = await self._picture(task.markup) if task.HasField("markup") else None
        route = next(route for route in self._by_id[task.model].routes if route.name == task.route)
        most = route.per_call or adapter.per_call
        calls = []
        for index in range(0, task.n, most):
            call = self._call(request, index, min(most, task.n - index))
            call.inputs, call.mask, call.markup = inputs, mask, markup
            calls.append(call)
        return calls

    def _call(self, request: pb.StartRequest | pb.PollRequest | pb.CancelRequest, index: int, count: int) -> Call:
        model = self._by_id[request.task.model]
        route = next(route for route in model.routes if route.name == request.task.route)
        return Call(request.task, model, route, request.job_id, index, count)

    async def _picture(self, ref: pb.MediaRef) -> Picture:
        return Picture(await self._store.read(ref.key), ref.media_type, ref.width, ref.height)


_REPEAT: Final = frozenset(
    {ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED, ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE}
)


def _untaken(outcome: Outcome) -> bool:
    """Whether the same call may be made again, as the provider surely took nothing and may yet take it."""
    if not isinstance(outcome, Failure) or outcome.accepted:
        return False
    return outcome.again or outcome.reason in _REPEAT


async def _begin(submits: Sequence[Callable[[int], Awaitable[Outcome]]], *, hand_back: bool) -> list[Outcome]:
    """Make calls side by side; each of `submits` takes the number of its tries. With `hand_back` each is made once,
    unless others of them were taken: then no other route may have the task, and the rest is worth the usual patience.
    """
    tries = 1 if hand_back else TRIES
    outcomes = await asyncio.gather(*(submit(tries) for submit in submits))
    again = [index for index, outcome in enumerate(outcomes) if _untaken(outcome)]
    if hand_back and len(again) < len(submits):
        late = await asyncio.gather(*(submits[index](TRIES) for index in again))
        for index, outcome in zip(again, late, strict=True):
            outcomes[index] = outcome
    return outcomes


async def _translated(adapter: Adapter, call: Call) -> Outgoing:
    # Large inputs are encoded and masks converted here.
    return await asyncio.to_thread(adapter.submit, call) if call.inputs else adapter.submit(call)


def _read(adapter: Adapter, read: Callable[[], Outcome], unreadable: Outcome) -> Outcome:
    """What an answer says; `unreadable` for one that the adapter can't read, which is the provider's fault."""
    try:
        return read()
    except UNREADABLE as error:
        _log.warning("upstream_unreadable", route=adapter.route, error=repr(error)[:200])
        return unreadable


_UNREADABLE: Final = bad_response("gave an answer that can't be read.")
"""To a call that may have been paid for."""
_GARBLED: Final = Unknown("unreadable")
"""To a poll: the task is paid for, and asking again costs nothing."""
