"""Metrics of jobs: each event of a job counts exactly once, whichever replica sees it."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from imagegateway.job.v1.job_record_pb2 import JobRecord
from imagegateway.jobs import job_metrics, states, transitions
from imagegateway.platform import metrics
from imagegateway.provider.v1 import provider_service_pb2 as provider
from imagegateway.v1.error_reason_pb2 import ErrorReason
from imagegateway.v1.job_pb2 import Cost

from tests.jobs import records
from tests.jobs.receiver import Receiver
from tests.jobs.replica import serving
from tests.jobs.scripted_providers import PendingCall, ScriptedProviders
from tests.jobs.server import settings_for, until
from tests.jobs.test_rerouting import ROUTES, TwoRouteProviders, fallback
from tests.support.metrics import Added

if TYPE_CHECKING:
    import pytest

    from tests.jobs.replica import Replica
    from tests.jobs.server import Nats

FINISHED = "imagegateway_jobs_finished_total"
CALLS = "imagegateway_provider_call_duration_seconds_count"
CALL_SECONDS = "imagegateway_provider_call_duration_seconds_sum"
QUEUED = "imagegateway_job_queue_seconds_count"
SKETCH = "local/sketch"
CREATED = 1_790_000_000_000


def copy(record: JobRecord) -> JobRecord:
    copied = JobRecord()
    copied.CopyFrom(record)
    return copied


def submitted(tenant: str = "acme") -> JobRecord:
    """Return a job that waited 2 s and whose provider call began then."""
    record = records.job(state=states.SUBMITTING, tenant=tenant)
    record.created_at = CREATED
    record.started_at = record.submitted_at = CREATED + 2000
    record.attempt = 1
    return record


def failed(reason: ErrorReason.ValueType) -> provider.Failed:
    return provider.Failed(reason=reason, message="It failed.")


# ---- transitions


def test_new_job_counts_its_inputs_and_its_start() -> None:
    record = submitted()
    record.task.inputs.extend([records.ref("a"), records.ref("b")])
    record.task.mask.CopyFrom(records.ref("c"))
    added = Added()
    job_metrics.count_new(record)
    assert added.series("imagegateway_input_bytes_total") == {(SKETCH,): 3 * 64}
    assert added.series(QUEUED) == {("local",): 1}
    assert added("imagegateway_job_queue_seconds_sum") == 2


def test_queued_job_counts_its_wait_when_it_starts() -> None:
    queued, started = records.job(), submitted()
    added = Added()
    job_metrics.count_new(queued)
    assert added.series(QUEUED) == {}
    job_metrics.count_transition(queued, started)
    assert added.series(QUEUED) == {("local",): 1}
    job_metrics.count_transition(started, copy(started))
    assert added.series(QUEUED) == {("local",): 1}


def test_completed_job_counts_its_call_its_images_and_its_cost() -> None:
    before, after = submitted(), submitted()
    artifact = provider.Artifact(media=records.ref())
    artifact.media.width, artifact.media.height = 1500, 1000
    cost = Cost(amount=0.04, currency="USD")
    transitions.mark_completed(after, provider.Done(artifacts=[artifact, artifact]), cost)
    after.completed_at = CREATED + 12_000
    added = Added()
    job_metrics.count_transition(before, after)
    assert added.series(FINISHED) == {("completed", "", SKETCH, "local"): 1}
    assert added.series(CALLS) == {("local", "completed"): 1}
    assert added(CALL_SECONDS) == 10
    assert added("imagegateway_job_duration_seconds_sum", provider="local", state="completed") == 12
    assert added.series("imagegateway_images_total") == {(SKETCH, "local"): 2}
    assert added.series("imagegateway_videos_total") == {}
    assert added.series("imagegateway_megapixels_total") == {(SKETCH, "local"): 3}
    assert added.series("imagegateway_output_bytes_total") == {(SKETCH, "local"): 2 * 64}
    assert added.series("imagegateway_cost_usd_total") == {(SKETCH, "acme"): 0.04}


def test_video_counts_as_a_video() -> None:
    before, after = submitted(), submitted()
    after.modality = "video"
    transitions.mark_completed(after, records.done().done, None)
    added = Added()
    job_metrics.count_transition(before, after)
    assert added.series("imagegateway_videos_total") == {(SKETCH, "local"): 1}
    assert added.series("imagegateway_images_total") == {}
    assert added.series("imagegateway_cost_usd_total") == {}


def test_failed_job_counts_the_reason() -> None:
    before, after = submitted(), submitted()
    transitions.mark_failed(after, failed(ErrorReason.ERROR_REASON_PROVIDER_TIMEOUT))
    added = Added()
    job_metrics.count_transition(before, after)
    assert added.series(FINISHED) == {("failed", "provider_timeout", SKETCH, "local"): 1}
    assert added.series(CALLS) == {("local", "provider_timeout"): 1}


def test_job_that_fails_in_the_queue_counts_no_provider_call() -> None:
    before, after = records.job(), records.job()
    transitions.mark_failed(after, failed(ErrorReason.ERROR_REASON_PROVIDER_TIMEOUT))
    added = Added()
    job_metrics.count_transition(before, after)
    assert added.series(FINISHED) == {("failed", "provider_timeout", SKETCH, "local"): 1}
    assert added.series(CALLS) == {}


def test_cost_of_an_open_call_counts_when_it_is_known() -> None:
    before, cancelled = submitted(), submitted()
    transitions.mark_cancelled(cancelled)
    added = Added()
    job_metrics.count_transition(before, cancelled)
    assert added.series(FINISHED) == {("cancelled", "", SKETCH, "local"): 1}
    assert added.series(CALLS) == {("local", "cancelled"): 1}
    assert added.series("imagegateway_cost_usd_total") == {}
    closed = copy(cancelled)
    transitions.close_call(closed, Cost(amount=0.5, currency="USD"))
    job_metrics.count_transition(cancelled, closed)
    job_metrics.count_transition(closed, copy(closed))
    assert added.series("imagegateway_cost_usd_total") == {(SKETCH, "acme"): 0.5}
    assert added.series(FINISHED) == {("cancelled", "", SKETCH, "local"): 1}


def test_erased_job_counts_nothing() -> None:
    ended = submitted()
    transitions.mark_completed(ended, records.done().done, Cost(amount=1, currency="USD"))
    erased = copy(ended)
    transitions.erase(erased)
    added = Added()
    job_metrics.count_transition(ended, erased)
    assert all(
        added.series(name) == {}
        for name in (FINISHED, CALLS, "imagegateway_images_total", "imagegateway_cost_usd_total")
    )


def test_each_attempt_is_a_provider_call() -> None:
    first, second = submitted(), submitted()
    second.attempt, second.submitted_at, second.updated_at = 2, CREATED + 5000, CREATED + 5000
    added = Added()
    job_metrics.count_transition(first, second)
    assert added.series(CALLS) == {("local", "repeated"): 1}
    assert added(CALL_SECONDS) == 3


def test_partial_image_and_progress_count_nothing() -> None:
    before, after = submitted(), submitted()
    transitions.mark_running(after, provider.Running(task_ref="t", progress=50))
    added = Added()
    job_metrics.count_transition(before, after)
    assert added.series(CALLS) == added.series(QUEUED) == added.series(FINISHED) == {}


def test_time_between_clocks_of_two_machines_is_never_negative() -> None:
    before, after = submitted(), submitted()
    transitions.mark_completed(after, records.done().done, None)
    after.completed_at = CREATED - 1
    added = Added()
    job_metrics.count_transition(before, after)
    assert added(CALL_SECONDS) == added("imagegateway_job_duration_seconds_sum") == 0


def test_tenants_beyond_the_limit_share_a_label(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_tenants", set())
    added = Added()
    for number in range(metrics.MAX_TENANTS + 50):
        before, after = submitted(tenant=f"tenant-{number}"), submitted(tenant=f"tenant-{number}")
        transitions.mark_completed(after, records.done().done, Cost(amount=1, currency="USD"))
        job_metrics.count_transition(before, after)
    costs = added.series("imagegateway_cost_usd_total")
    assert len(costs) == metrics.MAX_TENANTS + 1
    assert costs[SKETCH, metrics.OTHER] == 50


# ---- replicas


async def test_job_counts_once_from_submission_to_end(replica: Replica) -> None:
    added = Added()
    entry = await replica.submit(records.job())
    await replica.ended(entry.record.id)
    assert added.series(FINISHED) == {("completed", "", SKETCH, "local"): 1}
    assert added.series(QUEUED) == {("local",): 1}
    assert added.series(CALLS) == {("local", "completed"): 1}
    assert added.series("imagegateway_images_total") == {(SKETCH, "local"): 1}
    assert added.series("imagegateway_cost_usd_total") == {(SKETCH, "acme"): 1}
    assert added.series("imagegateway_nats_write_duration_seconds_count") == {("written",): 2}


async def test_taken_over_job_counts_once(nats: Nats, providers: ScriptedProviders) -> None:
    settings = settings_for(nats.settings.data_dir, NATS_URL=nats.settings.nats_address())
    providers.on_start = call = PendingCall()
    added = Added()
    async with serving(settings, providers) as dying:
        job_id = (await dying.submit(records.job())).record.id
        await call.begun.wait()
        await dying.crash()
    async with serving(settings, providers) as successor:
        await successor.reached(job_id, lambda entry: entry.record.owner == successor.engine.membership.owner)
        call.answer(records.done())
        await successor.ended(job_id)
        await successor.engine.feed.catch_up()
    assert added.series("imagegateway_jobs_taken_over_total") == {("local",): 1}
    assert added.series(QUEUED) == {("local",): 1}
    assert added.series(FINISHED) == {("completed", "", SKETCH, "local"): 1}
    assert added.series(CALLS) == {("local", "completed"): 1}
    assert added.series("imagegateway_images_total") == {(SKETCH, "local"): 1}


async def test_fallback_counts_both_routes(nats: Nats) -> None:
    settings = settings_for(nats.settings.data_dir, NATS_URL=nats.settings.nats_address())
    two = TwoRouteProviders()
    added = Added()
    async with serving(settings, two, routes=ROUTES, fallback=fallback) as up:
        job_id = (await up.submit(records.job(route="first"))).record.id
        await until(lambda: two.calls)
        two.calls[0].answer(records.done())
        await up.ended(job_id)
    await two.close()
    assert added.series("imagegateway_provider_fallbacks_total") == {("first", "second"): 1}
    assert added.series(CALLS) == {("first", "fallback"): 1, ("second", "completed"): 1}
    assert added.series(QUEUED) == {("first",): 1}
    assert added.series(FINISHED) == {("completed", "", SKETCH, "second"): 1}


async def test_cancelled_job_counts_once(replica: Replica, providers: ScriptedProviders) -> None:
    providers.on_start = call = PendingCall()
    added = Added()
    entry = await replica.submit(records.job())
    await call.begun.wait()
    cancelled = await replica.engine.execution.cancellation.cancel(entry)
    await replica.engine.execution.cancellation.cancel(cancelled)
    call.answer(records.done())
    await replica.held_nothing()
    assert added.series(FINISHED) == {("cancelled", "", SKETCH, "local"): 1}
    assert added.series("imagegateway_cost_usd_total") == {(SKETCH, "acme"): 1}
    assert added.series("imagegateway_images_total") == {}


async def test_webhook_attempts_count_by_outcome(nats: Nats, providers: ScriptedProviders) -> None:
    async with Receiver() as receiver:
        settings = settings_for(
            nats.settings.data_dir,
            NATS_URL=nats.settings.nats_address(),
            ALLOW_HOSTS=receiver.host,
            WEBHOOK_PAUSES="0,0",
        )
        async with serving(settings, providers) as up:
            added = Added()
            for statuses in ([500, 200], [500, 500, 500]):
                receiver.status = itertools.chain(statuses)
                submitted = await up.submit(records.job(webhook_url=receiver.url))
                await up.reached(submitted.record.id, lambda entry: entry.ended and not entry.record.webhook.next_at)
            await until(
                lambda: (
                    added.series("imagegateway_webhook_attempts_total")
                    == {("delivered",): 1, ("failed",): 3, ("abandoned",): 1}
                )
            )
