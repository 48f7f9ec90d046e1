"""Job records and provider results for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from google.protobuf.duration_pb2 import Duration
from imagegateway.job.v1.job_record_pb2 import JobRecord
from imagegateway.jobs import states
from imagegateway.platform import ids
from imagegateway.platform.clock import unix_millis
from imagegateway.provider.v1 import provider_service_pb2 as provider
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from imagegateway.jobs.stream import Entry

StateValue: TypeAlias = JobRecord.State.ValueType


def job(
    *,
    job_id: str = "",
    tenant: str = "acme",
    route: str = "local",
    state: StateValue = states.QUEUED,
    repeatable: bool = False,
    deadline_seconds: float = 3600,
    webhook_url: str = "",
    owner: str = "",
    slots: int = 1,
    key_fingerprint: str = "",
    key_id: str = "",
) -> JobRecord:
    """Return the record of a new job."""
    record = JobRecord(
        id=job_id or ids.job(),
        tenant=tenant,
        type="image.generation",
        modality="image",
        family="local",
        task=provider.ImageTask(model="local/sketch", route=route, prompt="a lighthouse", n=1),
        state=state,
        created_at=unix_millis(),
        deadline=unix_millis() + round(deadline_seconds * 1000),
        repeatable=repeatable,
        owner=owner,
        slots=slots,
        key_fingerprint=key_fingerprint,
        key_id=key_id,
    )
    if webhook_url:
        record.webhook.url = webhook_url
    return record


def follow(entry: Entry, state: StateValue, owner: str | None = None) -> JobRecord:
    """Return the next record of a job."""
    record = JobRecord()
    record.CopyFrom(entry.record)
    record.state = state
    if owner is not None:
        record.owner = owner
    if state in states.TERMINAL and not record.completed_at:
        record.completed_at = unix_millis()
    return record


def ref(name: str = "a") -> provider.MediaRef:
    """Return a reference to an image in the store."""
    digest = name[0] * 64
    return provider.MediaRef(
        key=f"results/2099-01-01/{digest}", sha256=digest, media_type="image/png", width=8, height=8, size=64
    )


def done() -> provider.TaskState:
    return provider.TaskState(done=provider.Done(artifacts=[provider.Artifact(media=ref())]))


def running(
    task_ref: str = "task-1", *, progress: int | None = None, after: float = 0.0, partial_images: int = 0
) -> provider.TaskState:
    return provider.TaskState(
        running=provider.Running(
            task_ref=task_ref,
            progress=progress,
            poll_after=Duration(seconds=int(after), nanos=int(after % 1 * 1e9)),
            partial_images=[provider.PartialImage(media=ref("b"))] * partial_images,
        )
    )


def refused(
    reason: ErrorReason.ValueType = ErrorReason.ERROR_REASON_PROVIDER_ERROR, *, may_be_billed: bool = True
) -> provider.TaskState:
    return provider.TaskState(
        failed=provider.Failed(reason=reason, message="The provider failed.", may_be_billed=may_be_billed)
    )
