"""Stability's tasks: poll interval, and outcomes of poll responses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.v1.error_reason_pb2 import ErrorReason

from tests.emulators.base import image_bytes

if TYPE_CHECKING:
    from tests.emulators.stability import Stability
    from tests.providers.harness import Harness

R = ErrorReason


@pytest.fixture
def harness(stability_harness: Harness) -> Harness:
    return stability_harness


async def upscale(harness: Harness, n: int = 1) -> pb.ImageTask:
    inputs = [await harness.keep(image_bytes())]
    return pb.ImageTask(model="stability-ai/upscale-creative", route="stability", prompt="a fox", n=n, inputs=inputs)


def _body(name: str, message: str) -> dict[str, Any]:
    return {"id": "x", "name": name, "errors": [message]}


@pytest.mark.parametrize(
    ("answer", "pause"),
    [
        ((404, _body("not_found", "id"), {}), 10),
        ((410, b"", {}), 10),
        ((500, _body("internal_error", "x"), {}), 10),
        ((502, b"<html>", {}), 10),
        ((429, _body("rate_limit_exceeded", "slow"), {}), 60),
        ((429, _body("rate_limit_exceeded", "slow"), {"retry-after": "25"}), 25),
        ((202, {"id": "x"}, {}), 10),
        ((202, {"id": "x", "status": "dreaming"}, {}), 10),
    ],
)
async def test_poll_error_is_waited_out_at_the_requested_interval(
    stability: Stability, harness: Harness, answer: tuple[int, Any, dict[str, str]], pause: int
) -> None:
    stability.script = ()
    task = await upscale(harness)
    state = await harness.family.start(pb.StartRequest(job_id="job_test", task=task))
    stability.failures = [answer]
    state = await harness.family.poll(pb.PollRequest(job_id="job_test", task_ref=state.running.task_ref, task=task))
    assert state.running.poll_after.seconds == pause
    state = await harness.family.poll(pb.PollRequest(job_id="job_test", task_ref=state.running.task_ref, task=task))
    assert len(state.done.artifacts) == stability.billed == 1


async def test_moderation_at_a_poll_ends_the_task(stability: Stability, harness: Harness) -> None:
    task = await upscale(harness)
    state = await harness.family.start(pb.StartRequest(job_id="job_test", task=task))
    stability.failures = [(403, _body("content_moderation", "flagged"), {})]
    state = await harness.family.poll(pb.PollRequest(job_id="job_test", task_ref=state.running.task_ref, task=task))
    assert (state.failed.reason, state.failed.may_be_billed) == (R.ERROR_REASON_MODERATION_BLOCKED, True)


async def test_task_is_polled_every_ten_seconds(stability: Stability, harness: Harness) -> None:
    began = harness.now
    state = await harness.run(await upscale(harness, n=2))
    assert (len(state.done.artifacts), stability.billed) == (2, 2)
    polls = [sent for sent in stability.sent if sent.method == "GET"]
    assert {sent.path.rpartition("/")[0] for sent in polls} == {"/v2beta/results"}
    assert {sent.headers["authorization"] for sent in polls} == {"Bearer sk-test"}
    assert (len(polls), harness.now - began) == (6, 30)


async def test_lost_task_fails_by_state_name_after_the_grace_period(stability: Stability, harness: Harness) -> None:
    stability.script = ("in-progress",) * 9
    task = await upscale(harness)
    state = await harness.family.start(pb.StartRequest(job_id="job_test", task=task))
    stability.tasks.clear()
    for _ in range(60):
        if not state.HasField("running"):
            break
        harness.now += state.running.poll_after.ToTimedelta().total_seconds()
        state = await harness.family.poll(
            pb.PollRequest(job_id="job_test", task_ref=state.running.task_ref, task=task)
        )
    assert state.failed.reason == R.ERROR_REASON_PROVIDER_BAD_RESPONSE
    assert "not_found" in state.failed.message
    assert state.failed.may_be_billed
