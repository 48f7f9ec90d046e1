"""Fallback of a job to the model's next route, and the outcomes that circuit breakers count."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from imagegateway.jobs import states, transitions
from imagegateway.platform import logs

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.jobs.admission import AdmissionControl
    from imagegateway.jobs.circuit_breaker import CircuitBreakers
    from imagegateway.jobs.credentials import JobCredentials
    from imagegateway.provider.v1 import provider_service_pb2 as provider
    from imagegateway.providers.catalog import Route

    Fallback = Callable[[provider.ImageTask, Callable[[str], bool], Collection[str]], Route | None]

_log = logs.get(__name__)


class RouteFallback:
    """Chooses a job's next route and counts its outcomes.

    `fallback` returns the route after a task's current one. Its second argument returns whether to avoid a route, its
    third names the routes with stored keys of the tenant.
    """

    def __init__(
        self, fallback: Fallback, breakers: CircuitBreakers, admission: AdmissionControl, credentials: JobCredentials
    ) -> None:
        self._fallback = fallback
        self._breakers = breakers
        self._admission = admission
        self._credentials = credentials

    def next_route(self, record: JobRecord) -> Route | None:
        """Return the route that may serve if the current one fails. A key of the call binds the job to one route."""
        if record.sealed_credential:
            return None
        avoid = partial(self._breakers.is_open, record.tenant, record.task.model)
        return self._fallback(record.task, avoid, record.sealed_keys)

    def start_again(self, record: JobRecord, failure: provider.Failed) -> bool:
        """Prepare one more start of a failed job where that costs nothing. Return whether there is one.

        The next route starts the job at once if it has free slots, else the job waits as rerouted. Without a next
        route, the current one repeats a start that is free to repeat.
        """
        route = self.next_route(record) if transitions.may_fall_back(record, failure) else None
        if route is None:
            if not transitions.may_repeat(record, failure):
                return False
            transitions.mark_submitting(record)
            return True
        _log.info("job_rerouted", job_id=record.id, route=record.task.route, next=route.name)
        record.task.route = route.name
        record.repeatable = route.idempotent
        record.slots = route.slots(record.task.n)
        record.key_fingerprint = self._credentials.account(record, route)
        if self._admission.try_reserve(record):
            transitions.mark_submitting(record)
        else:
            transitions.mark_rerouted(record)
        return True

    def record_success(self, record: JobRecord) -> None:
        """Count a call that the provider accepted or that made progress."""
        if not transitions.caller_key(record):
            self._breakers.record_success(record.task.model, record.task.route)

    def record_failure(self, record: JobRecord, failure: provider.Failed) -> None:
        """Count a failure, unless it concerns a caller's own key or a job without a provider call."""
        if not transitions.caller_key(record) and record.state not in states.WAITING:
            self._breakers.record_failure(record.tenant, record.task.model, record.task.route, failure)
