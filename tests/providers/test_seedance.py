"""The bytedance family's videos against the emulator: tasks, states and errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.providers.bytedance.adapter import BytedanceAdapter
from imagegateway.providers.bytedance.catalog import MODELS
from imagegateway.v1.error_reason_pb2 import ErrorReason

from tests.emulators.ark import VIDEO, Ark
from tests.providers.harness import Harness
from tests.providers.tasks import task_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

TASKS = "/api/v3/contents/generations/tasks"
VIDEOS = [model for model in MODELS if model.modality == "video"]


@pytest.fixture
async def harness(ark: Ark, tmp_path: Path) -> AsyncIterator[Harness]:
    values = {"IMAGEGATEWAY_BYTEDANCE_BASE_URL": f"{ark.base}/api/v3", "IMAGEGATEWAY_BYTEDANCE_API_KEY": ark.key}
    async with Harness.open(MODELS, [BytedanceAdapter()], tmp_path, values) as harness:
        yield harness


task = task_of("bytedance", "bytedance/seedance-2.0", width=1280, height=720)


async def test_video_is_submitted_polled_and_fetched(ark: Ark, harness: Harness) -> None:
    state = await harness.run(task(seconds=8, seed=5))
    (artifact,) = state.done.artifacts
    assert [(sent.method, sent.path) for sent in ark.sent] == [
        ("POST", TASKS),
        *[("GET", f"{TASKS}/cgt-0")] * 3,
        ("GET", "/tos/cgt-0.mp4"),
    ]
    assert ark.sent[0].json == {
        "model": "dreamina-seedance-2-0-260128",
        "content": [{"type": "text", "text": "a fox"}],
        "watermark": False,
        "ratio": "16:9",
        "resolution": "720p",
        "duration": 8,
        "seed": 5,
    }
    assert [sent.headers.get("authorization") for sent in ark.sent] == [f"Bearer {ark.key}"] * 4 + [None]
    assert await harness.bytes_of(artifact) == VIDEO
    assert (artifact.media.media_type, artifact.seed, ark.billed) == ("video/mp4", 5, 1)
    assert state.done.usage.total_tokens == 108_900


@pytest.mark.parametrize("model", VIDEOS, ids=lambda model: str(model.id))
async def test_every_model_is_served(ark: Ark, harness: Harness, model: Any) -> None:
    assert (await harness.run(task(model.id))).HasField("done")
    assert ark.sent[0].json["model"] == model.routes[0].native_id


@pytest.mark.parametrize(
    ("asked", "ratio", "resolution"),
    [
        ((1280, 720), "16:9", "720p"),
        ((720, 1280), "9:16", "720p"),
        ((1920, 1080), "16:9", "1080p"),
        ((854, 480), "16:9", "480p"),
        ((640, 360), "16:9", "480p"),
        ((1024, 1024), "1:1", "1080p"),
        ((640, 480), "4:3", "480p"),
        ((3840, 2160), "16:9", "1080p"),
        ((1680, 720), "21:9", "720p"),
    ],
)
async def test_size_becomes_ratio_and_resolution(
    ark: Ark, harness: Harness, asked: tuple[int, int], ratio: str, resolution: str
) -> None:
    width, height = VIDEOS[0].sizes.nearest(*asked)
    await harness.run(task(width=width, height=height))
    assert (ark.sent[0].json["ratio"], ark.sent[0].json["resolution"]) == (ratio, resolution)


async def test_aspect_ratio_alone_keeps_the_default_resolution(ark: Ark, harness: Harness) -> None:
    await harness.run(task(width=1440, height=1080, aspect_ratio="4:3"))
    assert (ark.sent[0].json["ratio"], ark.sent[0].json["resolution"]) == ("4:3", "720p")


async def test_fractional_seconds_are_refused_before_the_call(ark: Ark, harness: Harness) -> None:
    failed = (await harness.run(task(seconds=4.5))).failed
    assert (failed.reason, failed.param) == (ErrorReason.ERROR_REASON_INVALID_VALUE, "seconds")
    assert not ark.sent


async def test_n_videos_are_n_tasks(ark: Ark, harness: Harness) -> None:
    state = await harness.run(task(n=2, seed=9))
    assert [artifact.seed for artifact in state.done.artifacts] == [9, 10]
    assert ark.billed == 2


@pytest.mark.parametrize(
    ("last", "reason"),
    [
        (
            {"code": "OutputVideoSensitiveContentDetected", "message": "no"},
            ErrorReason.ERROR_REASON_MODERATION_BLOCKED,
        ),
        ({"code": "InvalidParameter", "message": "bad"}, ErrorReason.ERROR_REASON_INVALID_VALUE),
        ({"code": "InternalServiceError", "message": "secret"}, ErrorReason.ERROR_REASON_PROVIDER_ERROR),
        ("cancelled", ErrorReason.ERROR_REASON_PROVIDER_ERROR),
        ("expired", ErrorReason.ERROR_REASON_PROVIDER_TIMEOUT),
        ("daydreaming", ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE),
    ],
)
async def test_terminal_and_unknown_states_end_the_task(ark: Ark, harness: Harness, last: Any, reason: Any) -> None:
    ark.script = ("queued", last)
    failed = (await harness.run(task())).failed
    assert (failed.reason, failed.may_be_billed) == (reason, True)
    assert "secret" not in failed.message
    assert (len([sent for sent in ark.sent if sent.method == "POST"]), ark.billed) == (1, 0)


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        (400, "InputTextSensitiveContentDetected", ErrorReason.ERROR_REASON_MODERATION_BLOCKED),
        (401, "AuthenticationError", ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS),
        (404, "ModelNotOpen", ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS),
        (429, "QuotaExceeded", ErrorReason.ERROR_REASON_PROVIDER_BILLING),
        (500, "InternalServiceError", ErrorReason.ERROR_REASON_PROVIDER_ERROR),
    ],
)
async def test_refused_submits_are_final(ark: Ark, harness: Harness, status: int, code: str, reason: Any) -> None:
    ark.failures = [(status, {"error": {"code": code, "message": "no", "param": "", "type": ""}}, {})]
    assert (await harness.run(task())).failed.reason == reason
    assert len(ark.sent) == 1


async def test_lost_task_ends_after_its_grace_and_failed_polls_are_repeated(ark: Ark, harness: Harness) -> None:
    gone: Any = (404, {"error": {"code": "NotFound", "message": "no"}}, {})
    ark.failures = [(200, {"id": "cgt-9"}, {}), gone, (503, b"", {}), (429, {}, {}), *[gone] * 99]
    failed = (await harness.run(task())).failed
    assert (failed.reason, failed.may_be_billed) == (ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE, True)


async def test_cancel_reaches_the_provider(ark: Ark, harness: Harness) -> None:
    state = await harness.family.start(pb.StartRequest(job_id="job_test", task=task()))
    request = pb.CancelRequest(job_id="job_test", task=task(), task_ref=state.running.task_ref)
    assert await harness.family.cancel(request)
    assert (ark.deleted, ark.sent[-1].method) == (["cgt-0"], "DELETE")
