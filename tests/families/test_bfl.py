"""The bfl family against its emulator: what is sent, what becomes of every state and error, what is billed."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.v1.error_reason_pb2 import ErrorReason

from services.bfl.adapter import BflAdapter
from services.bfl.catalog import MODELS
from tests.emulators.base import picture
from tests.emulators.bfl import MOVIE, Bfl
from tests.families.harness import Bench

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def bfl() -> AsyncIterator[Bfl]:
    async with Bfl() as emulator:
        assert isinstance(emulator, Bfl)
        yield emulator


@pytest.fixture
async def bench(bfl: Bfl, tmp_path: Path) -> AsyncIterator[Bench]:
    values = {"IMAGEGATEWAY_BFL_BASE_URL": bfl.base + "/v1", "IMAGEGATEWAY_BFL_API_KEY": bfl.key}
    bench = Bench.open(MODELS, [BflAdapter()], tmp_path, values)
    yield bench
    await bench.family.close()


def task(model: str = "bfl/flux-2-pro", **fields: Any) -> pb.ImageTask:
    return pb.ImageTask(model=model, route="bfl", **{"prompt": "a fox", "n": 1, **fields})


async def test_picture_is_submitted_polled_fetched_and_kept_byte_for_byte(bfl: Bfl, bench: Bench) -> None:
    state = await bench.run(task(width=512, height=768, seed=5, output_format="png"))
    (artifact,) = state.done.artifacts
    submit = bfl.sent[0]
    assert (submit.method, submit.path) == ("POST", "/v1/flux-2-pro")
    assert submit.json == {"prompt": "a fox", "width": 512, "height": 768, "seed": 5, "output_format": "png"}
    assert await bench.bytes_of(artifact) == picture(512, 768)
    assert (artifact.media.media_type, artifact.media.width, artifact.seed) == ("image/png", 512, 5)
    assert (state.done.cost.amount, bfl.billed) == (0.045, 1)


async def test_key_goes_to_the_api_and_not_to_the_result_host(bfl: Bfl, bench: Bench) -> None:
    await bench.run(task())
    keys = {sent.path.partition("/task")[0]: sent.headers.get("x-key") for sent in bfl.sent}
    assert keys["/v1/flux-2-pro"] == keys["/v1/get_result"] == bfl.key
    assert keys["/delivery"] is None


async def test_n_pictures_are_n_tasks_with_seeds_that_follow(bfl: Bfl, bench: Bench) -> None:
    state = await bench.run(task(n=3, seed=9))
    submits = [sent.json["seed"] for sent in bfl.sent if sent.method == "POST"]
    assert sorted(submits) == [9, 10, 11]
    assert [artifact.seed for artifact in state.done.artifacts] == [9, 10, 11]


async def test_references_and_mask_go_to_the_models_own_fields(bfl: Bfl, bench: Bench) -> None:
    first, second = picture(32, 32), picture(32, 32, colour=(1, 2, 3))
    inputs = [await bench.keep(first), await bench.keep(second)]
    await bench.run(task("bfl/flux-kontext-pro", inputs=inputs, aspect_ratio="16:9"))
    sent = bfl.sent[0].json
    assert base64.b64decode(sent["input_image"]) == first
    assert base64.b64decode(sent["input_image_2"]) == second
    assert sent["aspect_ratio"] == "16:9"
    await bench.run(task("bfl/flux-pro-1.0-fill", inputs=inputs[:1], mask=inputs[1], width=32, height=32))
    sent = next(sent for sent in bfl.sent if sent.path.endswith("fill")).json
    assert base64.b64decode(sent["mask"]) == second
    assert "width" not in sent


@pytest.mark.parametrize(
    ("last", "reason"),
    [
        ("Request Moderated", ErrorReason.ERROR_REASON_MODERATION_BLOCKED),
        ("Content Moderated", ErrorReason.ERROR_REASON_MODERATION_BLOCKED),
        ("Error", ErrorReason.ERROR_REASON_PROVIDER_ERROR),
        ("Task not found", ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE),
        ("Daydreaming", ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE),
    ],
)
async def test_terminal_and_unknown_states_end_by_name(
    bfl: Bfl, bench: Bench, last: str, reason: ErrorReason.ValueType
) -> None:
    bfl.script = ("Pending", last)
    state = await bench.run(task())
    assert state.failed.reason == reason
    assert (len([sent for sent in bfl.sent if sent.method == "POST"]), bfl.billed) == (1, 0)


async def test_task_not_yet_visible_is_waited_for(bfl: Bfl, bench: Bench) -> None:
    bfl.script = ("Task not found", "Pending", "Ready")
    assert (await bench.run(task())).HasField("done")


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (400, {"detail": "no"}, ErrorReason.ERROR_REASON_INVALID_VALUE),
        (402, {"detail": "no credits"}, ErrorReason.ERROR_REASON_PROVIDER_BILLING),
        (403, {"detail": "Not authenticated"}, ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS),
        (404, {"detail": "Not Found"}, ErrorReason.ERROR_REASON_MODEL_RETIRED),
        (422, {"detail": [{"loc": ["body", "width"], "msg": "bad"}]}, ErrorReason.ERROR_REASON_INVALID_VALUE),
        (500, b"oops", ErrorReason.ERROR_REASON_PROVIDER_ERROR),
    ],
)
async def test_errors_are_final_after_one_call(
    bfl: Bfl, bench: Bench, status: int, body: Any, reason: ErrorReason.ValueType
) -> None:
    bfl.failures = [(status, body, {})]
    state = await bench.run(task())
    assert (state.failed.reason, len(bfl.sent)) == (reason, 1)


async def test_rate_limit_is_waited_out_as_told(bfl: Bfl, bench: Bench) -> None:
    bfl.failures = [(429, {"detail": "slow"}, {"Retry-After": "7"})]
    assert (await bench.run(task())).HasField("done")
    assert 7 <= bench.slept[0] < 8


async def test_broken_connection_after_the_request_is_not_repeated(bench: Bench, bfl: Bfl) -> None:
    await bfl.stop()
    state = await bench.run(task())
    assert state.failed.reason == ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE
    assert not state.failed.accepted


async def test_video_has_shape_tier_and_whole_seconds(bfl: Bfl, bench: Bench) -> None:
    state = await bench.run(task("bfl/flux-3-video", width=1080, height=1920, seconds=8, moderation="low"))
    assert (bfl.sent[0].path, bfl.sent[0].json) == (
        "/v1/flux-3-video",
        {
            "mode": "t2v",
            "prompt": "a fox",
            "aspect_ratio": "9:16",
            "resolution": "fhd",
            "duration": 8,
            "safety_tolerance": 4,
        },
    )
    (artifact,) = state.done.artifacts
    assert await bench.bytes_of(artifact) == MOVIE
    assert artifact.media.media_type == "video/mp4"


async def test_video_of_parts_of_seconds_is_refused_before_the_call(bfl: Bfl, bench: Bench) -> None:
    state = await bench.run(task("bfl/flux-3-video", width=1280, height=720, seconds=7.5))
    assert (state.failed.reason, state.failed.param) == (ErrorReason.ERROR_REASON_INVALID_VALUE, "seconds")
    assert not bfl.sent
