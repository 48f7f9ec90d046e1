"""Which route serves a job: the next one where the present one took nothing; and what calls teach about routes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.common import logs
from services.jobs import outcome, states

if TYPE_CHECKING:
    from collections.abc import Callable

    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.provider.v1 import provider_service_pb2 as provider

    from services.common.catalog import Route
    from services.jobs.health import Health
    from services.jobs.turns import Turns

    Fallback = Callable[[provider.ImageTask, Callable[[str], bool]], Route | None]

_log = logs.get(__name__)


class Routing:
    """`fallback` gives the route after a task's present one, leaving out those that its second argument tells to."""

    def __init__(self, fallback: Fallback, health: Health, turns: Turns) -> None:
        self._fallback = fallback
        self._health = health
        self._turns = turns

    def next(self, record: JobRecord) -> Route | None:
        """The route that may serve if the present one takes nothing; a caller's own key is for one route only."""
        return None if record.sealed_credential else self._fallback(record.task, self._health.set_aside)

    def begin_anew(self, record: JobRecord, failure: provider.Failed) -> bool:
        """Make of a failed start one more, where that costs nothing: by the next route, at once if a place of its is
        free, or else by the same one. False: there is no other way, the job has failed.
        """
        route = self.next(record) if outcome.may_fall_back(record, failure) else None
        if route is None:
            if not outcome.may_repeat(record, failure):
                return False
            outcome.submitting(record)
            return True
        _log.info("route_left", job_id=record.id, route=record.task.route, next=route.name)
        record.task.route = route.name
        record.repeatable = route.repeatable
        record.places = route.places(record.task.n)
        if self._turns.enter(record):
            outcome.submitting(record)
        else:
            outcome.rerouted(record)
        return True

    def worked(self, record: JobRecord) -> None:
        """A call was taken, or has brought something."""
        if not record.sealed_credential:
            self._health.worked(record.task.route)

    def failed(self, record: JobRecord, failure: provider.Failed) -> None:
        """A caller's own key, and a job that was not begun, say nothing of the route."""
        if not record.sealed_credential and record.state not in states.WAITING:
            self._health.failed(record.task.route, failure)
