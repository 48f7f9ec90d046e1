"""Metrics of jobs. The replica that writes a transition counts it: once in the sum of all replicas."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from imagegateway.jobs import states
from imagegateway.platform import metrics
from imagegateway.platform.errors import code_of
from imagegateway.providers.catalog import Modality

if TYPE_CHECKING:
    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from prometheus_client import Counter, Histogram

_MEGAPIXEL: Final = 1_000_000


def count_new(record: JobRecord) -> None:
    """Count a job whose first record is written."""
    task = record.task
    inputs = [*task.inputs, *([task.mask] if task.HasField("mask") else ())]
    if inputs:
        metrics.INPUT_BYTES.labels(task.model).inc(sum(image.size for image in inputs))
    if record.started_at:
        _count_start(record)
    if record.state in states.TERMINAL:
        _count_end(record)


def count_transition(before: JobRecord, after: JobRecord) -> None:
    """Count what a written record of a job has changed."""
    if after.started_at and not before.started_at:
        _count_start(after)
    if before.state in states.ACTIVE and (after.state not in states.ACTIVE or after.attempt != before.attempt):
        _count_provider_call(before, after)
    if after.task.route != before.task.route:
        metrics.FALLBACKS.labels(before.task.route, after.task.route).inc()
    if after.state in states.TERMINAL:
        if before.state not in states.TERMINAL:
            _count_end(after)
    elif after.owner != before.owner:
        metrics.JOBS_TAKEN_OVER.labels(after.task.route).inc()
    if after.HasField("cost") and not before.HasField("cost"):
        tenant = metrics.tenant_label(after.tenant)
        _counter(metrics.COST, after.task.model, tenant).inc(max(0.0, after.cost.amount))


def _count_start(record: JobRecord) -> None:
    seconds = _histogram(metrics.QUEUE_SECONDS, record.task.route)
    seconds.observe(_seconds(record.created_at, record.started_at))


def _count_provider_call(before: JobRecord, after: JobRecord) -> None:
    """Count the end of a provider call, or of the job's wait for one that stays open."""
    if after.state not in states.TERMINAL:
        outcome = "repeated" if after.task.route == before.task.route else "fallback"
    elif after.state == states.FAILED:
        outcome = code_of(after.failed.reason)
    else:
        outcome = states.PUBLIC[after.state]
    submitted_at = before.submitted_at or before.started_at
    seconds = _histogram(metrics.PROVIDER_CALL_SECONDS, before.task.route, outcome)
    seconds.observe(_seconds(submitted_at, after.completed_at or after.updated_at))


def _count_end(record: JobRecord) -> None:
    model, route, state = record.task.model, record.task.route, states.PUBLIC[record.state]
    reason = code_of(record.failed.reason) if record.state == states.FAILED else ""
    _counter(metrics.JOBS_FINISHED, state, reason, model, route).inc()
    _histogram(metrics.JOB_SECONDS, route, state).observe(_seconds(record.created_at, record.completed_at))
    made = [artifact.media for artifact in record.done.artifacts]
    if not made:
        return
    _counter(metrics.OUTPUT_BYTES, model, route).inc(sum(media.size for media in made))
    if record.modality == Modality.VIDEO:
        _counter(metrics.VIDEOS, model, route).inc(len(made))
    else:
        _counter(metrics.IMAGES, model, route).inc(len(made))
        pixels = sum(media.width * media.height for media in made)
        _counter(metrics.MEGAPIXELS, model, route).inc(pixels / _MEGAPIXEL)


@lru_cache(maxsize=4096)
def _counter(metric: Counter, *labels: str) -> Counter:
    """Return the series of a counter with these labels: `labels` costs several times as much."""
    return metric.labels(*labels)


@lru_cache(maxsize=4096)
def _histogram(metric: Histogram, *labels: str) -> Histogram:
    """Return the series of a histogram with these labels."""
    return metric.labels(*labels)


def _seconds(since: int, until: int) -> float:
    """Return the seconds between two times in milliseconds, which clocks of two machines may have written."""
    return max(0.0, (until - since) / 1000)
