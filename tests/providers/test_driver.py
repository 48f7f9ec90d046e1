"""The driver's retries, with and without another route, and its limits on concurrent calls and on poll frequency."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.providers.bfl.adapter import BflAdapter
from imagegateway.providers.bfl.catalog import MODELS
from imagegateway.providers.kit.submission import MAX_ATTEMPTS, SHARED_PAUSE
from imagegateway.providers.kit.task_state import SLOWEST_POLL
from imagegateway.v1.error_reason_pb2 import ErrorReason

from tests.providers.harness import Harness
from tests.support.stack import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.emulators.bfl import Bfl

BUSY = (429, {"detail": "Too many active tasks"}, {"retry-after": "5"})


@pytest.fixture
async def harness(bfl: Bfl, tmp_path: Path) -> AsyncIterator[Harness]:
    values = {"IMAGEGATEWAY_BFL_BASE_URL": bfl.base + "/v1", "IMAGEGATEWAY_BFL_API_KEY": bfl.key}
    async with Harness.open(MODELS, [BflAdapter()], tmp_path, values) as harness:
        yield harness


def start(*, fail_fast: bool, n: int = 1) -> pb.StartRequest:
    task = pb.ImageTask(model="bfl/flux-2-pro", route="bfl", prompt="a fox", n=n)
    return pb.StartRequest(job_id="job_test", task=task, fail_fast=fail_fast)


async def test_unbilled_failure_with_fail_fast_ends_the_start_without_a_retry(bfl: Bfl, harness: Harness) -> None:
    bfl.failures[:] = [BUSY] * 3
    state = await harness.family.start(start(fail_fast=True, n=3))
    assert (state.failed.reason, state.failed.may_be_billed) == (
        ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED,
        False,
    )
    assert len(bfl.sent) == 3, "the driver repeated a call"
    assert not harness.slept


async def test_unbilled_failure_without_fail_fast_is_retried_to_the_limit(bfl: Bfl, harness: Harness) -> None:
    bfl.failures[:] = [BUSY] * (MAX_ATTEMPTS - 1)
    state = await harness.family.start(start(fail_fast=False))
    assert state.HasField("running")
    assert len(bfl.sent) == MAX_ATTEMPTS
    assert sum(harness.slept) >= 5 * (MAX_ATTEMPTS - 1)


async def test_refused_connection_with_fail_fast_ends_the_start_without_a_retry(tmp_path: Path) -> None:
    values = {"IMAGEGATEWAY_BFL_BASE_URL": f"http://127.0.0.1:{free_port()}", "IMAGEGATEWAY_BFL_API_KEY": "k"}
    harness = Harness.open(MODELS, [BflAdapter()], tmp_path, values)
    state = await harness.family.start(start(fail_fast=True))
    assert state.failed.reason == ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE
    assert not state.failed.may_be_billed
    assert not harness.slept
    await harness.family.close()


async def test_partly_accepted_task_stays_on_its_route_and_retries_the_rest(bfl: Bfl, harness: Harness) -> None:
    bfl.failures[:] = [BUSY] * 2
    state = await harness.family.start(start(fail_fast=True, n=3))
    assert state.HasField("running")
    assert len(bfl.tasks) == 3, "an accepted task can't move to another route, so all its calls have to succeed"
    assert len(bfl.sent) == 5


async def test_invalid_request_is_not_retried(bfl: Bfl, harness: Harness) -> None:
    bfl.failures[:] = [(422, {"detail": [{"loc": ["body", "prompt"], "msg": "no", "type": "x"}]}, {})]
    state = await harness.family.start(start(fail_fast=True))
    assert state.failed.reason == ErrorReason.ERROR_REASON_INVALID_VALUE
    assert len(bfl.sent) == 1


async def test_rate_limit_pauses_the_next_calls_on_the_route(bfl: Bfl, harness: Harness) -> None:
    bfl.failures[:] = [BUSY]
    await harness.family.start(start(fail_fast=True))
    second = await harness.family.start(start(fail_fast=True))
    assert second.failed.reason == ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED
    assert 0 < second.failed.retry_after.ToTimedelta().total_seconds() <= 5
    assert len(bfl.sent) == 1, "the driver called a paused route"
    third = await harness.family.start(start(fail_fast=False))
    assert third.HasField("running")
    assert sum(harness.slept) == pytest.approx(5)


async def test_rate_limit_without_a_retry_time_pauses_the_route_briefly(bfl: Bfl, harness: Harness) -> None:
    """One call's backoff grows to 8 s; other calls with the same key wait for the shared pause alone."""
    bfl.failures[:] = [(429, {"detail": "Too many active tasks"}, {})] * MAX_ATTEMPTS
    state = await harness.family.start(start(fail_fast=False))
    assert state.failed.reason == ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED
    assert sum(harness.slept) >= 1 + 2 + 4
    harness.slept.clear()
    assert (await harness.family.start(start(fail_fast=False))).HasField("running")
    assert sum(harness.slept) == pytest.approx(SHARED_PAUSE)


async def test_task_with_more_calls_than_the_limit_stays_below_the_concurrency_limit(
    bfl: Bfl, harness: Harness
) -> None:
    bfl.script = ["Pending", "Pending", "Ready"]
    state = await harness.run(pb.ImageTask(model="bfl/flux-kontext-max", route="bfl", prompt="a fox", n=10))
    assert len(state.done.artifacts) == bfl.billed == 10
    assert not state.done.missing
    assert bfl.peaks[bfl.key, "flux-kontext-max"] == 6
    assert len([sent for sent in bfl.sent if sent.method == "POST"]) == 10, "a call exceeded the limit"


async def test_failure_with_fail_fast_starts_no_further_calls(bfl: Bfl, harness: Harness) -> None:
    bfl.failures[:] = [BUSY] * 6
    task = pb.ImageTask(model="bfl/flux-kontext-max", route="bfl", prompt="a fox", n=10)
    state = await harness.family.start(pb.StartRequest(job_id="job_test", task=task, fail_fast=True))
    assert state.failed.reason == ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED
    assert len(bfl.sent) == 6


async def test_poll_without_a_connection_keeps_the_task(bfl: Bfl, harness: Harness) -> None:
    started = start(fail_fast=True)
    state = await harness.family.start(started)
    await bfl.stop()
    harness.now += 10
    request = pb.PollRequest(job_id="job_test", task_ref=state.running.task_ref, task=started.task)
    assert (await harness.family.poll(request)).running.task_ref == state.running.task_ref


async def test_polls_slow_down_without_progress(bfl: Bfl, harness: Harness) -> None:
    bfl.script = ["Pending"]
    request = start(fail_fast=False)
    state = await harness.family.start(request)
    pauses, elapsed = [], 0.0
    while elapsed < 120:
        pauses.append(state.running.poll_after.ToTimedelta().total_seconds())
        harness.now += pauses[-1]
        elapsed += pauses[-1]
        reference = state.running.task_ref
        state = await harness.family.poll(
            pb.PollRequest(job_id=request.job_id, task=request.task, task_ref=reference)
        )
        assert state.running.task_ref == reference, "an unchanged task keeps its reference, so no record is written"
    assert pauses == sorted(pauses)
    assert pauses[0] == 0.5
    assert pauses[-1] == SLOWEST_POLL
    assert 18 < len(pauses) < 30


async def test_progress_restores_the_poll_frequency(bfl: Bfl, harness: Harness) -> None:
    bfl.script = ["Pending"]
    request = start(fail_fast=False)
    state = await harness.family.start(request)

    async def poll() -> pb.TaskState:
        return await harness.family.poll(
            pb.PollRequest(job_id=request.job_id, task=request.task, task_ref=state.running.task_ref)
        )

    harness.now += 100
    state = await poll()
    assert state.running.poll_after.seconds == SLOWEST_POLL
    bfl.progress = 0.4
    state = await poll()
    assert state.running.progress == 40
    assert state.running.poll_after.ToTimedelta().total_seconds() == 1.5
    harness.now += 100
    bfl.failures[:] = [(502, {}, {})]
    state = await poll()
    assert state.running.poll_after.seconds == SLOWEST_POLL, "an error response is no progress"
