"""Google's responses in every form that its JSON may take, and in invalid forms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from imagegateway.providers.google.adapter import GoogleAdapter
from imagegateway.providers.google.catalog import MODELS
from imagegateway.v1.error_reason_pb2 import ErrorReason

from tests.emulators.base import image_bytes
from tests.emulators.google import VIDEO
from tests.providers.google import IMAGEN, OPERATION, VEO, answered, b64, operation, task
from tests.providers.harness import Harness, dollars

if TYPE_CHECKING:
    from pathlib import Path

    from tests.emulators.google import Google

BLOCKED = ErrorReason.ERROR_REASON_MODERATION_BLOCKED
FAILED = ErrorReason.ERROR_REASON_PROVIDER_ERROR
UNREADABLE = ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE
INVALID = ErrorReason.ERROR_REASON_INVALID_VALUE
LIMITED = ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED
PNG = image_bytes(40, 30)
JPEG = image_bytes(40, 30, "JPEG")


@pytest.fixture
def harness(google_harness: Harness) -> Harness:
    return google_harness


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
async def test_image_is_read_in_every_form(google: Google, harness: Harness, body: Any) -> None:
    (artifact,) = (await answered(google, harness, body)).done.artifacts
    assert await harness.bytes_of(artifact) == PNG


async def test_images_of_several_candidates_are_all_kept(google: Google, harness: Harness) -> None:
    one = {"content": {"parts": [{"inlineData": {"data": b64(PNG)}}]}}
    state = await answered(google, harness, {"candidates": [one, {"finishReason": "IMAGE_SAFETY"}, one]})
    assert len(state.done.artifacts) == 2


@pytest.mark.parametrize(
    ("counted", "expected"),
    [
        ({"promptTokenCount": "7", "candidatesTokenCount": "1120", "totalTokenCount": "1127"}, (7, 1120, 1127)),
        ({"promptTokenCount": 7, "candidatesTokenCount": 1120}, (7, 1120, 1127)),
        ({"promptTokenCount": 7, "thoughtsTokenCount": None, "candidatesTokenCount": -3}, None),
        ({"prompt_token_count": 7, "prompt_tokens_details": [{"token_count": 7}, {}, None]}, None),
        ({"totalTokenCount": 1 << 40, "promptTokensDetails": {"modality": "TEXT", "tokenCount": 1}}, None),
    ],
)
async def test_odd_token_counts_lose_no_image_and_are_whole_or_absent(
    google: Google, harness: Harness, counted: Any, expected: tuple[int, int, int] | None
) -> None:
    body = {**candidate({"inlineData": {"data": b64(PNG)}}), "usageMetadata": counted}
    done = (await answered(google, harness, body)).done
    counts = (done.usage.input_tokens, done.usage.output_tokens, done.usage.total_tokens)
    assert (counts if done.HasField("usage") else None) == expected


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
async def test_responses_without_an_image_are_failures(
    google: Google, harness: Harness, *, body: Any, reason: Any, param: str, calls: int
) -> None:
    failed = (await answered(google, harness, *[body] * 2)).failed
    assert (failed.reason, failed.param, len(google.sent), failed.may_be_billed) == (reason, param, calls, True)
    assert not [secret for secret in ("10.0.0.7", "Code 1", "No.", google.key) if secret in failed.message]


async def test_compression_is_a_warning_when_google_made_the_jpeg(google: Google, harness: Harness) -> None:
    body = candidate({"inlineData": {"data": b64(JPEG)}})
    wanted: dict[str, Any] = {"output_format": "jpeg", "output_compression": 30}
    state = await answered(google, harness, body, **wanted)
    assert await harness.bytes_of(state.done.artifacts[0]) == JPEG
    assert [warning.param for warning in state.done.warnings] == ["output_compression"]
    assert not (
        await answered(google, harness, candidate({"inlineData": {"data": b64(PNG)}}), **wanted)
    ).done.warnings


async def test_input_fidelity_is_a_warning(harness: Harness) -> None:
    state = await harness.run(task(inputs=[await harness.keep(PNG)], input_fidelity="high"))
    assert [warning.param for warning in state.done.warnings] == ["input_fidelity"]


async def test_options_in_snake_case_are_merged_with_the_adapters_fields(google: Google, harness: Harness) -> None:
    options = {"generation_config": {"image_config": {"person_generation": "ALLOW_NONE"}, "temperature": 1}}
    await harness.run(task(width=1024, height=1024, provider_options=options))
    config = google.sent[0].json["generationConfig"]
    assert config["imageConfig"] == {"aspectRatio": "1:1", "imageSize": "1K", "person_generation": "ALLOW_NONE"}
    assert (config["responseModalities"], config["temperature"]) == (["IMAGE"], 1)
    for name, value in (("image_size", "4K"), ("imageSize", "4K"), ("aspect_ratio", "16:9")):
        options = {"generation_config": {"image_config": {name: value}}}
        failed = (await harness.run(task(provider_options=options))).failed
        assert failed.param == f"provider_options.generation_config.image_config.{name}"


async def test_cost_by_tokens_counts_thoughts_as_output(harness: Harness) -> None:
    request = task("google/gemini-nano-banana-2.1", width=2048, height=2048)
    assert dollars(request, (await harness.run(request)).done) == pytest.approx((7 * 1.5 + 1220 * 30) / 1e6)


@pytest.mark.parametrize("native", ["gemini-2.5-flash-image", "gemini-3.1-flash-image", "gemini-3-pro-image"])
async def test_ending_models_name_their_successor_once_they_are_gone(
    google: Google, harness: Harness, native: str
) -> None:
    google.gone = {native}
    failed = (await harness.run(task(f"google/{native}"))).failed
    assert failed.reason == ErrorReason.ERROR_REASON_MODEL_RETIRED
    assert failed.message.endswith("Its successor is google/gemini-nano-banana-2.1.")


@pytest.mark.parametrize("version", ["", "/v1", "/v1beta", "/v1beta/"])
async def test_base_url_may_name_either_version(google: Google, tmp_path: Path, version: str) -> None:
    values = {"IMAGEGATEWAY_GOOGLE_BASE_URL": google.base + version, "IMAGEGATEWAY_GOOGLE_API_KEY": google.key}
    harness = Harness.open(MODELS, [GoogleAdapter()], tmp_path, values)
    assert (await harness.run(task())).HasField("done")
    assert google.sent[0].path.startswith(f"{version.rstrip('/') or '/v1beta'}/models/")
    await harness.family.close()


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
async def test_imagen_responses_are_images_or_moderation(
    google: Google, harness: Harness, body: Any, made: int
) -> None:
    state = await answered(google, harness, body, model=IMAGEN, n=2)
    assert len(state.done.artifacts) == made
    lost = [missing.reason for missing in state.done.missing] if made else [state.failed.reason] * 2
    assert lost == [BLOCKED] * (2 - made)


async def test_imagen_error_with_status_200_is_not_moderation(google: Google, harness: Harness) -> None:
    body = {"error": {"code": 13, "message": "at 10.0.0.7"}}
    failed = (await answered(google, harness, body, model=IMAGEN)).failed
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
async def test_error_bodies_in_other_forms_are_read(
    google: Google, harness: Harness, *, status: int, error: Any, reason: str, param: str, calls: int
) -> None:
    body = b"<html>upstream 10.0.0.7</html>" if error is None else {"error": error}
    google.failures = [(status, body, {})] * 4
    failed = (await harness.run(task())).failed
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
async def test_retry_delay_is_read_in_every_form(
    google: Google, harness: Harness, details: Any, headers: dict[str, str], pause: float
) -> None:
    google.failures = [(429, {"error": {"status": "RESOURCE_EXHAUSTED", "details": details}}, headers)]
    assert (await harness.run(task())).HasField("done")
    assert pause <= harness.slept[0] <= pause * 1.1


async def test_unusable_result_does_not_lose_the_others(google: Google, harness: Harness) -> None:
    predictions = {"predictions": [{"bytesBase64Encoded": b64(data)} for data in (PNG, b"<html>", JPEG)]}
    done = (await answered(google, harness, predictions, model=IMAGEN, n=3)).done
    assert [await harness.bytes_of(artifact) for artifact in done.artifacts] == [PNG, JPEG]
    assert [(missing.reason, missing.may_be_billed) for missing in done.missing] == [(UNREADABLE, True)]
    google.files["a"] = ["ACTIVE"]
    samples = [{"video": {"uri": f"{google.base}/v1beta/files/{name}:download?alt=media"}} for name in ("gone", "a")]
    body = operation(generateVideoResponse={"generatedSamples": samples})
    done = (await answered(google, harness, {"name": OPERATION}, body, model=VEO, n=2)).done
    assert [await harness.bytes_of(artifact) for artifact in done.artifacts] == [VIDEO]
    assert [missing.reason for missing in done.missing] == [UNREADABLE]
