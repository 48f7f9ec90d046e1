"""Call driver: submits, polls, settles and cancels single calls through their route's adapter."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeGuard

from imagegateway.media.store import StoreUnavailable
from imagegateway.media.store_retry import POLL_PAUSE, POLL_SECONDS, RESULT_SECONDS
from imagegateway.platform import logs
from imagegateway.platform.errors import INTERNAL, GatewayError
from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.providers.kit.error_table import Failure, bad_response
from imagegateway.providers.kit.http_messages import HttpResponse
from imagegateway.providers.kit.outcomes import PARSE_ERRORS, Finished, Pending, Unknown
from imagegateway.providers.kit.parallel import in_parallel
from imagegateway.providers.kit.response_stream import ResponseReader
from imagegateway.providers.kit.spooled_content import SMALL_BYTES
from imagegateway.providers.kit.task_state import failed_call, to_failed
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from imagegateway.providers.kit.adapter import Adapter
    from imagegateway.providers.kit.call import Call
    from imagegateway.providers.kit.endpoints import Endpoint
    from imagegateway.providers.kit.http_call import HttpSender
    from imagegateway.providers.kit.http_messages import HttpRequest
    from imagegateway.providers.kit.outcomes import Outcome, ResultMedia
    from imagegateway.providers.kit.response_stream import PartialImages
    from imagegateway.providers.kit.results import ResultStore
    from imagegateway.providers.kit.submission import ActiveStart, ActiveStarts, Submitter
    from imagegateway.providers.kit.task_state import CallState

GRACE_SECONDS: Final = 30.0
"""Time that an unknown state may last before the call fails."""
_MAX_INQUIRIES: Final = 5
"""Most inquiries, a second apart, whether a server works on the call that is to be interrupted."""
_RETRY_POLL_SECONDS: Final = 5.0
"""Interval until the next poll after one without a response."""
_log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class CallDriver:
    """Driver of one route's calls with one key. `clock` returns Unix seconds."""

    adapter: Adapter
    endpoint: Endpoint
    sender: HttpSender
    results: ResultStore
    submitter: Submitter
    starts: ActiveStarts
    clock: Callable[[], float]
    sleep: Callable[[float], Any]

    async def submit(
        self, call: Call, request: HttpRequest, start: ActiveStart, partial_images: PartialImages, max_attempts: int
    ) -> Outcome:
        """Send a call, and return its outcome.

        A fault of the gateway fails this call alone: the results of the task's other calls are paid for.
        """
        send = partial(self._exchange, call, request, start, partial_images)
        try:
            return await self.submitter.submit(
                send, start=start, route=self.adapter.route, key=self.endpoint.key, max_attempts=max_attempts
            )
        except Exception:  # noqa: BLE001  logged, and reported as INTERNAL
            _log.exception("call_crashed", route=self.adapter.route, job_id=call.job_id)
            return _CRASHED

    async def poll(self, call: Call, state: CallState) -> Outcome:
        """Return the present outcome of a call. A fault of the gateway counts as an unreadable response."""
        if not state.is_running:
            return Pending(state.ref)
        try:
            return await self._poll(call, state)
        except Exception:  # noqa: BLE001  the task is paid for, and so are the others
            _log.exception("poll_crashed", route=self.adapter.route, job_id=call.job_id)
            return _UNREADABLE_POLL

    async def _poll(self, call: Call, state: CallState) -> Outcome:
        request = self.adapter.poll(call, state.ref)
        response = await self.sender.send(self.adapter, self.endpoint, request, call.job_id)
        if isinstance(response, Failure):
            if response.reason == ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE:
                return response  # the guard refuses the poll's address, and always will
            # A poll is free and says nothing of the task; the job's deadline bounds the polls.
            return Pending(state.ref, after=_RETRY_POLL_SECONDS)
        async with self.sender.spool.load(response, call.tenant) as loaded:
            if loaded.is_success:
                outcome = self._parse(partial(self.adapter.read_poll, call, state.ref, loaded), _UNREADABLE_POLL)
                return await self._store_results(call, outcome, POLL_SECONDS, loaded.media)
            outcome = self._parse(partial(self.adapter.read_poll_error, call, state.ref, loaded), _UNREADABLE_POLL)
            # The provider accepted the task before it refused the poll.
            return replace(outcome, may_be_billed=True) if isinstance(outcome, Failure) else outcome

    def settle(self, call: Call, state: CallState, outcome: Outcome) -> Outcome:
        """Apply an outcome to a call's state, and return the outcome.

        A task whose results the store did not accept stays pending.
        """
        if not state.is_running:
            return outcome
        match outcome:
            case Pending(ref=ref, progress=progress):
                state.ref, state.unknown_since = ref, 0.0
                state.record_progress(progress, self.clock())
            case Unknown(state=name):
                self._record_unknown(call, state, name)
            case Failure():
                state.failure = failed_call(outcome)
                if outcome.reason == ErrorReason.ERROR_REASON_MODEL_RETIRED and call.model.successor:
                    state.failure.message += f" Its successor is {call.model.successor}."
            case Finished(stored=stored):
                if state.ref and None in stored:
                    return Pending(state.ref, after=POLL_PAUSE)
                _finish(state, outcome, stored)
        return outcome

    async def cancel(self, call: Call, state: CallState) -> bool:
        """Stop a call that the provider accepted. Return whether the provider confirmed that."""
        request = self.adapter.cancel(call, state.ref) if state.is_running else None
        return request is not None and _is_confirmed(await self._send(request, call))

    async def interrupt(self, call: Call, start: ActiveStart) -> bool:
        """Stop a call without a response yet, and no other. Return whether the call has ended or certainly stops."""
        request = self.adapter.interrupt(call)
        if request is None or not await self._is_interruptible(call, start):
            return False
        return call.index not in start.at_provider or _is_confirmed(await self._send(request, call))

    async def _is_interruptible(self, call: Call, start: ActiveStart) -> bool:
        """Return whether an interrupt reaches this call alone, or the call has ended by now."""
        inquiry = self.adapter.inquire(call)
        if inquiry is None:
            return True
        for attempt in range(_MAX_INQUIRIES):
            if attempt:
                await self.sleep(1.0)
            response = await self._send(inquiry, call)
            if call.index not in start.at_provider:
                return True
            if isinstance(response, HttpResponse) and response.status == 404:
                # The server has no such query: it works on this call if the call is the only one.
                return self.starts.at_provider(self.adapter.route) == 1
            if _is_confirmed(response) and self.adapter.is_working_on(call, response):
                return True
        return False

    async def _exchange(
        self, call: Call, request: HttpRequest, start: ActiveStart, partial_images: PartialImages
    ) -> Outcome:
        """Send a call once, and return its outcome."""
        store = partial(self.results.save, self.adapter, self.endpoint)
        reader = ResponseReader(self.adapter, call, store, partial_images, self.sender.spool.receive)
        with start.sending(call):
            response = await self.sender.send(self.adapter, self.endpoint, request, call.job_id, reader.read)
        if reader.decoder:
            error = response if isinstance(response, Failure) else None
            outcome = self._parse(partial(reader.outcome, reader.decoder, error), _UNREADABLE_SUBMIT)
            return await self._store_results(call, outcome, RESULT_SECONDS, {})
        if isinstance(response, Failure):
            return response
        async with self.sender.spool.load(response, call.tenant) as loaded:
            if loaded.is_success:
                outcome = self._parse(partial(self.adapter.read_submit, call, loaded), _UNREADABLE_SUBMIT)
                return await self._store_results(call, outcome, RESULT_SECONDS, loaded.media)
            return self._parse(partial(self.adapter.read_error, call, loaded), self.adapter.errors.lookup(loaded))

    async def _store_results(
        self, call: Call, outcome: Outcome, seconds: float, media: Mapping[bytes, bytes]
    ) -> Outcome:
        """Return a call's outcome with its results stored, without their bytes. `media`: results by their markers.

        An unavailable store is retried for `seconds`.
        """
        if not isinstance(outcome, Finished):
            return outcome
        results = (
            replace(result, data=media.get(result.data, result.data)) if result.data else result
            for result in outcome.results
        )
        stored = await in_parallel(self._store(call, result, seconds) for result in results)
        return replace(outcome, results=(), stored=tuple(stored))

    async def _send(self, request: HttpRequest, call: Call) -> HttpResponse | Failure:
        """Send a request whose response holds no results."""
        return await self.sender.send(self.adapter, self.endpoint, request, call.job_id, max_bytes=SMALL_BYTES)

    def _record_unknown(self, call: Call, state: CallState, name: str) -> None:
        """Record an unknown state, and fail the call by the state's name once the grace period is over."""
        _log.warning("upstream_state_unknown", route=self.adapter.route, state=name[:100], job_id=call.job_id)
        state.unknown_since = state.unknown_since or self.clock()
        if not state.ref or self.clock() - state.unknown_since > GRACE_SECONDS:
            unknown = bad_response(f"is in a state that this gateway does not know: {name[:60]}.")
            state.failure = failed_call(unknown)

    async def _store(self, call: Call, result: ResultMedia, store_seconds: float) -> pb.Artifact | pb.Failed | None:
        """Return one stored result, or the failure of an unusable one; None: the store stayed unavailable."""
        try:
            return await self.results.save(self.adapter, self.endpoint, call, result, store_seconds=store_seconds)
        except StoreUnavailable:
            _log.exception("result_not_stored", route=self.adapter.route, job_id=call.job_id)
            return None
        except GatewayError as error:
            return to_failed(error, may_be_billed=True)
        except Exception:  # noqa: BLE001  one result's fault must not lose the others, which are paid for
            _log.exception("result_crashed", route=self.adapter.route, job_id=call.job_id)
            return failed_call(_CRASHED)

    def _parse(self, parse: Callable[[], Outcome], unreadable: Outcome) -> Outcome:
        """Return the parsed outcome; `unreadable` where the adapter can't parse the response."""
        try:
            return parse()
        except PARSE_ERRORS as error:
            _log.warning("upstream_unreadable", route=self.adapter.route, error=repr(error)[:200])
            return unreadable


def _is_confirmed(response: HttpResponse | Failure) -> TypeGuard[HttpResponse]:
    """Return whether a provider confirmed a request; after an error the effect is unknown."""
    return isinstance(response, HttpResponse) and response.is_success


def _finish(state: CallState, outcome: Finished, stored: Sequence[pb.Artifact | pb.Failed | None]) -> None:
    """End a call by its stored results; without any of them the call has failed."""
    artifacts = [result for result in stored if isinstance(result, pb.Artifact)]
    lost = [result or failed_call(_NOT_STORED) for result in stored if not isinstance(result, pb.Artifact)]
    if lost and not artifacts:
        state.failure = lost[0]
        return
    state.done = pb.Done(
        artifacts=artifacts,
        missing=[*lost, *map(failed_call, outcome.missing)],
        usage=outcome.usage,
        cost=outcome.cost,
        svg_usage=outcome.svg_usage,
        billed_missing=outcome.billed_missing,
    )


_UNREADABLE_SUBMIT: Final = bad_response("gave an answer that can't be read.")
_UNREADABLE_POLL: Final = Unknown("unreadable")
"""The task is paid for and polls are free, so the grace period of unknown states applies."""
_CRASHED: Final = Failure(INTERNAL.reason, INTERNAL.message, may_be_billed=True)
_NOT_STORED: Final = Failure(
    INTERNAL.reason, "The media store stayed unavailable; the result is lost.", may_be_billed=True
)
