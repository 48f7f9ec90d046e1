"""Provider calls for job records: builds requests, and turns errors into task states."""

from __future__ import annotations

from collections import Counter
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from cryptography.fernet import InvalidToken
from imagegateway.jobs import job_trace, transitions
from imagegateway.jobs.provider_client import next_state
from imagegateway.platform import logs
from imagegateway.platform.clock import unix_millis
from imagegateway.platform.errors import INTERNAL, GatewayError
from imagegateway.provider.v1 import provider_service_pb2 as provider
from imagegateway.providers.kit.task_state import failed_task, outcome_unknown
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.jobs.credentials import JobCredentials
    from imagegateway.jobs.provider_client import ProviderClient
    from imagegateway.jobs.stream import Entry

    OnPartialImage = Callable[[Entry, provider.Running], Awaitable[Entry]]

_POLL_CRASHES: Final = 5
"""Consecutive polls broken by a bug of the gateway after which the job fails."""
_OPEN_CALL_MILLIS: Final = 900_000
"""Time after its deadline for which an ended job's start is awaited."""
_log = logs.get(__name__)


class JobCalls:
    """Starts, polls and stops the provider tasks of jobs."""

    def __init__(self, provider_client: ProviderClient, credentials: JobCredentials) -> None:
        self._client = provider_client
        self._credentials = credentials
        self._crashes: Counter[str] = Counter()

    async def start(
        self, entry: Entry, on_partial_image: OnPartialImage, *, join: bool, fail_fast: bool
    ) -> tuple[Entry, provider.TaskState]:
        """Call the provider for a submitting job, or with `join` wait for a call that another process made.

        `on_partial_image` writes partial images and returns the new entry. Return the newest entry and the final
        state of the call. Raises TimeoutError at the job's deadline, and what `on_partial_image` raises.
        """
        record = entry.record
        if record.deadline < unix_millis() and not join:
            return entry, failed_task(transitions.deadline_error(record), may_be_billed=False)
        try:
            request = self._start_request(record, join=join, fail_fast=fail_fast)
        except InvalidToken:
            return entry, failed_task(_unreadable_key(record), may_be_billed=join)
        async with aclosing(self._client.start(record.family, request, job_trace.metadata(record))) as states:
            while True:
                try:
                    state = await next_state(states, record.deadline)
                except TimeoutError:
                    raise
                except GatewayError as error:
                    unknown = error.reason == ErrorReason.ERROR_REASON_PROVIDER_OUTCOME_UNKNOWN
                    return entry, failed_task(error, may_be_billed=unknown)
                except Exception:  # noqa: BLE001  the job must end after any error
                    _log.exception("job_start_crashed", job_id=record.id)
                    return entry, failed_task(INTERNAL, may_be_billed=True)
                if not transitions.has_only_partial_images(state):
                    return entry, state
                entry = await on_partial_image(entry, state.running)

    async def join(self, record: JobRecord) -> provider.TaskState:
        """Wait for the start of an ended job, and return its final state."""
        limit = max(record.deadline, unix_millis()) + _OPEN_CALL_MILLIS
        try:
            request = self._start_request(record, join=True, fail_fast=False)
            async with aclosing(self._client.start(record.family, request, job_trace.metadata(record))) as states:
                while transitions.has_only_partial_images(state := await next_state(states, limit)):
                    pass
        except Exception as error:  # noqa: BLE001  the job has ended; the call only holds its slots
            _log.warning("open_call_abandoned", job_id=record.id, error=type(error).__name__)
            return outcome_unknown()
        return state

    async def poll(self, record: JobRecord) -> provider.TaskState | None:
        """Return the state of a job's task; None where the poll gave none and is to be repeated."""
        try:
            request = provider.PollRequest(
                job_id=record.id,
                task_ref=record.task_ref,
                task=record.task,
                credential=self._credentials.open(record),
                tenant=record.tenant,
            )
            state = await self._client.poll(record.family, request, job_trace.metadata(record))
        except InvalidToken:
            return failed_task(_unreadable_key(record), may_be_billed=True)
        except GatewayError as error:
            if error.reason != ErrorReason.ERROR_REASON_INTERNAL:
                return failed_task(error, may_be_billed=True)
        except Exception:  # noqa: BLE001  the job must end after any error
            _log.exception("job_poll_crashed", job_id=record.id)
        else:
            self._crashes.pop(record.id, None)
            return state
        # The task is billed already, so a passing fault of the gateway must not lose it.
        self._crashes[record.id] += 1
        if self._crashes[record.id] < _POLL_CRASHES:
            return None
        del self._crashes[record.id]
        return failed_task(INTERNAL, may_be_billed=True)

    async def stop(self, record: JobRecord) -> bool:
        """Ask the provider to stop a job's task, or its start in progress. Return whether it confirmed."""
        try:
            request = provider.CancelRequest(
                job_id=record.id,
                task_ref=record.task_ref,
                task=record.task,
                credential=self._credentials.open(record),
                tenant=record.tenant,
            )
        except InvalidToken:
            _log.error("provider_key_unreadable", job_id=record.id)
            return False
        return await self._client.cancel(record.family, request, job_trace.metadata(record))

    def _start_request(self, record: JobRecord, *, join: bool, fail_fast: bool) -> provider.StartRequest:
        """Return the request of a job's current attempt. Raises InvalidToken."""
        return provider.StartRequest(
            job_id=record.id,
            task=record.task,
            credential=self._credentials.open(record),
            fail_fast=fail_fast,
            attempt=record.attempt,
            join_only=join,
            tenant=record.tenant,
        )


def _unreadable_key(record: JobRecord) -> GatewayError:
    return GatewayError(
        ErrorReason.ERROR_REASON_INTERNAL,
        f"The gateway can't read the provider key of job {record.id}: its root secret has changed.",
    )
