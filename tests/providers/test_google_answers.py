"""Google's answers in every form that its JSON may take, and those that no one should send."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.providers.google.adapter import GoogleAdapter
from imagegateway.providers.google.catalog import MODELS
from imagegateway.v1.error_reason_pb2 import ErrorReason

from tests.emulators.base import image_bytes
from tests.emulators.google import VIDEO, Google
from tests.providers.harness import Bench

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

GEMINI = "google/gemini-3.1-flash-image"
IMAGEN = "google/imagen-4"
VEO = "google/veo-3.1-fast"
OMNI = "google/gemini-omni-1.2-flash"
BLOCKED = ErrorReason.ERROR_REASON_MODERATION_BLOCKED
FAILED = ErrorReason.ERROR_REASON_PROVIDER_ERROR
UNREADABLE = ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE
INVALID = ErrorReason.ERROR_REASON_INVALID_VALUE
LIMITED = ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED
PNG = image_bytes(40, 30)
JPEG = image_bytes(40, 30, "JPEG")


@pytest.fixture
async def google() -> AsyncIterator[Google]:
    async with Google() as emulator:
        assert isinstance(emulator, Google)
        yield emulator


@pytest.fixture
async def bench(google: Google, tmp_path: Path) -> AsyncIterator[Bench]:
    values = {"IMAGEGATEWAY_GOOGLE_BASE_URL": google.base, "IMAGEGATEWAY_GOOGLE_API_KEY": google.key}
    bench = Bench.open(MODELS, [GoogleAdapter()], tmp_path, values)
    yield bench
    await bench.family.close()


def task(model: str = GEMINI, **fields: Any) -> pb.ImageTask:
    return pb.ImageTask(model=model, route="google", **{"prompt": "a fox", "n": 1, **fields})


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


async def answered(google: Google, bench: Bench, *bodies: Any, model: str = GEMINI, **fields: Any) -> pb.TaskState:
    """How a task ends when these are the next answers, all with status 200."""
    google.failures = [(200, body, {}) for body in bodies]
    return await bench.run(task(model, **fields))


def candidate(*parts: Any, **fields: Any) -> dict[str, Any]:
    return {"candidates": [{"content": {"role": "model", "parts": list(parts)}, **fields}]}


@pytest.mark.parametrize(
    "body",
    [
        candidate({"inlineData": {"mimeType": "image/png", "data": b64(PNG)}}),
        candidate({"inline_data": {"mime_type": "image/png", "data": b64(PNG)}}),
        candidate({"inlineData": {"data": b64(PNG).rstrip("=").replace("+", "-").replace("/", "_")}}),
        candidate({"text": "Here."}, {"inlineData": {"mimeType": "image/jpeg", "data": b64(PNG)}}, {"text": None}),
        candidate({"inlineData": {"data": b64(PNG)}}, {"inlineData": {"data": "AAAA"}, "thought": True}),
        [candidate({"inlineData": {"data": b64(PNG)}})],
        {
            **candidate({"inlineData": {"data": b64(PNG)}}, finishReason=None),
            "promptFeedback": None,
            "new": {"x": [1]},
        },
        {**candidate({"inlineData": {"data": b64(PNG)}}), "error": None},
    ],
)
async def test_picture_is_found_in_every_form(google: Google, bench: Bench, body: Any) -> None:
    (artifact,) = (await answered(google, bench, body)).done.artifacts
    assert await bench.bytes_of(artifact) == PNG


async def test_pictures_of_several_candidates_are_all_kept(google: Google, bench: Bench) -> None:
    one = {"content": {"parts": [{"inlineData": {"data": b64(PNG)}}]}}
    state = await answered(google, bench, {"candidates": [one, {"finishReason": "IMAGE_SAFETY"}, one]})
    assert len(state.done.artifacts) == 2


@pytest.mark.parametrize(
    ("counted", "wanted"),
    [
        ({"promptTokenCount": "7", "candidatesTokenCount": "1120", "totalTokenCount": "1127"}, (7, 1120, 1127)),
        ({"promptTokenCount": 7, "candidatesTokenCount": 1120}, (7, 1120, 1127)),
        ({"promptTokenCount": 7, "thoughtsTokenCount": None, "candidatesTokenCount": -3}, None),
        ({"prompt_token_count": 7, "prompt_tokens_details": [{"token_count": 7}, {}, None]}, None),
        ({"totalTokenCount": 1 << 40, "promptTokensDetails": {"modality": "TEXT", "tokenCount": 1}}, None),
    ],
)
async def test_odd_token_counts_cost_no_image_and_are_whole_or_absent(
    google: Google, bench: Bench, counted: Any, wanted: tuple[int, int, int] | None
) -> None:
    body = {**candidate({"inlineData": {"data": b64(PNG)}}), "usageMetadata": counted}
    done = (await answered(google, bench, body)).done
    told = (done.usage.input_tokens, done.usage.output_tokens, done.usage.total_tokens)
    assert (told if done.HasField("usage") else None) == wanted


@pytest.mark.parametrize(
    ("body", "reason", "param", "calls"),
    [
        ({"promptFeedback": {"blockReason": "SAFETY"}}, BLOCKED, "prompt", 1),
        ({"prompt_feedback": {"block_reason": "OTHER"}, "candidates": []}, BLOCKED, "prompt", 1),
        ({"promptFeedback": {"blockReason": "OTHER"}, "candidates": [{"content": None}]}, BLOCKED, "prompt", 1),
        ({"candidates": [{"finish_reason": "IMAGE_SAFETY", "finish_message": "Code 1."}]}, BLOCKED, "", 1),
        ({"candidates": [{"finishReason": "image_safety", "content": {"parts": None}}]}, BLOCKED, "", 1),
        (candidate({"text": "No."}), FAILED, "", 2),
        ({"candidates": [{"content": {}}]}, FAILED, "", 2),
        ({"candidates": None}, UNREADABLE, "", 1),
        (candidate({"inlineData": {"data": "%%%"}}), UNREADABLE, "", 1),
        (candidate({"inlineData": {"data": b64(b"<html>")}}), UNREADABLE, "", 1),
        ({"error": {"code": 400, "message": "Bad seed.", "status": "INVALID_ARGUMENT"}}, INVALID, "", 1),
        (b'{"candidates": [', UNREADABLE, "", 1),
        (b"<html>10.0.0.7</html>", UNREADABLE, "", 1),
    ],
)
async def test_answers_without_a_picture(
    google: Google, bench: Bench, *, body: Any, reason: Any, param: str, calls: int
) -> None:
    failed = (await answered(google, bench, *[body] * 2)).failed
    assert (failed.reason, failed.param, len(google.sent), failed.may_be_billed) == (reason, param, calls, True)
    assert not [secret for secret in ("10.0.0.7", "Code 1", "No.", google.key) if secret in failed.message]


async def test_jpeg_of_a_wanted_quality_is_warned_about_when_google_made_the_jpeg(
    google: Google, bench: Bench
) -> None:
    body = candidate({"inlineData": {"data": b64(JPEG)}})
    wanted: dict[str, Any] = {"output_format": "jpeg", "output_compression": 30}
    state = await answered(google, bench, body, **wanted)
    assert await bench.bytes_of(state.done.artifacts[0]) == JPEG
    assert [warning.param for warning in state.done.warnings] == ["output_compression"]
    assert not (await answered(google, bench, candidate({"inlineData": {"data": b64(PNG)}}), **wanted)).done.warnings


async def test_input_fidelity_is_warned_about(bench: Bench) -> None:
    state = await bench.run(task(inputs=[await bench.keep(PNG)], input_fidelity="high"))
    assert [warning.param for warning in state.done.warnings] == ["input_fidelity"]


async def test_options_in_snake_case_join_ours(google: Google, bench: Bench) -> None:
    options = {"generation_config": {"image_config": {"person_generation": "ALLOW_NONE"}, "temperature": 1}}
    await bench.run(task(width=1024, height=1024, provider_options=options))
    config = google.sent[0].json["generationConfig"]
    assert config["imageConfig"] == {"aspectRatio": "1:1", "imageSize": "1K", "person_generation": "ALLOW_NONE"}
    assert (config["responseModalities"], config["temperature"]) == (["IMAGE"], 1)
    for name, value in (("image_size", "4K"), ("imageSize", "4K"), ("aspect_ratio", "16:9")):
        options = {"generation_config": {"image_config": {name: value}}}
        failed = (await bench.run(task(provider_options=options))).failed
        assert failed.param == f"provider_options.generation_config.image_config.{name}"


async def test_tokens_are_the_price_where_a_tier_has_none(bench: Bench) -> None:
    done = (await bench.run(task("google/gemini-nano-banana-2.1", width=2048, height=2048))).done
    assert done.cost.amount == pytest.approx((7 * 1.5 + 1220 * 30) / 1e6, abs=1e-6)


@pytest.mark.parametrize("native", ["gemini-2.5-flash-image", "gemini-3.1-flash-image", "gemini-3-pro-image"])
async def test_ending_models_name_their_successor_once_they_are_gone(
    google: Google, bench: Bench, native: str
) -> None:
    google.gone = {native}
    failed = (await bench.run(task(f"google/{native}"))).failed
    assert failed.reason == ErrorReason.ERROR_REASON_MODEL_RETIRED
    assert failed.message.endswith("Its successor is google/gemini-nano-banana-2.1.")


@pytest.mark.parametrize("version", ["", "/v1", "/v1beta", "/v1beta/"])
async def test_base_url_may_name_either_version(google: Google, tmp_path: Path, version: str) -> None:
    values = {"IMAGEGATEWAY_GOOGLE_BASE_URL": google.base + version, "IMAGEGATEWAY_GOOGLE_API_KEY": google.key}
    bench = Bench.open(MODELS, [GoogleAdapter()], tmp_path, values)
    assert (await bench.run(task())).HasField("done")
    assert google.sent[0].path.startswith(f"{version.rstrip('/') or '/v1beta'}/models/")
    await bench.family.close()


@pytest.mark.parametrize(
    ("body", "made"),
    [
        ({"predictions": [{"bytesBase64Encoded": b64(PNG)}, {"bytes_base64_encoded": b64(PNG)}]}, 2),
        ({"predictions": [{"bytesBase64Encoded": b64(PNG)}, None]}, 1),
        ({"predictions": [{"bytesBase64Encoded": ""}, {"bytesBase64Encoded": b64(PNG), "prompt": None}]}, 1),
        ({"predictions": [{"bytesBase64Encoded": b64(PNG)}, {"rai_filtered_reason": "no"}]}, 1),
        ({"predictions": [{"safetyAttributes": {}, "contentType": "Positive Prompt"}]}, 0),
        ({"predictions": None}, 0),
        ({}, 0),
    ],
)
async def test_imagen_answers(google: Google, bench: Bench, body: Any, made: int) -> None:
    state = await answered(google, bench, body, model=IMAGEN, n=2)
    assert len(state.done.artifacts) == made
    lost = [missing.reason for missing in state.done.missing] if made else [state.failed.reason] * 2
    assert lost == [BLOCKED] * (2 - made)


async def test_imagen_error_with_status_200_is_no_moderation(google: Google, bench: Bench) -> None:
    body = {"error": {"code": 13, "message": "at 10.0.0.7"}}
    failed = (await answered(google, bench, body, model=IMAGEN)).failed
    assert (failed.reason, failed.may_be_billed, len(google.sent)) == (FAILED, True, 1)
    assert "10.0.0.7" not in failed.message


@pytest.mark.parametrize(
    ("status", "error", "reason", "param", "calls"),
    [
        (400, {"message": "API Key not found. Please pass a valid API key."}, "PROVIDER_CREDENTIALS", "", 1),
        (400, {"code": 400, "message": "seed"}, "INVALID_VALUE", "", 1),
        (400, {"message": "It violates our Responsible AI practices."}, "MODERATION_BLOCKED", "prompt", 1),
        (400, {"status": "invalid_argument", "details": "odd"}, "INVALID_VALUE", "", 1),
        (
            400,
            {"status": "INVALID_ARGUMENT", "details": [{"fieldViolations": [{"field": "generation_config.seed"}]}]},
            "INVALID_VALUE",
            "seed",
            1,
        ),
        (
            400,
            {
                "status": "INVALID_ARGUMENT",
                "details": [{"field_violations": [{"field": "generationConfig.imageConfig.aspectRatio"}]}],
            },
            "INVALID_VALUE",
            "size",
            1,
        ),
        (
            400,
            {"status": "INVALID_ARGUMENT", "details": [{"fieldViolations": {"field": "contents[0].parts[1].text"}}]},
            "INVALID_VALUE",
            "prompt",
            1,
        ),
        (400, "Bad Request", "INVALID_VALUE", "", 1),
        (409, None, "PROVIDER_UNAVAILABLE", "", 4),
        (413, None, "INVALID_IMAGE", "", 1),
        (429, {"message": "Quota exceeded, limit: 0, model: x"}, "PROVIDER_BILLING", "", 1),
        (429, None, "PROVIDER_RATE_LIMITED", "", 4),
        (499, {"status": "CANCELLED"}, "PROVIDER_ERROR", "", 1),
        (502, None, "PROVIDER_ERROR", "", 1),
        (503, None, "PROVIDER_UNAVAILABLE", "", 2),
    ],
)
async def test_error_bodies_in_other_forms(
    google: Google, bench: Bench, *, status: int, error: Any, reason: str, param: str, calls: int
) -> None:
    body = b"<html>upstream 10.0.0.7</html>" if error is None else {"error": error}
    google.failures = [(status, body, {})] * 4
    failed = (await bench.run(task())).failed
    assert (ErrorReason.Name(failed.reason).removeprefix("ERROR_REASON_"), failed.param) == (reason, param)
    assert (len(google.sent), failed.may_be_billed) == (calls, status == 502)
    assert "10.0.0.7" not in failed.message


@pytest.mark.parametrize(
    ("details", "headers", "pause"),
    [
        ([{"retryDelay": "3s"}], {}, 3),
        ([{"retry_delay": "3.5s"}], {}, 3.5),
        ([{"retryDelay": {"seconds": "4", "nanos": 0}}], {}, 4),
        ([{"retryDelay": "soon"}], {"Retry-After": "6"}, 6),
        ({"retryDelay": "3s"}, {}, 3),
        (None, {"retry-after": "7"}, 7),
        (None, {"Retry-After": "Wed, 25 Nov 2020 20:00:00 GMT"}, 1),
    ],
)
async def test_rate_limits_say_how_long_in_several_ways(
    google: Google, bench: Bench, details: Any, headers: dict[str, str], pause: float
) -> None:
    google.failures = [(429, {"error": {"status": "RESOURCE_EXHAUSTED", "details": details}}, headers)]
    assert (await bench.run(task())).HasField("done")
    assert pause <= bench.slept[0] <= pause * 1.1


NAME = "models/veo-3.1-fast-generate-preview/operations/op7"


def operation(**answer: Any) -> dict[str, Any]:
    return {"name": NAME, "done": True, "response": answer}


@pytest.mark.parametrize(
    "answer",
    [
        {"generateVideoResponse": {"generatedSamples": [{"video": {"uri": "/v1beta/files/a:download?alt=media"}}]}},
        {"generate_video_response": {"generated_samples": [{"video": {"uri": "/v1beta/files/a"}}, {"video": None}]}},
        {"generateVideoResponse": {"generatedSamples": [{"video": {"encodedVideo": b64(VIDEO)}}]}},
        {"videos": [{"bytesBase64Encoded": b64(VIDEO), "mimeType": "video/mp4"}]},
    ],
)
async def test_video_is_found_in_every_form(google: Google, bench: Bench, answer: Any) -> None:
    google.files["a"] = ["ACTIVE"]
    body = operation(**answer)
    for samples in (answer.get("generateVideoResponse") or {}).values():
        for sample in samples:
            if "uri" in sample["video"]:
                sample["video"]["uri"] = google.base + sample["video"]["uri"]
    (artifact,) = (await answered(google, bench, {"name": NAME}, body, model=VEO)).done.artifacts
    assert await bench.bytes_of(artifact) == VIDEO


async def test_operation_may_be_done_at_once(google: Google, bench: Bench) -> None:
    state = await answered(google, bench, operation(videos=[{"bytesBase64Encoded": b64(VIDEO)}]), model=VEO)
    assert (len(state.done.artifacts), len(google.sent)) == (1, 1)
    refused = {"name": NAME, "done": True, "error": {"code": 3, "message": "It violates our usage guidelines."}}
    failed = (await answered(google, bench, refused, model=VEO)).failed
    assert (failed.reason, failed.param, failed.may_be_billed) == (BLOCKED, "prompt", True)


@pytest.mark.parametrize("body", [{}, {"name": ""}, {"name": 7}, b"oops"])
async def test_operation_without_a_name_is_unreadable(google: Google, bench: Bench, body: Any) -> None:
    failed = (await answered(google, bench, body, model=VEO)).failed
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
async def test_errors_inside_answers_have_codes_of_several_kinds(
    google: Google, bench: Bench, model: str, error: Any, reason: Any
) -> None:
    begun: Any = {"name": NAME} if model == VEO else {"id": "v1_7", "status": "in_progress"}
    ended = {"done": True, "error": error} if model == VEO else {"status": "failed", "errors": [error]}
    failed = (await answered(google, bench, begun, ended, model=model)).failed
    assert (failed.reason, failed.may_be_billed, len(google.sent)) == (reason, True, 2)


async def test_count_of_filtered_videos_may_be_a_string(google: Google, bench: Bench) -> None:
    for filtered, reason in (("1", BLOCKED), ("0", FAILED), (0, FAILED)):
        body = operation(generateVideoResponse={"raiMediaFilteredCount": filtered})
        assert (await answered(google, bench, {"name": NAME}, body, model=VEO)).failed.reason == reason


@pytest.mark.parametrize("model", [VEO, OMNI])
@pytest.mark.parametrize("odd", [b"<html>busy</html>", b"{", {}, b""])
async def test_poll_that_can_not_be_read_costs_no_video(google: Google, bench: Bench, model: str, odd: Any) -> None:
    state = await bench.family.start(pb.StartRequest(job_id="job_test", task=task(model)))
    request = pb.PollRequest(job_id="job_test", task_ref=state.running.task_ref, task=task(model))
    google.failures = [(200, odd, {})]
    state = await bench.family.poll(request)
    assert state.HasField("running")
    request.task_ref = state.running.task_ref
    google.polls = 0
    for known in google.tasks.values():
        known["left"] = 0
    assert not (await bench.family.poll(request)).HasField("failed")


async def test_interaction_may_be_done_at_once_and_spell_its_status_otherwise(google: Google, bench: Bench) -> None:
    video = {"type": "video", "data": b64(VIDEO), "mime_type": "video/mp4"}
    steps = [None, {"type": "model_output", "content": [{"type": "text", "text": "So."}, video]}]
    body = {"id": "v1_7", "status": "COMPLETED", "steps": steps, "usage": {"total_output_tokens": "46336"}}
    done = (await answered(google, bench, body, model=OMNI)).done
    assert await bench.bytes_of(done.artifacts[0]) == VIDEO
    assert done.cost.amount == pytest.approx(0.81088)
    assert done.cost.estimated


async def test_tokens_and_cost_of_an_interaction_outlive_the_wait_for_its_file(bench: Bench) -> None:
    done = (await bench.run(task(OMNI))).done
    assert (done.usage.input_tokens, done.usage.output_tokens, done.usage.total_tokens) == (7, 46_336, 46_343)
    assert done.cost.amount == pytest.approx(0.81088)


async def test_video_of_an_interaction_may_lie_outside_of_the_files_api(google: Google, bench: Bench) -> None:
    uri = f"{google.base}/bucket/files/made.mp4?signature=s"
    video = {"type": "video", "uri": uri}
    body = {"status": "completed", "steps": [{"type": "model_output", "content": [video]}]}
    state = await answered(google, bench, {"id": "v1_7", "status": "in_progress"}, body, VIDEO, model=OMNI)
    assert await bench.bytes_of(state.done.artifacts[0]) == VIDEO
    assert google.sent[-1].path == "/bucket/files/made.mp4"


async def test_interactions_with_nothing_or_failed_files_end(google: Google, bench: Bench) -> None:
    words = {"status": "completed", "steps": [{"type": "model_output", "content": [{"type": "text", "text": "No."}]}]}
    failed = (await answered(google, bench, {"id": "v1_7", "status": "in_progress"}, words, model=OMNI)).failed
    assert (failed.reason, failed.may_be_billed) == (FAILED, True)
    video = {"type": "video", "uri": f"{google.base}/v1beta/files/a:download?alt=media"}
    made = {"id": "v1_7", "status": "completed", "steps": [{"type": "model_output", "content": [video]}]}
    for ended in (
        {"name": "files/a", "state": "FAILED", "error": {"code": 13, "message": "no"}},
        {"state": "FAILED"},
    ):
        failed = (await answered(google, bench, made, {"state": "PROCESSING"}, ended, model=OMNI)).failed
        assert (failed.reason, failed.may_be_billed) == (FAILED, True)


async def test_result_that_can_not_be_used_costs_the_others_nothing(google: Google, bench: Bench) -> None:
    pictures = {"predictions": [{"bytesBase64Encoded": b64(data)} for data in (PNG, b"<html>", JPEG)]}
    done = (await answered(google, bench, pictures, model=IMAGEN, n=3)).done
    assert [await bench.bytes_of(artifact) for artifact in done.artifacts] == [PNG, JPEG]
    assert [(missing.reason, missing.may_be_billed) for missing in done.missing] == [(UNREADABLE, True)]
    google.files["a"] = ["ACTIVE"]
    samples = [{"video": {"uri": f"{google.base}/v1beta/files/{name}:download?alt=media"}} for name in ("gone", "a")]
    body = operation(generateVideoResponse={"generatedSamples": samples})
    done = (await answered(google, bench, {"name": NAME}, body, model=VEO, n=2)).done
    assert [await bench.bytes_of(artifact) for artifact in done.artifacts] == [VIDEO]
    assert [missing.reason for missing in done.missing] == [UNREADABLE]


@pytest.mark.parametrize("uri", ["", None, 7, ["x"]])
async def test_result_without_an_address_is_never_fetched(google: Google, bench: Bench, uri: Any) -> None:
    steps = [{"type": "model_output", "content": [{"type": "video", "uri": uri}]}]
    body = {"id": "v1_7", "status": "completed", "steps": steps}
    failed = (await answered(google, bench, body, model=OMNI)).failed
    assert (failed.reason, failed.may_be_billed, len(google.sent)) == (UNREADABLE, True, 1)
