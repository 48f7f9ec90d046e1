"""The google family's videos against its emulator: Veo's operations, Omni's interactions and files, downloads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.providers.google.catalog import MODELS
from imagegateway.v1.error_reason_pb2 import ErrorReason

from tests.emulators.base import Emulator
from tests.emulators.google import VIDEO, Google
from tests.providers.harness import dollars
from tests.providers.tasks import task_of

if TYPE_CHECKING:
    from imagegateway.providers.catalog import Model

    from tests.providers.harness import Harness

OMNI = "google/gemini-omni-1.2-flash"


@pytest.fixture
def harness(google_harness: Harness) -> Harness:
    return google_harness


class Bucket(Emulator):
    """Host that downloads redirect to."""

    def routes(self, app: web.Application) -> None:
        app.router.add_get("/{name}", self._video)

    async def _video(self, request: web.Request) -> web.Response:
        return web.Response(body=VIDEO, content_type="video/mp4")


task = task_of("google", "google/veo-3.1-fast", prompt="a fox runs")


@pytest.mark.parametrize(
    "model", [model for model in MODELS if model.modality == "video"], ids=lambda model: str(model.id)
)
async def test_every_model_makes_every_size_that_it_lists(google: Google, harness: Harness, model: Model) -> None:
    sizes = getattr(model.sizes, "sizes", ())
    for width, height in sizes:
        state = await harness.run(task(model.id, width=width, height=height, seconds=8))
        (artifact,) = state.done.artifacts
        assert artifact.media.media_type == "video/mp4"
    assert google.billed == len(sizes) > 0


async def test_veo_is_a_polled_operation_and_a_download_with_the_key(google: Google, harness: Harness) -> None:
    google.polls = 2
    request = task(width=1080, height=1920, seconds=6, negative_prompt="rain")
    state = await harness.run(request)
    submit, *polls, download = google.sent
    assert (submit.method, submit.path) == ("POST", "/v1beta/models/veo-3.1-fast-generate-preview:predictLongRunning")
    assert submit.json == {
        "instances": [{"prompt": "a fox runs"}],
        "parameters": {
            "sampleCount": 1,
            "aspectRatio": "9:16",
            "resolution": "1080p",
            "durationSeconds": 6,
            "negativePrompt": "rain",
        },
    }
    path = "/v1beta/models/veo-3.1-fast-generate-preview/operations/op0"
    assert [(sent.method, sent.path) for sent in polls] == 3 * [("GET", path)]
    assert (download.path, download.query["alt"]) == ("/v1beta/files/file1:download", "media")
    assert {sent.headers.get("x-goog-api-key") for sent in google.sent} == {google.key}
    assert await harness.bytes_of(state.done.artifacts[0]) == VIDEO
    assert (dollars(request, state.done), google.billed) == (0.72, 1)


async def test_key_does_not_follow_a_redirect_to_another_host(google: Google, harness: Harness) -> None:
    async with Bucket() as bucket:
        google.elsewhere = bucket.base
        state = await harness.run(task())
        assert await harness.bytes_of(state.done.artifacts[0]) == VIDEO
        (sent,) = bucket.sent
    assert sent.path == "/file1.mp4"
    assert "x-goog-api-key" not in sent.headers
    assert google.sent[-1].headers["x-goog-api-key"] == google.key


async def test_failed_download_is_retried(google: Google, harness: Harness) -> None:
    google.polls = 0
    request = pb.StartRequest(job_id="job_test", task=task())
    running = (await harness.family.start(request)).running
    google.failures = [(200, _done(google), {}), (503, b"", {}), (429, b"", {})]
    state = await harness.family.poll(pb.PollRequest(job_id="job_test", task_ref=running.task_ref, task=task()))
    assert state.HasField("done")
    assert len(google.sent) == 5
    google.failures = [(200, _done(google), {}), (403, b"", {})]
    state = await harness.family.poll(pb.PollRequest(job_id="job_test", task_ref=running.task_ref, task=task()))
    assert state.failed.reason == ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE
    assert len(google.sent) == 7


def _done(google: Google) -> dict[str, Any]:
    google.files["made"] = ["ACTIVE"]
    uri = f"{google.base}/v1beta/files/made:download?alt=media"
    return {"done": True, "response": {"generateVideoResponse": {"generatedSamples": [{"video": {"uri": uri}}]}}}


async def test_length_is_never_changed(google: Google, harness: Harness) -> None:
    failed = (await harness.run(task(seconds=5))).failed
    assert (failed.reason, failed.param) == (ErrorReason.ERROR_REASON_INVALID_VALUE, "seconds")
    assert not google.sent
    await harness.run(task(seconds=4))
    assert google.sent[0].json["parameters"]["durationSeconds"] == 4


async def test_several_videos_are_one_operation_and_filtered_ones_are_missing(
    google: Google, harness: Harness
) -> None:
    google.filtered = 1
    done = (await harness.run(task(n=3))).done
    assert [sent.json["parameters"]["sampleCount"] for sent in google.sent if sent.method == "POST"] == [3]
    assert (len(done.artifacts), google.billed) == (2, 2)
    assert [missing.reason for missing in done.missing] == [ErrorReason.ERROR_REASON_MODERATION_BLOCKED]


async def test_response_with_all_videos_filtered_is_moderation(google: Google, harness: Harness) -> None:
    google.filtered = 1
    failed = (await harness.run(task())).failed
    assert (failed.reason, failed.may_be_billed) == (ErrorReason.ERROR_REASON_MODERATION_BLOCKED, True)


async def test_operation_without_videos_is_a_failure(google: Google, harness: Harness) -> None:
    google.failures = [
        (200, {"name": "models/x/operations/1"}, {}),
        (200, {"done": True, "response": {"generateVideoResponse": {}}}, {}),
    ]
    failed = (await harness.run(task())).failed
    assert (failed.reason, failed.may_be_billed) == (ErrorReason.ERROR_REASON_PROVIDER_ERROR, True)


@pytest.mark.parametrize(
    ("code", "message", "reason"),
    [
        (3, "Bad prompt.", ErrorReason.ERROR_REASON_INVALID_VALUE),
        (3, "It violates our usage guidelines.", ErrorReason.ERROR_REASON_MODERATION_BLOCKED),
        (4, "no", ErrorReason.ERROR_REASON_PROVIDER_TIMEOUT),
        (7, "no", ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS),
        (8, "no", ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED),
        (9, "no", ErrorReason.ERROR_REASON_PROVIDER_BILLING),
        (13, "no", ErrorReason.ERROR_REASON_PROVIDER_ERROR),
        (14, "no", ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE),
        (77, "no", ErrorReason.ERROR_REASON_PROVIDER_ERROR),
    ],
)
async def test_failed_operations_are_mapped_by_their_grpc_code(
    google: Google, harness: Harness, code: int, message: str, reason: ErrorReason.ValueType
) -> None:
    google.failed = {"code": code, "message": message}
    failed = (await harness.run(task())).failed
    assert (failed.reason, failed.may_be_billed, google.billed) == (reason, True, 0)
    assert len([sent for sent in google.sent if sent.method == "POST"]) == 1


async def test_failed_polls_do_not_end_the_task(google: Google, harness: Harness) -> None:
    state = await harness.family.start(pb.StartRequest(job_id="job_test", task=task()))
    ref = state.running.task_ref
    for status in (429, 500, 503, 404, 409):
        google.failures = [(status, b"", {})]
        state = await harness.family.poll(pb.PollRequest(job_id="job_test", task_ref=ref, task=task()))
        assert state.HasField("running"), status
    google.failures = [(403, b"", {})]
    state = await harness.family.poll(pb.PollRequest(job_id="job_test", task_ref=ref, task=task()))
    assert (state.failed.reason, state.failed.may_be_billed) == (ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS, True)


async def test_lost_operation_ends_after_a_grace(google: Google, harness: Harness) -> None:
    google.polls = 1000
    request = pb.StartRequest(job_id="job_test", task=task())
    ref = (await harness.family.start(request)).running.task_ref
    google.tasks.clear()
    began = harness.now
    while True:
        state = await harness.family.poll(pb.PollRequest(job_id="job_test", task_ref=ref, task=task()))
        if not state.HasField("running"):
            break
        ref = state.running.task_ref
        harness.now += 5
    assert state.failed.reason == ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE
    assert 30 <= harness.now - began < 60


async def test_omni_is_an_interaction_then_a_file(google: Google, harness: Harness) -> None:
    google.polls = 1
    state = await harness.run(task(OMNI, width=1920, height=1080, seconds=8))
    assert google.sent[0].json == {
        "model": "gemini-omni-1.2-flash",
        "input": "a fox runs",
        "response_format": {
            "type": "video",
            "delivery": "uri",
            "aspect_ratio": "16:9",
            "resolution": "1080p",
            "duration": "8s",
        },
        "background": True,
    }
    assert [sent.path for sent in google.sent] == [
        "/v1beta/interactions",
        *2 * ["/v1beta/interactions/v1_0"],
        *2 * ["/v1beta/files/file1"],
        "/v1beta/files/file1:download",
    ]
    assert {sent.headers.get("x-goog-api-key") for sent in google.sent} == {google.key}
    assert await harness.bytes_of(state.done.artifacts[0]) == VIDEO
    assert google.billed == 1


async def test_omni_response_with_inline_video_is_read(google: Google, harness: Harness) -> None:
    google.inline = True
    done = (await harness.run(task(OMNI))).done
    assert await harness.bytes_of(done.artifacts[0]) == VIDEO
    assert (done.usage.input_tokens, done.usage.output_tokens) == (7, 46_336)


@pytest.mark.parametrize(
    ("status", "failed", "reason"),
    [
        ("failed", None, ErrorReason.ERROR_REASON_PROVIDER_ERROR),
        ("failed", {"code": 3, "message": "bad"}, ErrorReason.ERROR_REASON_INVALID_VALUE),
        ("incomplete", None, ErrorReason.ERROR_REASON_PROVIDER_ERROR),
        ("cancelled", None, ErrorReason.ERROR_REASON_PROVIDER_ERROR),
        ("requires_action", None, ErrorReason.ERROR_REASON_PROVIDER_ERROR),
        ("requires_continuation", None, ErrorReason.ERROR_REASON_PROVIDER_ERROR),
        ("budget_exceeded", None, ErrorReason.ERROR_REASON_PROVIDER_BILLING),
        ("daydreaming", None, ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE),
    ],
)
async def test_interactions_end_by_their_status(
    google: Google, harness: Harness, status: str, failed: dict[str, Any] | None, reason: ErrorReason.ValueType
) -> None:
    google.status, google.failed = status, failed
    state = await harness.run(task(OMNI))
    assert (state.failed.reason, state.failed.may_be_billed, google.billed) == (reason, True, 0)


async def test_omni_is_cancelled_at_google_and_veo_is_not(google: Google, harness: Harness) -> None:
    for model, is_cancelled in ((OMNI, True), ("google/veo-3.1-fast", False)):
        state = await harness.family.start(pb.StartRequest(job_id="job_test", task=task(model)))
        cancel = pb.CancelRequest(job_id="job_test", task_ref=state.running.task_ref, task=task(model))
        assert await harness.family.cancel(cancel) == is_cancelled
    assert google.cancelled == ["v1_0"]
