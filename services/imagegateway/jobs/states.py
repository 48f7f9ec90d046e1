"""Job states and the transitions between them, as data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from imagegateway.job.v1.job_record_pb2 import JobRecord

if TYPE_CHECKING:
    from collections.abc import Mapping

State = JobRecord.State
QUEUED: Final = JobRecord.STATE_QUEUED
SUBMITTING: Final = JobRecord.STATE_SUBMITTING
RUNNING: Final = JobRecord.STATE_RUNNING
COMPLETED: Final = JobRecord.STATE_COMPLETED
FAILED: Final = JobRecord.STATE_FAILED
CANCELLED: Final = JobRecord.STATE_CANCELLED
REROUTED: Final = JobRecord.STATE_REROUTED

TERMINAL: Final = frozenset({COMPLETED, FAILED, CANCELLED})
ACTIVE: Final = frozenset({SUBMITTING, RUNNING})
"""States in which a job holds slots."""
WAITING: Final = frozenset({QUEUED, REROUTED})
"""States in which a job waits for slots."""

NEXT: Final[Mapping[JobRecord.State.ValueType, frozenset[JobRecord.State.ValueType]]] = {
    # A new job may start at once. It is cancelled where its caller got an error for the write.
    JobRecord.STATE_UNSPECIFIED: frozenset({QUEUED, SUBMITTING, CANCELLED}),
    QUEUED: frozenset({QUEUED, SUBMITTING, FAILED, CANCELLED}),  # to itself: takeover
    SUBMITTING: frozenset({SUBMITTING, REROUTED, RUNNING, COMPLETED, FAILED, CANCELLED}),  # to itself: next attempt
    REROUTED: frozenset({REROUTED, SUBMITTING, FAILED, CANCELLED}),  # as QUEUED
    RUNNING: frozenset({RUNNING, COMPLETED, FAILED, CANCELLED}),  # to itself: progress, takeover
    # Later records of an ended job update its webhook and its provider call only.
    COMPLETED: frozenset({COMPLETED}),
    FAILED: frozenset({FAILED}),
    CANCELLED: frozenset({CANCELLED}),
}
"""Allowed transitions."""

PUBLIC: Final[Mapping[JobRecord.State.ValueType, str]] = {
    QUEUED: "queued",
    SUBMITTING: "running",
    REROUTED: "running",  # the public state never goes back to queued
    RUNNING: "running",
    COMPLETED: "completed",
    FAILED: "failed",
    CANCELLED: "cancelled",
}
"""Job status in the public API."""


class IllegalTransitionError(Exception):
    """A transition outside the table: a bug in the gateway."""


def check(before: JobRecord.State.ValueType, after: JobRecord.State.ValueType) -> None:
    """Raise IllegalTransitionError unless the transition is allowed."""
    if after not in NEXT[before]:
        raise IllegalTransitionError(f"{JobRecord.State.Name(before)} to {JobRecord.State.Name(after)}")


def token(state: JobRecord.State.ValueType) -> str:
    """Return the state's token in stream subjects."""
    return JobRecord.State.Name(state).removeprefix("STATE_").lower()
