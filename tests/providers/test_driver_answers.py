"""Answers of the driver where it can do nothing: no call to cancel, or an input that stays unreadable."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from imagegateway.media.store import StoreUnavailable
from imagegateway.media.store_retry import INPUT_SECONDS
from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.providers.bfl.adapter import BflAdapter
from imagegateway.providers.bfl.catalog import MODELS
from imagegateway.v1.error_reason_pb2 import ErrorReason

from tests.emulators.base import image_bytes
from tests.providers.harness import Harness

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.emulators.bfl import Bfl


@pytest.fixture
async def harness(bfl: Bfl, tmp_path: Path) -> AsyncIterator[Harness]:
    values = {"IMAGEGATEWAY_BFL_BASE_URL": bfl.base, "IMAGEGATEWAY_BFL_API_KEY": bfl.key}
    async with Harness.open(MODELS, [BflAdapter()], tmp_path, values) as opened:
        yield opened


def task(**fields: object) -> pb.ImageTask:
    return pb.ImageTask(model="bfl/flux-2-pro", route="bfl", prompt="a fox", n=1, **fields)  # type: ignore[arg-type]


async def test_start_that_is_not_in_progress_here_is_not_reported_as_stopped(harness: Harness) -> None:
    assert not await harness.family.cancel(pb.CancelRequest(job_id="unknown", task=task()))


async def test_task_that_the_provider_cannot_stop_is_not_reported_as_stopped(bfl: Bfl, harness: Harness) -> None:
    bfl.script = ["Pending"]
    state = await harness.family.start(pb.StartRequest(job_id="job", task=task()))
    cancel = pb.CancelRequest(job_id="job", task=task(), task_ref=state.running.task_ref)
    assert not await harness.family.cancel(cancel)


async def test_input_that_stays_unreadable_fails_the_start_before_any_call(
    bfl: Bfl, harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = await harness.keep(image_bytes())

    async def unavailable(_key: str) -> bytes:
        raise StoreUnavailable("disk")

    monkeypatch.setattr(harness.store, "read", unavailable)
    failed = (await harness.run(task(inputs=[source]))).failed
    assert (failed.reason, failed.may_be_billed) == (ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE, False)
    assert failed.retry_after.ToTimedelta().total_seconds() == INPUT_SECONDS
    assert sum(harness.slept) == pytest.approx(INPUT_SECONDS)
    assert not bfl.sent


async def test_task_that_is_accepted_at_first_makes_all_its_calls_with_and_without_another_route(
    bfl: Bfl, harness: Harness
) -> None:
    """The model allows 6 of 10 calls at once, so the driver makes them in two batches."""
    ten = pb.ImageTask(model="bfl/flux-kontext-max", route="bfl", prompt="a fox", n=10)
    for fail_fast in (True, False):
        await harness.family.start(pb.StartRequest(job_id="job", task=ten, fail_fast=fail_fast))
        assert len(bfl.tasks) == 10
        bfl.tasks.clear()
