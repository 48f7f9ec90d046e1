"""Tasks of the embedded family survive an unavailable media store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from imagegateway.media.decoding import DecodeBudget
from imagegateway.media.store import MediaStore, StoreUnavailable
from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.providers.local.family import LocalFamily

if TYPE_CHECKING:
    from pathlib import Path

    from imagegateway.media.objects import MediaObject, ResultOwner


@dataclass
class Clock:
    """Fake clock that the family's sleeps advance."""

    now: float = 1_800_000_000.0

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize("options", [{}, {"delay": 1}])
@pytest.mark.parametrize("seconds", [1.5, 30.0])
async def test_task_survives_an_unavailable_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], seconds: float
) -> None:
    clock = Clock()
    store = MediaStore.open((tmp_path / "media").as_uri())
    until, put = clock.now + 1 + seconds, store.put_result

    async def put_result(data: bytes, owner: ResultOwner) -> MediaObject:
        if clock.now < until:
            raise StoreUnavailable("disk")
        return await put(data, owner)

    monkeypatch.setattr(store, "put_result", put_result)
    family = LocalFamily(store, DecodeBudget(10**8), clock=lambda: clock.now, sleep=clock.sleep)
    task = pb.ImageTask(model="local/sketch", route="local", prompt="a fox", n=1, width=64, height=64)
    task.provider_options.update(options)
    state = await family.start(pb.StartRequest(job_id="job_test", task=task))
    while state.HasField("running"):
        await clock.sleep(state.running.poll_after.ToTimedelta().total_seconds())
        state = await family.poll(pb.PollRequest(job_id="job_test", task=task, task_ref=state.running.task_ref))
    assert len(state.done.artifacts) == 1
