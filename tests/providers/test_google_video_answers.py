"""Responses of Veo and Omni in every form of Google's JSON, and invalid ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.v1.error_reason_pb2 import ErrorReason

from tests.emulators.google import VIDEO
from tests.providers.google import OMNI, OPERATION, VEO, answered, b64, operation, task
from tests.providers.harness import dollars

if TYPE_CHECKING:
    from tests.emulators.google import Google
    from tests.providers.harness import Harness

BLOCKED = ErrorReason.ERROR_REASON_MODERATION_BLOCKED
FAILED = ErrorReason.ERROR_REASON_PROVIDER_ERROR
UNREADABLE = ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE
LIMITED = ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED


@pytest.mark.parametrize(
    "answer",
    [
        {"generateVideoResponse": {"generatedSamples": [{"video": {"uri": "/v1beta/files/a:download?alt=media"}}]}},
        {"generate_video_response": {"generated_samples": [{"video": {"uri": "/v1beta/files/a"}}, {"video": None}]}},
        {"generateVideoResponse": {"generatedSamples": [{"video": {"encodedVideo": b64(VIDEO)}}]}},
        {"videos": [{"bytesBase64Encoded": b64(VIDEO), "mimeType": "video/mp4"}]},
    ],
)
async def test_video_is_read_in_every_form(google: Google, google_harness: Harness, answer: Any) -> None:
    google.files["a"] = ["ACTIVE"]
    body = operation(**answer)
    for samples in (answer.get("generateVideoResponse") or {}).values():
        for sample in samples:
            if "uri" in sample["video"]:
                sample["video"]["uri"] = google.base + sample["video"]["uri"]
    (artifact,) = (await answered(google, google_harness, {"name": OPERATION}, body, model=VEO)).done.artifacts
    assert await google_harness.bytes_of(artifact) == VIDEO


async def test_operation_that_is_done_at_once_is_read(google: Google, google_harness: Harness) -> None:
    state = await answered(google, google_harness, operation(videos=[{"bytesBase64Encoded": b64(VIDEO)}]), model=VEO)
    assert (len(state.done.artifacts), len(google.sent)) == (1, 1)
    refused = {"name": OPERATION, "done": True, "error": {"code": 3, "message": "It violates our usage guidelines."}}
    failed = (await answered(google, google_harness, refused, model=VEO)).failed
    assert (failed.reason, failed.param, failed.may_be_billed) == (BLOCKED, "prompt", True)


@pytest.mark.parametrize("body", [{}, {"name": ""}, {"name": 7}, b"oops"])
async def test_operation_without_a_name_is_unreadable(google: Google, google_harness: Harness, body: Any) -> None:
    failed = (await answered(google, google_harness, body, model=VEO)).failed
    assert (failed.reason, failed.may_be_billed, len(google.sent)) == (UNREADABLE, True, 1)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ({"code": "8", "message": "no"}, LIMITED),
        ({"code": 429, "message": "no"}, LIMITED),
        ({"code": "RESOURCE_EXHAUSTED"}, LIMITED),
        ({"code": 3, "status": "PERMISSION_DENIED"}, ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS),
        ({"code": 404}, ErrorReason.ERROR_REASON_MODEL_RETIRED),
        ({"code": "IMAGE_SAFETY", "message": "no"}, BLOCKED),
        ({"message": "no code"}, FAILED),
    ],
)
@pytest.mark.parametrize("model", [VEO, OMNI])
async def test_errors_in_responses_are_mapped_by_every_kind_of_code(
    google: Google, google_harness: Harness, model: str, error: Any, reason: Any
) -> None:
    submitted: Any = {"name": OPERATION} if model == VEO else {"id": "v1_7", "status": "in_progress"}
    ended = {"done": True, "error": error} if model == VEO else {"status": "failed", "errors": [error]}
    failed = (await answered(google, google_harness, submitted, ended, model=model)).failed
    assert (failed.reason, failed.may_be_billed, len(google.sent)) == (reason, True, 2)


async def test_count_of_filtered_videos_in_a_string_is_read(google: Google, google_harness: Harness) -> None:
    for filtered, reason in (("1", BLOCKED), ("0", FAILED), (0, FAILED)):
        body = operation(generateVideoResponse={"raiMediaFilteredCount": filtered})
        assert (await answered(google, google_harness, {"name": OPERATION}, body, model=VEO)).failed.reason == reason


@pytest.mark.parametrize("model", [VEO, OMNI])
@pytest.mark.parametrize("odd", [b"<html>busy</html>", b"{", {}, b""])
async def test_unreadable_poll_loses_no_video(google: Google, google_harness: Harness, model: str, odd: Any) -> None:
    state = await google_harness.family.start(pb.StartRequest(job_id="job_test", task=task(model)))
    request = pb.PollRequest(job_id="job_test", task_ref=state.running.task_ref, task=task(model))
    google.failures = [(200, odd, {})]
    state = await google_harness.family.poll(request)
    assert state.HasField("running")
    request.task_ref = state.running.task_ref
    google.polls = 0
    for known in google.tasks.values():
        known["left"] = 0
    assert not (await google_harness.family.poll(request)).HasField("failed")


async def test_interaction_is_read_when_done_at_once_or_in_another_spelling(
    google: Google, google_harness: Harness
) -> None:
    video = {"type": "video", "data": b64(VIDEO), "mime_type": "video/mp4"}
    steps = [None, {"type": "model_output", "content": [{"type": "text", "text": "So."}, video]}]
    body = {"id": "v1_7", "status": "COMPLETED", "steps": steps, "usage": {"total_output_tokens": "46336"}}
    done = (await answered(google, google_harness, body, model=OMNI)).done
    assert await google_harness.bytes_of(done.artifacts[0]) == VIDEO
    assert dollars(task(OMNI), done) == 0.8, "without both counts, the price of 8 seconds applies"


async def test_tokens_and_cost_of_an_interaction_are_kept_until_its_file_is_active(google_harness: Harness) -> None:
    done = (await google_harness.run(task(OMNI))).done
    assert (done.usage.input_tokens, done.usage.output_tokens, done.usage.total_tokens) == (7, 46_336, 46_343)
    assert dollars(task(OMNI), done) == 0.81088


async def test_video_of_an_interaction_outside_of_the_files_api_is_fetched(
    google: Google, google_harness: Harness
) -> None:
    uri = f"{google.base}/bucket/files/made.mp4?signature=s"
    video = {"type": "video", "uri": uri}
    body = {"status": "completed", "steps": [{"type": "model_output", "content": [video]}]}
    state = await answered(google, google_harness, {"id": "v1_7", "status": "in_progress"}, body, VIDEO, model=OMNI)
    assert await google_harness.bytes_of(state.done.artifacts[0]) == VIDEO
    assert google.sent[-1].path == "/bucket/files/made.mp4"


async def test_interactions_without_a_video_or_with_a_failed_file_end(
    google: Google, google_harness: Harness
) -> None:
    words = {"status": "completed", "steps": [{"type": "model_output", "content": [{"type": "text", "text": "No."}]}]}
    failed = (
        await answered(google, google_harness, {"id": "v1_7", "status": "in_progress"}, words, model=OMNI)
    ).failed
    assert (failed.reason, failed.may_be_billed) == (FAILED, True)
    video = {"type": "video", "uri": f"{google.base}/v1beta/files/a:download?alt=media"}
    made = {"id": "v1_7", "status": "completed", "steps": [{"type": "model_output", "content": [video]}]}
    for ended in (
        {"name": "files/a", "state": "FAILED", "error": {"code": 13, "message": "no"}},
        {"state": "FAILED"},
    ):
        failed = (await answered(google, google_harness, made, {"state": "PROCESSING"}, ended, model=OMNI)).failed
        assert (failed.reason, failed.may_be_billed) == (FAILED, True)


@pytest.mark.parametrize("uri", ["", None, 7, ["x"]])
async def test_result_without_an_address_is_never_fetched(google: Google, google_harness: Harness, uri: Any) -> None:
    steps = [{"type": "model_output", "content": [{"type": "video", "uri": uri}]}]
    body = {"id": "v1_7", "status": "completed", "steps": steps}
    failed = (await answered(google, google_harness, body, model=OMNI)).failed
    assert (failed.reason, failed.may_be_billed, len(google.sent)) == (UNREADABLE, True, 1)
