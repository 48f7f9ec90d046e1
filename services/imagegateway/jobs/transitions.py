"""What a family's answer makes of a job's record: pure steps, written down by the runner."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from imagegateway.jobs import states
from imagegateway.platform.errors import GatewayError
from imagegateway.provider.v1 import provider_service_pb2 as provider
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.v1.job_pb2 import Cost

MAX_ATTEMPTS: Final = 5
"""How often a job that may be started again is."""

FALL_BACK: Final = frozenset(
    {
        ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE,
        ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED,
        ErrorReason.ERROR_REASON_PROVIDER_ERROR,
        ErrorReason.ERROR_REASON_MODEL_RETIRED,
        ErrorReason.ERROR_REASON_PROVIDER_NOT_CONFIGURED,
    }
)
"""Failures after which another route may serve; refusals, bad input and credentials never fall back."""


def submitting(record: JobRecord) -> None:
    """The provider is about to be called."""
    record.state = states.SUBMITTING
    record.attempt += 1
    record.started_at = record.started_at or now()


def rerouted(record: JobRecord) -> None:
    """It has left its route, and waits for its turn on the next one."""
    record.state = states.REROUTED


def running(record: JobRecord, state: provider.Running) -> bool:
    """The provider works on it; tells whether there is anything new to write down."""
    new = (
        record.state != states.RUNNING
        or record.task_ref != state.task_ref
        or record.progress != state.progress
        or len(record.partial_images) != len(state.partial_images)
    )
    record.state = states.RUNNING
    record.task_ref = state.task_ref
    if state.HasField("progress"):
        record.progress = state.progress
    previewed(record, state)
    return new


def on_its_way(state: provider.TaskState) -> bool:
    """Whether the provider's call goes on: it has sent a preview, and not yet said how the task stands."""
    return state.HasField("running") and not state.running.task_ref


def previewed(record: JobRecord, state: provider.Running) -> None:
    """A preview has come while the provider is being called; whether it accepts is still open."""
    del record.partial_images[:]
    record.partial_images.extend(state.partial_images)


def completed(record: JobRecord, done: provider.Done, cost: Cost | None) -> None:
    """It ended with media."""
    record.state = states.COMPLETED
    record.done.CopyFrom(done)
    for missing in record.done.missing:
        _blame_key(record, missing)
    if cost is not None:
        record.cost.CopyFrom(cost)
    end(record)


def failed(record: JobRecord, failure: provider.Failed, *, call_open: bool = False) -> None:
    """Mark the job failed. `call_open`: its provider call may still go on."""
    record.state = states.FAILED
    record.failed.CopyFrom(failure)
    _blame_key(record, record.failed)
    record.call_open = call_open
    end(record)


def cancelled(record: JobRecord) -> None:
    """Mark the job cancelled by its caller."""
    record.call_open = record.state in states.ACTIVE
    record.state = states.CANCELLED
    end(record)


def end(record: JobRecord) -> None:
    """Do what every end brings: set its time, make the webhook due, and erase what is secret unless the provider call
    goes on.
    """
    record.completed_at = now()
    del record.partial_images[:]
    if not record.call_open:
        _erase_call(record)
    if record.webhook.url:
        record.webhook.next_at = record.completed_at


def call_ended(record: JobRecord, cost: Cost | None) -> bool:
    """Note that the provider call of an ended job is over, and what it cost where it completed.

    Return whether there is anything new to write down.
    """
    changed = record.call_open
    record.call_open = False
    _erase_call(record)
    if cost is not None and not record.HasField("cost"):
        record.cost.CopyFrom(cost)
        changed = True
    return changed


def _erase_call(record: JobRecord) -> None:
    """Erase what only the provider call needs, keys, inputs and options: the record is kept for 30 days."""
    for name in ("inputs", "mask", "markup", "provider_options"):
        record.task.ClearField(name)
    record.sealed_credential = b""
    record.sealed_keys.clear()
    record.key_fingerprint = ""


def may_repeat(record: JobRecord, failure: provider.Failed) -> bool:
    """Whether a start with an unknown outcome may be made again: where that costs nothing."""
    return (
        failure.reason == ErrorReason.ERROR_REASON_PROVIDER_OUTCOME_UNKNOWN
        and record.repeatable
        and record.state == states.SUBMITTING
        and record.attempt < MAX_ATTEMPTS
    )


def may_fall_back(record: JobRecord, failure: provider.Failed) -> bool:
    """Whether another route may be tried: the present one surely took nothing, and the caller named none."""
    return (
        failure.reason in FALL_BACK
        and not failure.may_be_billed
        and record.state == states.SUBMITTING
        and not record.sealed_credential
    )


def own_key(record: JobRecord) -> bytes:
    """The caller's own key for the present route, encrypted: the one that came with the call, else a stored one.
    Empty: there is none, and the operator's is used.
    """
    return record.sealed_credential or record.sealed_keys.get(record.task.route, b"")


def _blame_key(record: JobRecord, failure: provider.Failed) -> None:
    """Say whose key the provider refused: the family knows only that it was given one."""
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


def nothing() -> provider.Failed:
    """A provider that said it was done, and gave nothing."""
    return provider.Failed(
        reason=ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE,
        message="The provider answered without a picture.",
        may_be_billed=True,
    )


def too_late(record: JobRecord) -> GatewayError:
    """The job's time is over."""
    return GatewayError(
        ErrorReason.ERROR_REASON_PROVIDER_TIMEOUT,
        f"{record.task.model} did not end job {record.id} in time.",
        details={"job_id": record.id},
    )


def now() -> int:
    """Unix milliseconds, as records have them."""
    return time.time_ns() // 1_000_000
