"""Drives adapters: calls, reads, retries what costs nothing, fetches results at once, stores them byte for byte.

The only caller of providers. A key goes to the route's own base URL and to the adapter's listed hosts, never to the
host of a result or across a redirect.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.v1.error_reason_pb2 import ErrorReason

from services.common import logs
from services.common.adapter import Call, Failure, Finished, Outgoing, Pending, Picture, Reply, Unknown
from services.common.catalog import MASK
from services.common.errors import GatewayError
from services.common.items import Item, failed_of, state_of
from services.common.outbound import SentError, UnsentError
from services.common.results import Results
from services.common.targets import Target
from services.common.urlguard import UrlRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from services.common.adapter import Adapter, Found, Outcome
    from services.common.catalog import Model
    from services.common.outbound import Outbound
    from services.common.settings import Settings
    from services.common.store import MediaStore

MAX_REPLY_BYTES: Final = 256 * 1024 * 1024
TRIES: Final = 4
"""Calls that one start may make, as long as none of them can have been accepted."""
MAX_PAUSE: Final = 20.0
"""Longest pause between such calls; a provider that asks for more has its failure passed on."""
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
        self._results = Results(outbound, store, self._send, sleep)
        self._quiet_until: dict[tuple[str, str], float] = {}

    async def close(self) -> None:
        await self._outbound.aclose()

    async def start(self, request: pb.StartRequest) -> pb.TaskState:
        """Make a task's calls side by side; what can't have been accepted is tried again.

        A task of more calls than the provider takes at once stays here until the last of them is made.
        """
        adapter = self._adapters[request.task.route]
        target = Target.of(adapter, self._settings, request.credential)
        calls = await self._calls(request, adapter)
        at_once = self._at_once(calls[0])
        items: list[Item] = []
        outcomes: list[Outcome] = []
        for first in range(0, len(calls), at_once):
            await self._outlast(adapter, target, calls[:first], items)
            wave = calls[first : first + at_once]
            hand_back = request.hand_back and not first
            made = await self._begin(adapter, target, wave, hand_back=hand_back)
            begun = [Item(call.index, call.count, warnings=call.warnings) for call in wave]
            await self._settle_all(adapter, target, wave, begun, made)
            items += begun
            outcomes += made
            if hand_back and all(map(_untaken, made)):
                break
        return state_of(items, outcomes, self._clock())

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

    async def _begin(self, adapter: Adapter, target: Target, calls: list[Call], *, hand_back: bool) -> list[Outcome]:
        """Make calls side by side. With `hand_back` each is made once, unless others of them were taken: then no
        other route may have the task, and the rest is worth the usual patience.
        """
        tries = 1 if hand_back else TRIES
        outcomes = await asyncio.gather(*(self._submit(adapter, target, call, tries) for call in calls))
        again = [index for index, outcome in enumerate(outcomes) if _untaken(outcome)]
        if hand_back and len(again) < len(calls):
            late = await asyncio.gather(*(self._submit(adapter, target, calls[index], TRIES) for index in again))
            for index, outcome in zip(again, late, strict=True):
                outcomes[index] = outcome
        return outcomes

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

    async def _submit(self, adapter: Adapter, target: Target, call: Call, tries: int) -> Outcome:
        """Make a call; with one try only it neither waits nor asks again."""
        # Large inputs are encoded and masks converted here.
        outgoing = await asyncio.to_thread(adapter.submit, call) if call.inputs else adapter.submit(call)
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
            outcome = await self._exchange(adapter, target, call, outgoing)
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
                self._quiet_until[lane] = max(self._quiet_until.get(lane, 0.0), self._clock() + wait)
            if attempt >= tries or wait > MAX_PAUSE:
                return outcome
            await self._sleep(wait * random.uniform(1, 1.1))  # noqa: S311  only spreads load
        raise AssertionError("unreachable")

    async def _exchange(self, adapter: Adapter, target: Target, call: Call, outgoing: Outgoing) -> Outcome:
        reply = await self._send(adapter, target, outgoing, call.job_id)
        if isinstance(reply, Failure):
            return reply
        if 200 <= reply.status < 300:
            return self._read(adapter, reply, lambda: adapter.read_submit(call, reply), _UNREADABLE)
        return self._read(adapter, reply, lambda: adapter.read_error(call, reply), _UNREADABLE)

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
            return self._read(adapter, reply, lambda: adapter.read_poll(call, item.ref, reply), _GARBLED)
        outcome = self._read(adapter, reply, lambda: adapter.read_poll_error(call, item.ref, reply), _GARBLED)
        # What refuses a poll has not refused the task, which had been taken.
        return replace(outcome, accepted=True) if isinstance(outcome, Failure) else outcome

    @staticmethod
    def _read(adapter: Adapter, reply: Reply, read: Callable[[], Outcome], unreadable: Outcome) -> Outcome:
        """What an answer says; `unreadable` for one that the adapter can't read, which is the provider's fault."""
        try:
            return read()
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            _log.warning("upstream_unreadable", route=adapter.route, status=reply.status, error=repr(error)[:200])
            return unreadable

    async def _send(self, adapter: Adapter, target: Target, outgoing: Outgoing, job_id: str) -> Reply | Failure:
        url = target.url(outgoing.path)
        headers = dict(outgoing.headers)
        if not target.trusts(url, adapter.hosts):
            # Named by an answer, not by the settings: it passes the guard, and never sees the key.
            try:
                await self._outbound.guard.check(url)
            except UrlRefusedError as error:
                return _AWAY if error.transient else _bad_response("named an address that may not be called.")
        elif target.key:
            headers.update(adapter.auth(target.key))
        began = time.perf_counter()
        status: int | None = None
        try:
            answer = await self._outbound.call(
                outgoing.method,
                url,
                headers=headers,
                query=outgoing.query,
                json=outgoing.json,
                fields=outgoing.fields,
                files=[(file.field, (file.filename, file.data, file.media_type)) for file in outgoing.files],
                multipart=outgoing.multipart,
                max_bytes=MAX_REPLY_BYTES,
                seconds=adapter.seconds,
            )
            status = answer.status
            return Reply(answer.status, answer.headers, answer.content)
        except UnsentError:
            return _AWAY
        except TimeoutError:
            return Failure(
                ErrorReason.ERROR_REASON_PROVIDER_TIMEOUT,
                f"The provider did not answer within {adapter.seconds:g} s.",
                accepted=True,
            )
        except SentError:
            return Failure(
                ErrorReason.ERROR_REASON_PROVIDER_OUTCOME_UNKNOWN,
                "The connection to the provider broke during the call; whether it took the job is not known.",
                accepted=True,
            )
        finally:
            _log.info(
                "upstream_call_finished",
                route=adapter.route,
                job_id=job_id,
                method=outgoing.method,
                path=urlsplit(url).path,
                upstream_status=status,
                duration_ms=round((time.perf_counter() - began) * 1000, 1),
            )

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
                    unknown = _bad_response(f"is in a state that this gateway does not know: {state[:60]}.")
                    item.failure = failed_of(unknown)
            case Failure():
                item.failure = failed_of(outcome)
                if outcome.reason == ErrorReason.ERROR_REASON_MODEL_RETIRED and call.model.successor:
                    item.failure.message += f" Its successor is {call.model.successor}."
            case Finished(pictures=pictures, previews=previews, missing=missing, usage=usage, cost=cost):
                kept = [self._keep(adapter, target, call, found) for found in (*pictures, *previews)]
                results = await asyncio.gather(*kept)
                made, stages = results[: len(pictures)], results[len(pictures) :]
                lost = [result for result in made if isinstance(result, pb.Failed)]
                if lost and len(lost) == len(made):
                    item.failure = lost[0]
                    return
                item.done = pb.Done(
                    artifacts=[result for result in made if isinstance(result, pb.Artifact)],
                    partial_images=[result.media for result in stages if isinstance(result, pb.Artifact)],
                    missing=[*lost, *map(failed_of, missing)],
                    usage=usage,
                    cost=cost,
                )

    async def _keep(self, adapter: Adapter, target: Target, call: Call, found: Found) -> pb.Artifact | pb.Failed:
        """One result in the store, or why it can't be used."""
        try:
            return await self._results.keep(adapter, target, call, found)
        except GatewayError as error:
            return pb.Failed(reason=error.reason, message=error.message, accepted=True)

    # ---- what calls are made of

    async def _calls(self, request: pb.StartRequest, adapter: Adapter) -> list[Call]:
        task = request.task
        inputs = tuple([await self._picture(ref) for ref in task.inputs])
        masked = task.HasField("mask") and self._by_id[task.model].can(MASK)
        mask = await self._picture(task.mask) if masked else None
        route = next(route for route in self._by_id[task.model].routes if route.name == task.route)
        most = route.per_call or adapter.per_call
        calls = []
        for index in range(0, task.n, most):
            call = self._call(request, index, min(most, task.n - index))
            call.inputs, call.mask = inputs, mask
            calls.append(call)
        return calls

    def _call(self, request: pb.StartRequest | pb.PollRequest | pb.CancelRequest, index: int, count: int) -> Call:
        model = self._by_id[request.task.model]
        route = next(route for route in model.routes if route.name == request.task.route)
        return Call(request.task, model, route, request.job_id, index, count)

    async def _picture(self, ref: pb.MediaRef) -> Picture:
        return Picture(await self._store.read(ref.key), ref.media_type, ref.width, ref.height)


_AWAY: Final = Failure(ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE, "The provider can't be reached.", retry_after=2)
_REPEAT: Final = frozenset(
    {ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED, ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE}
)


def _untaken(outcome: Outcome) -> bool:
    """Whether the same call may be made again, as the provider surely took nothing and may yet take it."""
    if not isinstance(outcome, Failure) or outcome.accepted:
        return False
    return outcome.again or outcome.reason in _REPEAT


def _bad_response(what: str) -> Failure:
    return Failure(ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE, f"The provider {what}", accepted=True)


_UNREADABLE: Final = _bad_response("gave an answer that can't be read.")
"""To a call that may have been paid for."""
_GARBLED: Final = Unknown("unreadable")
"""To a poll: the task is paid for, and asking again costs nothing."""
