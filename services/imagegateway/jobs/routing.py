"""Which route serves a job: the next one where the present one took nothing; and what calls teach about routes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from imagegateway.jobs import states, transitions
from imagegateway.platform import logs

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.jobs.admission import Turns
    from imagegateway.jobs.circuit_breaker import Health
    from imagegateway.jobs.credentials import Credentials
    from imagegateway.provider.v1 import provider_service_pb2 as provider
    from imagegateway.providers.catalog import Route

    Fallback = Callable[[provider.ImageTask, Callable[[str], bool], Collection[str]], Route | None]

_log = logs.get(__name__)


class Routing:
    """`fallback` gives the route after a task's present one, leaving out those that its second argument tells to; the
    third names the routes that the tenant stored keys for.
    """

    def __init__(self, fallback: Fallback, health: Health, turns: Turns, credentials: Credentials) -> None:
        self._fallback = fallback
        self._health = health
        self._turns = turns
        self._credentials = credentials

    def next(self, record: JobRecord) -> Route | None:
        """The route that may serve if the present one takes nothing; a key that comes along is for one only."""
        if record.sealed_credential:
            return None
        set_aside = partial(self._health.set_aside, record.tenant, record.task.model)
        return self._fallback(record.task, set_aside, record.sealed_keys)

    def begin_anew(self, record: JobRecord, failure: provider.Failed) -> bool:
        """Make of a failed start one more, where that costs nothing: by the next route, at once if a place of its is
        free, or else by the same one. False: there is no other way, the job has failed.
        """
        route = self.next(record) if transitions.may_fall_back(record, failure) else None
        if route is None:
            if not transitions.may_repeat(record, failure):
                return False
            transitions.submitting(record)
            return True
        _log.info("route_left", job_id=record.id, route=record.task.route, next=route.name)
        record.task.route = route.name
        record.repeatable = route.idempotent
        record.places = route.slots(record.task.n)
        record.account = self._credentials.account(record, route)
        if self._turns.enter(record):
            transitions.submitting(record)
        else:
            transitions.rerouted(record)
        return True

    def worked(self, record: JobRecord) -> None:
        """A call was taken, or has brought something."""
        if not transitions.own_key(record):
            self._health.worked(record.task.model, record.task.route)

    def failed(self, record: JobRecord, failure: provider.Failed) -> None:
        """A caller's own key, and a job that was not begun, say nothing of the route."""
        if not transitions.own_key(record) and record.state not in states.WAITING:
            self._health.failed(record.tenant, record.task.model, record.task.route, failure)
