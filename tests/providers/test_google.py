"""The google family's images against its emulator: requests, responses, errors and billing."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
from imagegateway.providers.google.adapter import GoogleAdapter
from imagegateway.providers.google.catalog import MODELS
from imagegateway.v1.error_reason_pb2 import ErrorReason

from tests.emulators.base import image_bytes
from tests.emulators.google import Google, size_of
from tests.emulators.google_schema import error
from tests.providers.harness import Harness, dollars
from tests.providers.tasks import task_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from imagegateway.providers.catalog import Model


@pytest.fixture
async def harness(google: Google, tmp_path: Path) -> AsyncIterator[Harness]:
    values = {"IMAGEGATEWAY_GOOGLE_BASE_URL": google.base + "/v1beta", "IMAGEGATEWAY_GOOGLE_API_KEY": google.key}
    async with Harness.open(MODELS, [GoogleAdapter()], tmp_path, values) as harness:
        yield harness


task = task_of("google", "google/gemini-3.1-flash-image")


@pytest.mark.parametrize(
    "model", [model for model in MODELS if model.modality == "image"], ids=lambda model: str(model.id)
)
async def test_every_model_makes_every_size_that_it_lists(google: Google, harness: Harness, model: Model) -> None:
    sizes = getattr(model.sizes, "sizes", ())
    for width, height in sizes:
        state = await harness.run(task(model.id, width=width, height=height))
        assert state.HasField("done"), state
    assert google.billed == len(google.sent) == len(sizes) > 0


async def test_generation_is_generate_content_with_aspect_ratio_tier_and_seed(
    google: Google, harness: Harness
) -> None:
    state = await harness.run(task(width=2048, height=2048, seed=5, moderation="low"))
    (sent,) = google.sent
    assert (sent.method, sent.path) == ("POST", "/v1beta/models/gemini-3.1-flash-image:generateContent")
    assert sent.headers["x-goog-api-key"] == google.key
    assert not sent.query
    body = sent.json
    assert {harm["threshold"] for harm in body.pop("safetySettings")} == {"BLOCK_ONLY_HIGH"}
    assert body == {
        "contents": [{"role": "user", "parts": [{"text": "a fox"}]}],
        "generationConfig": {
            "responseModalities": ["IMAGE"],
            "imageConfig": {"aspectRatio": "1:1", "imageSize": "2K"},
            "seed": 5,
        },
    }
    (artifact,) = state.done.artifacts
    assert await harness.bytes_of(artifact) == image_bytes(*size_of({"imageSize": "2K"}))
    assert (artifact.media.media_type, artifact.seed) == ("image/png", 5)
    assert google.billed == 1


@pytest.mark.parametrize(
    ("asked", "config"),
    [
        ((1024, 1024), {"aspectRatio": "1:1", "imageSize": "1K"}),
        ((1536, 1024), {"aspectRatio": "3:2", "imageSize": "1K"}),
        ((1792, 1024), {"aspectRatio": "16:9", "imageSize": "2K"}),
        ((512, 512), {"aspectRatio": "1:1", "imageSize": "512"}),
        ((4000, 1000), {"aspectRatio": "4:1", "imageSize": "4K"}),
        ((2048, 512), {"aspectRatio": "4:1", "imageSize": "1K"}),
    ],
)
async def test_size_becomes_the_nearest_aspect_ratio_and_the_tier_of_the_longer_side(
    google: Google, harness: Harness, asked: tuple[int, int], config: dict[str, str]
) -> None:
    await harness.run(task(width=asked[0], height=asked[1]))
    assert google.sent[0].json["generationConfig"]["imageConfig"] == config


async def test_aspect_ratio_alone_and_models_of_one_tier_send_no_tier(google: Google, harness: Harness) -> None:
    await harness.run(task(width=2048, height=512, aspect_ratio="4:1"))
    await harness.run(task("google/gemini-2.5-flash-image", width=1344, height=768))
    await harness.run(task())
    configs = [sent.json["generationConfig"].get("imageConfig") for sent in google.sent]
    assert configs == [{"aspectRatio": "4:1"}, {"aspectRatio": "16:9"}, None]


async def test_images_precede_the_prompt(google: Google, harness: Harness) -> None:
    first, second = image_bytes(32, 32), image_bytes(32, 32, "JPEG")
    await harness.run(task(inputs=[await harness.keep(first), await harness.keep(second)]))
    parts = google.sent[0].json["contents"][0]["parts"]
    assert [part["inlineData"]["mimeType"] for part in parts[:2]] == ["image/png", "image/jpeg"]
    assert [base64.b64decode(part["inlineData"]["data"]) for part in parts[:2]] == [first, second]
    assert parts[2] == {"text": "a fox"}


async def test_n_images_are_n_calls(google: Google, harness: Harness) -> None:
    google.finishes = ["IMAGE_SAFETY"]
    done = (await harness.run(task(n=3, seed=2**32 - 1))).done
    assert {sent.json["generationConfig"]["seed"] for sent in google.sent} == {2**31 - 1, 0, 1}
    assert (len(done.artifacts), len(google.sent), google.billed) == (2, 3, 2)
    assert [missing.reason for missing in done.missing] == [ErrorReason.ERROR_REASON_MODERATION_BLOCKED]


async def test_usage_of_all_calls_is_returned(harness: Harness) -> None:
    request = task(n=2, width=1024, height=1024)
    done = (await harness.run(request)).done
    usage = done.usage
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (14, 2440, 2454)
    assert (usage.input_tokens_details.text_tokens, usage.output_tokens_details.image_tokens) == (14, 2240)
    assert dollars(request, done) == 0.134


async def test_other_formats_are_converted_by_the_gateway(harness: Harness) -> None:
    (artifact,) = (await harness.run(task(output_format="webp"))).done.artifacts
    assert artifact.media.media_type == "image/webp"


async def test_options_are_merged_into_the_body(google: Google, harness: Harness) -> None:
    options = {"generationConfig": {"temperature": 0.5}, "tools": [{"googleSearch": {}}]}
    await harness.run(task(provider_options=options, seed=1))
    body = google.sent[0].json
    assert body["generationConfig"] == {"responseModalities": ["IMAGE"], "seed": 1, "temperature": 0.5}
    assert body["tools"] == [{"googleSearch": {}}]
    state = await harness.run(task(provider_options={"dimensions": "big"}))
    assert state.failed.reason == ErrorReason.ERROR_REASON_INVALID_VALUE
    assert 'Unknown name "dimensions"' in state.failed.message


@pytest.mark.parametrize(
    "block",
    ["SAFETY", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT", "IMAGE_SAFETY", "MODEL_ARMOR", "JAILBREAK"],
)
async def test_blocked_prompt_is_moderation_though_the_status_is_200(
    google: Google, harness: Harness, block: str
) -> None:
    google.block = block
    failed = (await harness.run(task())).failed
    assert (failed.reason, failed.param) == (ErrorReason.ERROR_REASON_MODERATION_BLOCKED, "prompt")
    assert (len(google.sent), google.billed) == (1, 0)


@pytest.mark.parametrize(
    "finish",
    [
        "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT",
        "SAFETY",
        "PROHIBITED_CONTENT",
        "BLOCKLIST",
        "SPII",
        "IMAGE_RECITATION",
        "RECITATION",
    ],
)
async def test_blocked_result_is_moderation_though_the_status_is_200(
    google: Google, harness: Harness, finish: str
) -> None:
    google.finishes = [finish]
    failed = (await harness.run(task())).failed
    assert failed.reason == ErrorReason.ERROR_REASON_MODERATION_BLOCKED
    assert "result" in failed.message
    assert (failed.may_be_billed, len(google.sent), google.billed) == (True, 1, 0)


@pytest.mark.parametrize("finish", ["NO_IMAGE", "IMAGE_OTHER", "OTHER", "MALFORMED_FUNCTION_CALL", "MAX_TOKENS"])
async def test_response_without_an_image_is_retried_once(google: Google, harness: Harness, finish: str) -> None:
    google.finishes = [finish]
    assert (await harness.run(task())).HasField("done")
    assert (len(google.sent), google.billed) == (2, 1)
    google.finishes = [finish, finish]
    failed = (await harness.run(task())).failed
    assert (failed.reason, failed.may_be_billed) == (ErrorReason.ERROR_REASON_PROVIDER_ERROR, True)
    assert len(google.sent) == 4


async def test_text_without_an_image_is_a_failure(google: Google, harness: Harness) -> None:
    google.words = True
    failed = (await harness.run(task())).failed
    assert (failed.reason, len(google.sent)) == (ErrorReason.ERROR_REASON_PROVIDER_ERROR, 2)
    assert "draw" not in failed.message


async def test_unknown_finish_reason_fails_by_name(google: Google, harness: Harness) -> None:
    google.finishes = ["DAYDREAMING"]
    failed = (await harness.run(task())).failed
    assert failed.reason == ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE
    assert "DAYDREAMING" in failed.message


@pytest.mark.parametrize("body", [{}, {"candidates": []}, b"[]", b"oops"])
async def test_empty_response_is_unreadable(google: Google, harness: Harness, body: Any) -> None:
    google.failures = [(200, body, {})]
    failed = (await harness.run(task())).failed
    assert (failed.reason, failed.may_be_billed) == (ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE, True)


async def test_imagen_is_predict_with_up_to_four_images_per_call(google: Google, harness: Harness) -> None:
    state = await harness.run(
        task(
            "google/imagen-4",
            n=6,
            width=2816,
            height=1536,
            output_format="jpeg",
            output_compression=80,
            moderation="low",
        )
    )
    assert {sent.path for sent in google.sent} == {"/v1beta/models/imagen-4.0-generate-001:predict"}
    bodies = sorted((sent.json for sent in google.sent), key=lambda body: -body["parameters"]["sampleCount"])
    assert [body["parameters"].pop("sampleCount") for body in bodies] == [4, 2]
    assert bodies[0] == {
        "instances": [{"prompt": "a fox"}],
        "parameters": {
            "includeRaiReason": True,
            "aspectRatio": "16:9",
            "sampleImageSize": "2K",
            "outputOptions": {"mimeType": "image/jpeg", "compressionQuality": 80},
            "safetySetting": "block_only_high",
        },
    }
    assert (len(state.done.artifacts), google.billed) == (6, 6)
    assert await harness.bytes_of(state.done.artifacts[0]) == image_bytes(1024, 1024, "JPEG", (0, 0, 0))


async def test_filtered_images_of_imagen_are_missing(google: Google, harness: Harness) -> None:
    google.filtered = 1
    done = (await harness.run(task("google/imagen-3", n=3))).done
    assert [missing.reason for missing in done.missing] == [ErrorReason.ERROR_REASON_MODERATION_BLOCKED]
    assert (len(done.artifacts), google.billed) == (2, 2)
    google.filtered = 3
    failed = (await harness.run(task("google/imagen-3", n=3))).failed
    assert failed.reason == ErrorReason.ERROR_REASON_MODERATION_BLOCKED
    google.failures = [(200, {}, {})]
    failed = (await harness.run(task("google/imagen-3"))).failed
    assert failed.reason == ErrorReason.ERROR_REASON_MODERATION_BLOCKED
    assert "successor" not in failed.message


async def test_retired_model_names_its_successor(google: Google, harness: Harness) -> None:
    google.gone = {"imagen-3.0-generate-002"}
    failed = (await harness.run(task("google/imagen-3"))).failed
    assert failed.reason == ErrorReason.ERROR_REASON_MODEL_RETIRED
    assert "google/gemini-nano-banana-2.1" in failed.message


def detail(kind: str, **fields: Any) -> dict[str, Any]:
    return {"@type": f"type.googleapis.com/google.rpc.{kind}", **fields}


QUOTA = {"quotaMetric": "m", "quotaId": "GenerateRequestsPerMinutePerProject"}
BAD_KEY = error(400, "INVALID_ARGUMENT", "Bad key.", [detail("ErrorInfo", reason="API_KEY_INVALID")])
NO_BILLING = error(403, "PERMISSION_DENIED", "no", [detail("ErrorInfo", reason="BILLING_DISABLED")])
NO_QUOTA = error(429, "RESOURCE_EXHAUSTED", "no", [detail("QuotaFailure", violations=[{**QUOTA, "quotaValue": "0"}])])


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (400, error(400, "INVALID_ARGUMENT", "no"), ErrorReason.ERROR_REASON_INVALID_VALUE),
        (400, [error(400, "INVALID_ARGUMENT", "no")], ErrorReason.ERROR_REASON_INVALID_VALUE),
        (400, BAD_KEY, ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS),
        (400, error(400, "FAILED_PRECONDITION", "Enable billing."), ErrorReason.ERROR_REASON_PROVIDER_BILLING),
        (400, error(400, "OUT_OF_RANGE", "no"), ErrorReason.ERROR_REASON_INVALID_VALUE),
        (
            400,
            error(400, "INVALID_ARGUMENT", "These words violate Google's Responsible AI practices."),
            ErrorReason.ERROR_REASON_MODERATION_BLOCKED,
        ),
        (401, error(401, "UNAUTHENTICATED", "no"), ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS),
        (403, error(403, "PERMISSION_DENIED", "no"), ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS),
        (403, NO_BILLING, ErrorReason.ERROR_REASON_PROVIDER_BILLING),
        (404, error(404, "NOT_FOUND", "no longer available"), ErrorReason.ERROR_REASON_MODEL_RETIRED),
        (429, NO_QUOTA, ErrorReason.ERROR_REASON_PROVIDER_BILLING),
        (500, error(500, "INTERNAL", "no"), ErrorReason.ERROR_REASON_PROVIDER_ERROR),
        (501, error(501, "UNIMPLEMENTED", "no"), ErrorReason.ERROR_REASON_PROVIDER_ERROR),
        (504, error(504, "DEADLINE_EXCEEDED", "no"), ErrorReason.ERROR_REASON_PROVIDER_TIMEOUT),
    ],
)
async def test_errors_are_final_after_one_call(
    google: Google, harness: Harness, status: int, body: Any, reason: ErrorReason.ValueType
) -> None:
    google.failures = [(status, body, {})]
    failed = (await harness.run(task())).failed
    assert (failed.reason, len(google.sent), google.billed) == (reason, 1, 0)
    assert failed.may_be_billed == (status >= 500)


@pytest.mark.parametrize(("status", "name"), [(409, "ABORTED"), (429, "RESOURCE_EXHAUSTED"), (503, "UNAVAILABLE")])
async def test_unbilled_refusal_is_retried(google: Google, harness: Harness, status: int, name: str) -> None:
    google.failures = [(status, error(status, name, "no"), {})]
    assert (await harness.run(task())).HasField("done")
    assert (len(google.sent), google.billed) == (2, 1)


async def test_overloaded_model_is_retried_once(google: Google, harness: Harness) -> None:
    google.failures = [(503, error(503, "UNAVAILABLE", "no"), {})] * 4
    failed = (await harness.run(task())).failed
    assert (failed.reason, failed.may_be_billed) == (ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE, False)
    assert (len(google.sent), google.billed) == (2, 0)


async def test_rate_limit_is_waited_out_by_retry_delay_but_not_a_daily_quota(
    google: Google, harness: Harness
) -> None:
    retry = detail("RetryInfo", retryDelay="3.5s")
    minute = [detail("QuotaFailure", violations=[QUOTA]), retry]
    google.failures = [(429, error(429, "RESOURCE_EXHAUSTED", "no", minute), {})]
    assert (await harness.run(task())).HasField("done")
    assert 3.5 <= harness.slept[0] < 4
    day = [detail("QuotaFailure", violations=[{**QUOTA, "quotaId": "GenerateRequestsPerDayPerProject"}]), retry]
    google.failures = [(429, error(429, "RESOURCE_EXHAUSTED", "no", day), {})]
    failed = (await harness.run(task())).failed
    assert (failed.reason, len(google.sent)) == (ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED, 3)
    assert failed.retry_after.seconds == 3600


async def test_callers_key_is_used_and_a_wrong_one_is_reported(google: Google, harness: Harness) -> None:
    failed = (await harness.run(task(), credential="other-key")).failed
    assert google.sent[0].headers["x-goog-api-key"] == "other-key"
    assert failed.reason == ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS
