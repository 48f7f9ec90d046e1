"""Provider calls for job records: builds the requests, and turns what breaks into states that can be written."""

from __future__ import annotations

from collections import Counter
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from cryptography.fernet import InvalidToken
from imagegateway.jobs import transitions
from imagegateway.jobs.provider_client import next_state
from imagegateway.platform import logs
from imagegateway.platform.errors import INTERNAL, GatewayError
from imagegateway.provider.v1 import provider_service_pb2 as provider
from imagegateway.providers.kit.task_state import failed_task
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.jobs.credentials import Credentials
    from imagegateway.jobs.provider_client import Families
    from imagegateway.jobs.stream import Entry

    OnPreview = Callable[[Entry, provider.Running], Awaitable[Entry]]

_POLL_CRASHES: Final = 5
"""Polls in a row that a fault of ours may break before the job fails."""
_OPEN_MILLISECONDS: Final = 900_000
"""How long after its deadline an ended job's start is waited for."""
_log = logs.get(__name__)


class Calls:
    """Start, poll and stop for job records."""

    def __init__(self, families: Families, credentials: Credentials) -> None:
        self._families = families
        self._credentials = credentials
        self._crashes: Counter[str] = Counter()

    async def start(
        self, entry: Entry, on_preview: OnPreview, *, join: bool, hand_back: bool
    ) -> tuple[Entry, provider.TaskState]:
        """Call the provider for a submitting job, or with `join` wait for a call that another process made.

        `on_preview` writes previews and returns the new entry. Return the newest entry and the state that the call
        came to. Raises TimeoutError at the job's deadline, and what `on_preview` raises.
        """
        record = entry.record
        if record.deadline < transitions.now() and not join:
            return entry, failed_task(transitions.too_late(record), may_be_billed=False)
        try:
            request = self._start_request(record, join=join, hand_back=hand_back)
        except InvalidToken:
            return entry, failed_task(_unreadable_key(record), may_be_billed=join)
        async with aclosing(self._families.start(record.family, request)) as states:
            while True:
                try:
                    state = await next_state(states, record.deadline)
                except TimeoutError:
                    raise
                except GatewayError as error:
                    accepted = error.reason == ErrorReason.ERROR_REASON_PROVIDER_OUTCOME_UNKNOWN
                    return entry, failed_task(error, may_be_billed=accepted)
                except Exception:  # noqa: BLE001  whatever happened, the job must end
                    _log.exception("job_start_crashed", job_id=record.id)
                    return entry, failed_task(INTERNAL, may_be_billed=True)
                if not transitions.on_its_way(state):
                    return entry, state
                entry = await on_preview(entry, state.running)

    async def joined(self, record: JobRecord) -> provider.TaskState:
        """Wait for the start of an ended job. Return an empty state where its end can't be known."""
        limit = max(record.deadline, transitions.now()) + _OPEN_MILLISECONDS
        try:
            request = self._start_request(record, join=True, hand_back=False)
            async with aclosing(self._families.start(record.family, request)) as states:
                while transitions.on_its_way(state := await next_state(states, limit)):
                    pass
        except Exception as error:  # noqa: BLE001  the job has ended; only its slots are at stake
            _log.warning("open_call_abandoned", job_id=record.id, error=type(error).__name__)
            return provider.TaskState()
        return state

    async def poll(self, record: JobRecord) -> provider.TaskState | None:
        """Return how a task stands; None when nobody could say."""
        try:
            request = provider.PollRequest(
                job_id=record.id,
                task_ref=record.task_ref,
                task=record.task,
                credential=self._credentials.of(record),
                tenant=record.tenant,
            )
            state = await self._families.poll(record.family, request)
        except InvalidToken:
            return failed_task(_unreadable_key(record), may_be_billed=True)
        except GatewayError as error:
            if error.reason != ErrorReason.ERROR_REASON_INTERNAL:
                return failed_task(error, may_be_billed=True)
        except Exception:  # noqa: BLE001  whatever happened, the job must end
            _log.exception("job_poll_crashed", job_id=record.id)
        else:
            self._crashes.pop(record.id, None)
            return state
        # The task is paid for: a passing fault of ours is no reason to lose it.
        self._crashes[record.id] += 1
        if self._crashes[record.id] < _POLL_CRASHES:
            return None
        del self._crashes[record.id]
        return failed_task(INTERNAL, may_be_billed=True)

    async def stop(self, record: JobRecord) -> bool:
        """Ask the provider to stop a task, or the start that is under way. Return whether it confirmed."""
        try:
            request = provider.CancelRequest(
                job_id=record.id,
                task_ref=record.task_ref,
                task=record.task,
                credential=self._credentials.of(record),
                tenant=record.tenant,
            )
        except InvalidToken:
            _log.error("provider_key_unreadable", job_id=record.id)
            return False
        return await self._families.cancel(record.family, request)

    def _start_request(self, record: JobRecord, *, join: bool, hand_back: bool) -> provider.StartRequest:
        """Raises InvalidToken."""
        return provider.StartRequest(
            job_id=record.id,
            task=record.task,
            credential=self._credentials.of(record),
            hand_back=hand_back,
            attempt=record.starts,
            join_only=join,
            tenant=record.tenant,
        )


def _unreadable_key(record: JobRecord) -> GatewayError:
    return GatewayError(
        ErrorReason.ERROR_REASON_INTERNAL,
        f"The gateway can't read the provider key of job {record.id}: its root secret has changed.",
    )
