"""Ports: protocols of the job engine's parts, each with only the methods that an operation needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from contextlib import AbstractAsyncContextManager

    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.jobs.idempotency import IdempotencyClaim
    from imagegateway.jobs.list_query import Page, Query
    from imagegateway.jobs.stream import Entry
    from imagegateway.jobs.usage.query import Report, UsageQuery
    from imagegateway.platform.errors import UnavailableError
    from imagegateway.providers.catalog import Route


class JobSubmitter(Protocol):
    """Writer of new jobs."""

    async def submit(self, record: JobRecord, *, has_idempotency_key: bool = False) -> Entry:
        """Write a new job and return it. Raises GatewayError, StaleError when the id is taken."""
        ...


class BudgetView(Protocol):
    """View of budgets."""

    def left(self, record: JobRecord) -> int | None:
        """Return the rest of the smaller budget of a job's key and tenant, in nano-dollars; None without a budget."""
        ...

    async def check(self, record: JobRecord) -> None:
        """Raise GatewayError BUDGET_EXCEEDED or PRICE_UNKNOWN for a job that its budgets would refuse now.

        Raises UnavailableError.
        """
        ...


class JobCanceller(Protocol):
    """Cancellation of jobs."""

    def cancel(self, entry: Entry) -> Coroutine[Any, Any, Entry]:
        """Cancel a job; return one that has ended unchanged. Raises OutcomeUnknownError."""
        ...


class JobEraser(Protocol):
    """Erasure of jobs."""

    def erase(self, entry: Entry) -> Coroutine[Any, Any, Entry]:
        """Erase an ended job. Raises OutcomeUnknownError, UnavailableError."""
        ...


class JobReader(Protocol):
    """Reader of jobs in the stream."""

    async def last(self, job_id: str) -> Entry | None:
        """Return the newest record of a job, or None. Raises OutcomeUnknownError."""
        ...


class IdempotencyClaims(Protocol):
    """Claims of idempotency keys for jobs."""

    async def claim(self, tenant: str, key: str, job_id: str, digest: str) -> IdempotencyClaim:
        """Return the claim of a tenant's key: a new one for `job_id`, or the first one. Raises GatewayError."""
        ...


class JobLister(Protocol):
    """List of the ids of jobs."""

    async def page(self, query: Query) -> Page:
        """Return one page of ids. Raises GatewayError for a bad filter or token."""
        ...


class FeedSync(Protocol):
    """Synchronisation of this replica's feed with the stream."""

    async def catch_up(self) -> None:
        """Wait until this replica has seen every write made before the call. Raises OutcomeUnknownError."""
        ...


class JobWatcher(Protocol):
    """Subscriptions to changes of jobs."""

    def changes(
        self, job_id: str, after: int | None, quiet: float | None = None, *, patient: bool = False
    ) -> AsyncIterator[Entry | None]:
        """Yield a job's changes after a sequence, or its present state first, up to its end.

        Yield None after each `quiet` seconds without a change. `patient`: go on for some time when this replica
        stops. Raises TooSlowError, ClosingError, OutcomeUnknownError.
        """
        ...

    async def when(self, job_id: str, wanted: Callable[[Entry], bool], seconds: float) -> Entry | None:
        """Return the job as soon as `wanted` accepts it, or None after `seconds`. Raises OutcomeUnknownError."""
        ...

    async def ended(self, job_id: str, seconds: float) -> Entry | None:
        """Return the job as soon as it has ended, or None after `seconds`. Raises OutcomeUnknownError."""
        ...


class QueuePositions(Protocol):
    """Positions in the queue of this replica."""

    def position(self, record: JobRecord) -> int | None:
        """Return the number of jobs ahead of a queued one, or None for any other job."""
        ...


class ReadinessGate(Protocol):
    """Readiness of the parts that jobs need."""

    def require(self) -> None:
        """Raise UnavailableError when a part does not serve."""
        ...

    def has_outage(self) -> bool:
        """Return True when a part has been away too long for calls to wait."""
        ...

    def unless_outage(self) -> AbstractAsyncContextManager[None]:
        """Return a context that cancels its body in an outage, and raises its UnavailableError."""
        ...

    async def outage(self) -> UnavailableError:
        """Wait until `has_outage`, and return the reason."""
        ...


class CredentialSealer(Protocol):
    """Encryption of provider keys for job records."""

    def seal(self, key: str) -> bytes:
        """Return an encrypted key."""
        ...

    def account(self, record: JobRecord, route: Route) -> str:
        """Return the fingerprint of the provider account that a job uses on `route`; empty: the operator's."""
        ...


class UsageReader(Protocol):
    """Reader of usage."""

    async def report(self, query: UsageQuery) -> Report:
        """Return a page of a report. Raises GatewayError."""
        ...


class WebhookRedeliverer(Protocol):
    """Redelivery of webhooks."""

    def redeliver(self, entry: Entry) -> Coroutine[Any, Any, Entry]:
        """Make an ended job's webhook due now. Raises OutcomeUnknownError."""
        ...
