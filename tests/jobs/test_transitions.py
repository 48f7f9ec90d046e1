"""Transitions of records: which failures another start may follow, and which secrets and costs an ended job keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from imagegateway.jobs import states, transitions
from imagegateway.v1.error_reason_pb2 import ErrorReason
from imagegateway.v1.job_pb2 import Cost

from tests.jobs import records

if TYPE_CHECKING:
    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.provider.v1 import provider_service_pb2 as provider

UNAVAILABLE = ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE
UNKNOWN = ErrorReason.ERROR_REASON_PROVIDER_OUTCOME_UNKNOWN
COST = Cost(amount=0.5, currency="USD")


def failure(reason: ErrorReason.ValueType, *, may_be_billed: bool = False) -> provider.Failed:
    return records.refused(reason, may_be_billed=may_be_billed).failed


def job(state: records.StateValue = states.SUBMITTING, **fields: object) -> JobRecord:
    """Return a record with a caller's inputs; `fields` replace its own."""
    record = records.job(state=state)
    record.task.inputs.add()
    for name, value in fields.items():
        setattr(record, name, value)
    return record


def test_job_falls_back_only_after_a_failure_that_certainly_cost_nothing() -> None:
    assert transitions.may_fall_back(job(), failure(UNAVAILABLE))
    assert not transitions.may_fall_back(job(), failure(UNAVAILABLE, may_be_billed=True))
    assert not transitions.may_fall_back(job(states.RUNNING), failure(UNAVAILABLE)), "the provider took the task"
    assert not transitions.may_fall_back(job(sealed_credential=b"key"), failure(UNAVAILABLE)), "the key names a route"
    for reason in (ErrorReason.ERROR_REASON_MODERATION_BLOCKED, UNKNOWN):
        assert not transitions.may_fall_back(job(), failure(reason))


def test_start_with_an_unknown_outcome_is_repeated_only_where_that_costs_nothing() -> None:
    last = transitions.MAX_ATTEMPTS
    assert transitions.may_repeat(job(repeatable=True, attempt=last - 1), failure(UNKNOWN, may_be_billed=True))
    assert not transitions.may_repeat(job(repeatable=True, attempt=last), failure(UNKNOWN))
    assert not transitions.may_repeat(job(), failure(UNKNOWN))
    assert not transitions.may_repeat(job(states.RUNNING, repeatable=True), failure(UNKNOWN))
    assert not transitions.may_repeat(job(repeatable=True), failure(UNAVAILABLE))


@pytest.mark.parametrize("state", sorted(states.ACTIVE | states.WAITING))
def test_cancelled_job_keeps_its_key_only_while_its_call_is_open(state: records.StateValue) -> None:
    record = job(state, sealed_credential=b"key")
    transitions.mark_cancelled(record)
    is_open = state in states.ACTIVE
    assert (record.call_open, bool(record.sealed_credential), bool(record.task.inputs)) == (is_open,) * 3
    never_started = job(state, sealed_credential=b"key")
    transitions.mark_cancelled(never_started, is_started=False)
    assert (never_started.call_open, never_started.sealed_credential) == (False, b"")


def test_closed_call_costs_once_and_erases_its_secrets() -> None:
    record = job(sealed_credential=b"key", key_fingerprint="print", drop_prompts=True)
    record.sealed_keys["local"] = b"stored"
    transitions.mark_failed(record, failure(UNKNOWN), call_open=True)
    assert record.task.prompt
    assert transitions.close_call(record, COST)
    assert (record.cost, record.call_open) == (COST, False)
    assert (record.sealed_credential, dict(record.sealed_keys), record.key_fingerprint) == (b"", {}, "")
    assert (record.task.prompt, len(record.task.inputs)) == ("", 0)
    assert not transitions.close_call(record, Cost(amount=9, currency="USD")), "the job has its cost"
    assert record.cost == COST


def test_closed_call_without_a_cost_needs_a_write_only_while_open() -> None:
    record = job()
    transitions.mark_cancelled(record)
    assert [transitions.close_call(record, None) for _ in range(2)] == [True, False]
    assert not record.HasField("cost")


def test_call_without_the_providers_word_is_unconfirmed_only_if_it_may_be_billed() -> None:
    assert transitions.is_unconfirmed(records.refused(UNKNOWN))
    assert not transitions.is_unconfirmed(records.refused(UNKNOWN, may_be_billed=False))
    assert not transitions.is_unconfirmed(records.refused(UNAVAILABLE))
    assert not transitions.is_unconfirmed(records.done())


def test_estimate_is_the_cost_unless_the_callers_own_key_pays() -> None:
    record = job()
    assert transitions.estimated_cost(record) is None
    record.estimate.CopyFrom(COST)
    record.sealed_keys["another"] = b"key"
    assert transitions.estimated_cost(record) == Cost(amount=0.5, currency="USD", estimated=True)
    record.sealed_keys["local"] = b"key"
    assert transitions.estimated_cost(record) is None


def test_running_task_changes_its_record_by_each_part_of_its_state() -> None:
    record = job()
    first = records.running(progress=10).running
    assert [transitions.mark_running(record, first) for _ in range(2)] == [True, False]
    for changed in (
        records.running(progress=20),
        records.running("task-2", progress=20),
        records.running("task-2", progress=20, partial_images=1),
    ):
        assert transitions.mark_running(record, changed.running)
    assert (record.state, record.task_ref, record.progress, len(record.partial_images)) == (
        states.RUNNING,
        "task-2",
        20,
        1,
    )


def test_started_job_keeps_the_time_of_its_first_start() -> None:
    record = job(states.QUEUED, started_at=5)
    transitions.mark_submitting(record)
    assert (record.started_at, record.attempt, record.state) == (5, 1, states.SUBMITTING)
    assert record.submitted_at > 5
