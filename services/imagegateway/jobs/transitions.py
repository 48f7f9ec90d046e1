"""Job transitions: pure functions that update a record, which a writer then appends to the stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from imagegateway.jobs import states
from imagegateway.platform.clock import unix_millis
from imagegateway.platform.errors import GatewayError
from imagegateway.provider.v1 import provider_service_pb2 as provider
from imagegateway.v1.error_reason_pb2 import ErrorReason
from imagegateway.v1.job_pb2 import Cost

if TYPE_CHECKING:
    from imagegateway.job.v1.job_record_pb2 import JobRecord

MAX_ATTEMPTS: Final = 5
"""Most attempts to start a job whose start may be repeated."""

_ERASED_FIELDS: Final = (
    "done",
    "failed",
    "metadata",
    "partial_images",
    "request_id",
    "task",
    "task_ref",
    "trace",
    "upload_keys",
    "warnings",
    "webhook",
)
FALL_BACK: Final = frozenset(
    {
        ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE,
        ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED,
        ErrorReason.ERROR_REASON_PROVIDER_ERROR,
        ErrorReason.ERROR_REASON_MODEL_RETIRED,
        ErrorReason.ERROR_REASON_PROVIDER_NOT_CONFIGURED,
    }
)
"""Failures after which another route may serve. Refused content, invalid input and credentials never fall back."""

_UNCONFIRMED: Final = frozenset(
    {
        ErrorReason.ERROR_REASON_PROVIDER_OUTCOME_UNKNOWN,
        ErrorReason.ERROR_REASON_PROVIDER_TIMEOUT,
        ErrorReason.ERROR_REASON_INTERNAL,
    }
)
"""Failures of calls that the provider may have served all the same."""


def mark_submitting(record: JobRecord) -> None:
    """Mark the job submitting: the provider call follows."""
    record.state = states.SUBMITTING
    record.attempt += 1
    record.submitted_at = unix_millis()
    record.started_at = record.started_at or record.submitted_at


def mark_rerouted(record: JobRecord) -> None:
    """Mark the job rerouted: it waits for a slot on its next route."""
    record.state = states.REROUTED


def mark_running(record: JobRecord, state: provider.Running) -> bool:
    """Mark the job running. Return whether the record changed."""
    changed = (
        record.state != states.RUNNING
        or record.task_ref != state.task_ref
        or record.progress != state.progress
        or len(record.partial_images) != len(state.partial_images)
    )
    record.state = states.RUNNING
    record.task_ref = state.task_ref
    if state.HasField("progress"):
        record.progress = state.progress
    set_partial_images(record, state)
    return changed


def has_only_partial_images(state: provider.TaskState) -> bool:
    """Return whether a state has nothing but partial images: the provider call continues."""
    return state.HasField("running") and not state.running.task_ref


def set_partial_images(record: JobRecord, state: provider.Running) -> None:
    """Replace the record's partial images. Whether the provider accepts the task remains unknown."""
    del record.partial_images[:]
    record.partial_images.extend(state.partial_images)


def mark_completed(record: JobRecord, done: provider.Done, cost: Cost | None) -> None:
    """Mark the job completed with media."""
    record.state = states.COMPLETED
    record.done.CopyFrom(done)
    for missing in record.done.missing:
        _name_refused_key(record, missing)
    if cost is not None:
        record.cost.CopyFrom(cost)
    _end(record)


def mark_failed(
    record: JobRecord, failure: provider.Failed, *, call_open: bool = False, cost: Cost | None = None
) -> None:
    """Mark the job failed. `call_open`: the provider call may continue. `cost`: of a call that was given up."""
    record.state = states.FAILED
    if cost is not None:
        record.cost.CopyFrom(cost)
    record.failed.CopyFrom(failure)
    _name_refused_key(record, record.failed)
    record.call_open = call_open
    _end(record)


def mark_cancelled(record: JobRecord, *, is_started: bool = True) -> None:
    """Mark the job cancelled. The provider call of an active job remains open.

    `is_started`: False for a job whose provider call has certainly not begun.
    """
    record.call_open = is_started and record.state in states.ACTIVE
    record.state = states.CANCELLED
    _end(record)


def is_unconfirmed(state: provider.TaskState) -> bool:
    """Return whether a call ended without the provider's word: it may have been served, and may be billed."""
    return state.HasField("failed") and state.failed.may_be_billed and state.failed.reason in _UNCONFIRMED


def estimated_cost(record: JobRecord) -> Cost | None:
    """Return the cost of a call that the provider may have served without saying so: the estimate, if any.

    None where the caller's own key pays.
    """
    if not record.HasField("estimate") or caller_key(record):
        return None
    return Cost(amount=record.estimate.amount, currency=record.estimate.currency, estimated=True)


def close_call(record: JobRecord, cost: Cost | None) -> bool:
    """Close the provider call of an ended job, with its cost where the call completed.

    Return whether the record needs a write.
    """
    changed = record.call_open
    record.call_open = False
    _erase_call(record)
    if cost is not None and not record.HasField("cost"):
        record.cost.CopyFrom(cost)
        changed = True
    return changed


def _end(record: JobRecord) -> None:
    """Set the end time, make the webhook due, and erase secrets unless the provider call is open."""
    record.completed_at = unix_millis()
    del record.partial_images[:]
    if not record.call_open:
        _erase_call(record)
    if record.webhook.url:
        record.webhook.next_at = record.completed_at


def _erase_call(record: JobRecord) -> None:
    """Erase keys, inputs and options: only the provider call needs them, and the record stays for weeks."""
    for name in ("inputs", "mask", "markup", "provider_options"):
        record.task.ClearField(name)
    if record.drop_prompts:
        record.task.ClearField("prompt")
        record.task.ClearField("negative_prompt")
    record.sealed_credential = b""
    record.sealed_keys.clear()
    record.key_fingerprint = ""


def erase(record: JobRecord) -> None:
    """Erase an ended job: status, times, cost and what usage counts remain."""
    images, task = len(record.done.artifacts), record.task
    model, route, failed = task.model, task.route, record.failed.reason
    for name in _ERASED_FIELDS:
        record.ClearField(name)
    record.task.model, record.task.route = model, route
    if record.state == states.FAILED:
        record.failed.reason = failed
        record.failed.message = "The job was erased."
    record.erased_images = images
    record.erased_at = unix_millis()


def may_repeat(record: JobRecord, failure: provider.Failed) -> bool:
    """Return whether a start with an unknown outcome may be repeated because that costs nothing."""
    return (
        failure.reason == ErrorReason.ERROR_REASON_PROVIDER_OUTCOME_UNKNOWN
        and record.repeatable
        and record.state == states.SUBMITTING
        and record.attempt < MAX_ATTEMPTS
    )


def may_fall_back(record: JobRecord, failure: provider.Failed) -> bool:
    """Return whether another route may serve: this one bills nothing, and the caller's key names no route."""
    return (
        failure.reason in FALL_BACK
        and not failure.may_be_billed
        and record.state == states.SUBMITTING
        and not record.sealed_credential
    )


def caller_key(record: JobRecord) -> bytes:
    """Return the caller's own key for the current route, encrypted: the call's key, else the tenant's stored key.

    Empty: the operator's key applies.
    """
    return record.sealed_credential or record.sealed_keys.get(record.task.route, b"")


def _name_refused_key(record: JobRecord, failure: provider.Failed) -> None:
    """Name the key that the provider refused, which the provider server does not know."""
    route = record.task.route
    if failure.reason != ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS:
        return
    if record.sealed_credential:
        failure.message = f"The provider refused the caller's own key (X-BYOK-{route})."
        failure.param = f"X-BYOK-{route}"
    elif route in record.sealed_keys:
        failure.message = (
            f"The provider refused the tenant's stored key: replace it with PUT /v1/provider-keys/{route}."
        )


def no_artifacts() -> provider.Failed:
    """Return the failure of a task that ended as done without artifacts."""
    return provider.Failed(
        reason=ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE,
        message="The provider returned no image.",
        may_be_billed=True,
    )


def deadline_error(record: JobRecord) -> GatewayError:
    """Return the error of a job whose deadline has passed."""
    return GatewayError(
        ErrorReason.ERROR_REASON_PROVIDER_TIMEOUT,
        f"{record.task.model} did not end job {record.id} in time.",
        details={"job_id": record.id},
    )
