"""The job's state machine, as data. Nothing else decides what may follow what."""

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
"""States that take up a place at the provider."""
WAITING: Final = frozenset({QUEUED, REROUTED})
"""States that wait for one."""

NEXT: Final[Mapping[JobRecord.State.ValueType, frozenset[JobRecord.State.ValueType]]] = {
    # A new job; it may start at once, and it never runs when its caller was told that it was not written.
    JobRecord.STATE_UNSPECIFIED: frozenset({QUEUED, SUBMITTING, CANCELLED}),
    QUEUED: frozenset({QUEUED, SUBMITTING, FAILED, CANCELLED}),  # itself: another replica takes it over
    SUBMITTING: frozenset({SUBMITTING, REROUTED, RUNNING, COMPLETED, FAILED, CANCELLED}),  # itself: one more attempt
    REROUTED: frozenset({REROUTED, SUBMITTING, FAILED, CANCELLED}),  # as QUEUED
    RUNNING: frozenset({RUNNING, COMPLETED, FAILED, CANCELLED}),  # itself: progress, another replica
    # An ended job changes no more; what is written on is the bookkeeping of its webhook.
    COMPLETED: frozenset({COMPLETED}),
    FAILED: frozenset({FAILED}),
    CANCELLED: frozenset({CANCELLED}),
}

PUBLIC: Final[Mapping[JobRecord.State.ValueType, str]] = {
    QUEUED: "queued",
    SUBMITTING: "running",
    REROUTED: "running",  # for callers a job never goes back
    RUNNING: "running",
    COMPLETED: "completed",
    FAILED: "failed",
    CANCELLED: "cancelled",
}
"""What callers see."""


class IllegalTransitionError(Exception):
    """A transition that the table does not have: a fault of ours."""


def check(before: JobRecord.State.ValueType, after: JobRecord.State.ValueType) -> None:
    """Raises IllegalTransitionError."""
    if after not in NEXT[before]:
        raise IllegalTransitionError(f"{JobRecord.State.Name(before)} to {JobRecord.State.Name(after)}")


def token(state: JobRecord.State.ValueType) -> str:
    """The state in a subject of the stream."""
    return JobRecord.State.Name(state).removeprefix("STATE_").lower()
