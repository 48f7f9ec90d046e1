"""Drives the calls of one task by its route's adapter: submits, polls, stores results, cancels."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from imagegateway.media.store import StoreUnavailable
from imagegateway.media.store_retry import POLL_PAUSE, POLL_SECONDS, RESULT_SECONDS
from imagegateway.platform import logs
from imagegateway.platform.errors import INTERNAL, GatewayError
from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.providers.kit.adapter import UNREADABLE, Finished, Pending, Reply, Unknown
from imagegateway.providers.kit.error_table import Failure, bad_response
from imagegateway.providers.kit.reply_memory import SMALL_BYTES
from imagegateway.providers.kit.response_stream import Listener
from imagegateway.providers.kit.task_state import failed_as, failed_of
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from imagegateway.providers.kit.adapter import Adapter, Call, Found, Outcome, Outgoing
    from imagegateway.providers.kit.endpoints import Target
    from imagegateway.providers.kit.http_call import Sender
    from imagegateway.providers.kit.response_stream import Previews
    from imagegateway.providers.kit.results import Results
    from imagegateway.providers.kit.submission import OpenStart, OpenStarts, Submitter
    from imagegateway.providers.kit.task_state import Item

GRACE_SECONDS: Final = 30.0
"""How long an unknown state is waited out."""
_INQUIRIES: Final = 5
"""How often, with a second between, a server is asked whether it has begun the call that is to be interrupted."""
_log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class CallDriver:
    """One route's calls, with one key."""

    adapter: Adapter
    target: Target
    sender: Sender
    results: Results
    submitter: Submitter
    starts: OpenStarts
    clock: Callable[[], float]
    sleep: Callable[[float], Any]

    async def submit(
        self, call: Call, outgoing: Outgoing, start: OpenStart, previews: Previews, tries: int
    ) -> Outcome:
        """Make a call. A fault of ours is this call's failure alone: the others' results are paid for."""
        send = partial(self._exchange, call, outgoing, start, previews)
        try:
            return await self.submitter.submit(
                send, start=start, route=self.adapter.route, key=self.target.key, tries=tries
            )
        except Exception:  # noqa: BLE001  logged, and told as what it is
            _log.exception("call_crashed", route=self.adapter.route, job_id=call.job_id)
            return _CRASHED

    async def ask(self, call: Call, item: Item) -> Outcome:
        """Ask how a call stands. A fault of ours is waited out as an answer that can't be read."""
        if not item.running:
            return Pending(item.ref)
        try:
            return await self._ask(call, item)
        except Exception:  # noqa: BLE001  the task is paid for, and so are the others
            _log.exception("poll_crashed", route=self.adapter.route, job_id=call.job_id)
            return _GARBLED

    async def _ask(self, call: Call, item: Item) -> Outcome:
        outgoing = self.adapter.poll(call, item.ref)
        reply = await self.sender.send(self.adapter, self.target, outgoing, call.job_id)
        if isinstance(reply, Failure):
            if reply.reason == ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE:
                return reply  # where to ask may not be called, and never will
            # Asking costs nothing and says nothing of the task: ask again later; the job's deadline bounds it.
            return Pending(item.ref, after=5.0)
        async with self.sender.memory.load(reply, call.tenant) as loaded:
            if 200 <= loaded.status < 300:
                outcome = self._read(partial(self.adapter.read_poll, call, item.ref, loaded), _GARBLED)
                return await self._stored(call, outcome, POLL_SECONDS)
            outcome = self._read(partial(self.adapter.read_poll_error, call, item.ref, loaded), _GARBLED)
            # What refuses a poll has not refused the task, which had been taken.
            return replace(outcome, accepted=True) if isinstance(outcome, Failure) else outcome

    def settle(self, call: Call, item: Item, outcome: Outcome) -> Outcome:
        """Bring an item to where its call stands, and return that. A task whose results the store did not take goes
        on.
        """
        if not item.running:
            return outcome
        match outcome:
            case Pending(ref=ref, progress=progress):
                item.ref, item.unknown_since = ref, 0.0
                item.note(progress, self.clock())
            case Unknown(state=state):
                self._wait_out(call, item, state)
            case Failure():
                item.failure = failed_of(outcome)
                if outcome.reason == ErrorReason.ERROR_REASON_MODEL_RETIRED and call.model.successor:
                    item.failure.message += f" Its successor is {call.model.successor}."
            case Finished(kept=kept):
                if item.ref and None in kept:
                    return Pending(item.ref, after=POLL_PAUSE)
                _finish(item, outcome, kept)
        return outcome

    async def cancel(self, call: Call, item: Item) -> bool:
        """Stop a call that the provider has taken. Return whether the provider confirmed it."""
        outgoing = self.adapter.cancel(call, item.ref) if item.running else None
        return outgoing is not None and _is_confirmed(await self._send(outgoing, call))

    async def interrupt(self, call: Call, start: OpenStart) -> bool:
        """Stop a call that is not answered yet, and no other. Return whether it is over or confirmed as stopped."""
        halt = self.adapter.interrupt(call)
        if halt is None or not await self._is_worked_on(call, start):
            return False
        return call.index not in start.at_provider or _is_confirmed(await self._send(halt, call))

    async def _is_worked_on(self, call: Call, start: OpenStart) -> bool:
        """Whether an interrupt of the call reaches it alone, or it is over by now."""
        question = self.adapter.inquire(call)
        if question is None:
            return True
        for inquiry in range(_INQUIRIES):
            if inquiry:
                await self.sleep(1.0)
            reply = await self._send(question, call)
            if call.index not in start.at_provider:
                return True
            if isinstance(reply, Reply) and reply.status == 404:
                # A server that can't say so: what runs is this call, if it is the only one.
                return self.starts.at_provider(self.adapter.route) == 1
            if isinstance(reply, Reply) and 200 <= reply.status < 300 and self.adapter.works_on(call, reply):
                return True
        return False

    async def _exchange(self, call: Call, outgoing: Outgoing, start: OpenStart, previews: Previews) -> Outcome:
        keep = partial(self.results.keep, self.adapter, self.target)
        listener = Listener(self.adapter, call, keep, previews, self.sender.memory.receive)
        with start.sending(call):
            reply = await self.sender.send(self.adapter, self.target, outgoing, call.job_id, listener.read)
        if listener.reading:
            broken = reply if isinstance(reply, Failure) else None
            outcome = self._read(partial(listener.outcome, listener.reading, broken), _UNREADABLE)
            return await self._stored(call, outcome, RESULT_SECONDS)
        if isinstance(reply, Failure):
            return reply
        async with self.sender.memory.load(reply, call.tenant) as loaded:
            if 200 <= loaded.status < 300:
                outcome = self._read(partial(self.adapter.read_submit, call, loaded), _UNREADABLE)
                return await self._stored(call, outcome, RESULT_SECONDS)
            return self._read(partial(self.adapter.read_error, call, loaded), self.adapter.errors.lookup(loaded))

    async def _stored(self, call: Call, outcome: Outcome, seconds: float) -> Outcome:
        """Return a call's outcome without the bytes of its results: those are fetched and stored, for which a store
        that is away is waited for so many seconds.
        """
        if not isinstance(outcome, Finished):
            return outcome
        kept = await asyncio.gather(*(self._keep(call, found, seconds) for found in outcome.pictures))
        return replace(outcome, pictures=(), kept=tuple(kept))

    async def _send(self, outgoing: Outgoing, call: Call) -> Reply | Failure:
        """Send a request whose answer brings no results."""
        return await self.sender.send(self.adapter, self.target, outgoing, call.job_id, max_bytes=SMALL_BYTES)

    def _wait_out(self, call: Call, item: Item, state: str) -> None:
        """Give an unknown state its grace, then fail the call by the state's name."""
        _log.warning("upstream_state_unknown", route=self.adapter.route, state=state[:100], job_id=call.job_id)
        item.unknown_since = item.unknown_since or self.clock()
        if not item.ref or self.clock() - item.unknown_since > GRACE_SECONDS:
            unknown = bad_response(f"is in a state that this gateway does not know: {state[:60]}.")
            item.failure = failed_of(unknown)

    async def _keep(self, call: Call, found: Found, store_seconds: float) -> pb.Artifact | pb.Failed | None:
        """One result in the store, or why it can't be used; None when the store stayed away for so long."""
        try:
            return await self.results.keep(self.adapter, self.target, call, found, store_seconds=store_seconds)
        except StoreUnavailable:
            _log.exception("result_not_stored", route=self.adapter.route, job_id=call.job_id)
            return None
        except GatewayError as error:
            return failed_as(error, accepted=True)
        except Exception:  # noqa: BLE001  one result's trouble is no reason to lose the others, which are paid for
            _log.exception("result_crashed", route=self.adapter.route, job_id=call.job_id)
            return failed_of(_CRASHED)

    def _read(self, read: Callable[[], Outcome], unreadable: Outcome) -> Outcome:
        """What an answer says; `unreadable` for one that the adapter can't read, which is the provider's fault."""
        try:
            return read()
        except UNREADABLE as error:
            _log.warning("upstream_unreadable", route=self.adapter.route, error=repr(error)[:200])
            return unreadable


def _is_confirmed(reply: Reply | Failure) -> bool:
    """Return whether a provider says that it stops a call; an error leaves that open."""
    return isinstance(reply, Reply) and 200 <= reply.status < 300


def _finish(item: Item, outcome: Finished, kept: Sequence[pb.Artifact | pb.Failed | None]) -> None:
    """End an item whose results are stored, as far as they could be."""
    artifacts = [result for result in kept if isinstance(result, pb.Artifact)]
    lost = [result or failed_of(_NOT_STORED) for result in kept if not isinstance(result, pb.Artifact)]
    if lost and not artifacts:
        item.failure = lost[0]
        return
    missing = [*lost, *map(failed_of, outcome.missing)]
    item.done = pb.Done(
        artifacts=artifacts,
        missing=missing,
        usage=outcome.usage,
        cost=outcome.cost,
        svg_usage=outcome.svg_usage,
    )


_UNREADABLE: Final = bad_response("gave an answer that can't be read.")
"""To a call that may have been paid for."""
_GARBLED: Final = Unknown("unreadable")
"""To a poll: the task is paid for, and asking again costs nothing."""
_CRASHED: Final = Failure(INTERNAL.reason, INTERNAL.message, accepted=True)
_NOT_STORED: Final = Failure(INTERNAL.reason, "The media store stayed away; the result is lost.", accepted=True)
