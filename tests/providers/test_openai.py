"""The openai family against its emulator: requests as sent, results, failures and billed calls."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

import pytest
from imagegateway.providers.openai.catalog import MODELS
from imagegateway.v1.error_reason_pb2 import ErrorReason
from PIL import Image

from tests.emulators.base import image_bytes
from tests.providers.harness import dollars
from tests.providers.tasks import task_of

if TYPE_CHECKING:
    from imagegateway.providers.catalog import Model

    from tests.emulators.openai import OpenAI
    from tests.providers.harness import Harness


task = task_of("openai", "openai/gpt-image-2")


def error(
    code: str | None, message: str = "no", param: str | None = None, type_: str = "invalid_request_error"
) -> Any:
    return {"error": {"message": message, "type": type_, "param": param, "code": code}}


@pytest.mark.parametrize("model", MODELS, ids=lambda model: str(model.id))
async def test_model_makes_images_of_every_listed_size(openai: OpenAI, openai_harness: Harness, model: Model) -> None:
    sizes = getattr(model.sizes, "sizes", [model.sizes.nearest(512, 512), model.sizes.nearest(4096, 512)])
    for width, height in sizes:
        state = await openai_harness.run(task(model.id, width=width, height=height, quality=model.qualities[-1]))
        (artifact,) = state.done.artifacts
        assert (artifact.media.width, artifact.media.height) == (width, height)
    assert openai.billed == len(openai.sent) == len(sizes)


async def test_generation_is_sent_as_json_with_gpt_image_fields(openai: OpenAI, openai_harness: Harness) -> None:
    state = await openai_harness.run(
        task(
            n=3,
            width=1536,
            height=1024,
            quality="hd",
            background="opaque",
            moderation="low",
            output_format="webp",
            output_compression=70,
            user="u-1",
        )
    )
    (sent,) = openai.sent
    assert (sent.method, sent.path) == ("POST", "/v1/images/generations")
    assert sent.headers["authorization"] == f"Bearer {openai.key}"
    assert sent.json == {
        "model": "gpt-image-2",
        "prompt": "a fox",
        "n": 3,
        "size": "1536x1024",
        "user": "u-1",
        "quality": "high",
        "background": "opaque",
        "moderation": "low",
        "output_format": "webp",
        "output_compression": 70,
    }
    assert [await openai_harness.bytes_of(found) for found in state.done.artifacts] == [
        image_bytes(1536, 1024, "WEBP", (index, 99, 199)) for index in range(3)
    ]
    assert openai.billed == 3


async def test_usage_is_reported_with_a_cost_by_the_price_list(openai_harness: Harness) -> None:
    request = task(n=2)
    done = (await openai_harness.run(request)).done
    assert (done.usage.input_tokens, done.usage.output_tokens, done.usage.total_tokens) == (50, 8320, 8370)
    assert (done.usage.input_tokens_details.text_tokens, done.usage.output_tokens_details.image_tokens) == (10, 8320)
    assert dollars(request, done) == pytest.approx((10 * 5 + 40 * 8 + 8320 * 30) / 1e6)


async def test_dalle_3_receives_one_request_per_image_for_base64(openai: OpenAI, openai_harness: Harness) -> None:
    state = await openai_harness.run(
        task("openai/dall-e-3", n=2, width=1792, height=1024, quality="hd", style="natural")
    )
    assert [sent.json for sent in openai.sent] == 2 * [
        {
            "model": "dall-e-3",
            "prompt": "a fox",
            "n": 1,
            "size": "1792x1024",
            "response_format": "b64_json",
            "quality": "hd",
            "style": "natural",
        }
    ]
    assert {found.revised_prompt for found in state.done.artifacts} == {"A detailed a fox"}
    assert (len(state.done.artifacts), openai.billed) == (2, 2)
    assert not state.done.HasField("cost")


async def test_result_url_is_fetched_without_the_key(openai: OpenAI, openai_harness: Harness) -> None:
    openai.failures = [(200, {"data": [{"url": f"{openai.base}/files/0.png?sig=secret"}]}, {})]
    state = await openai_harness.run(task("openai/dall-e-3"))
    assert await openai_harness.bytes_of(state.done.artifacts[0]) == image_bytes(1024, 1024)
    assert openai.sent[-1].path.startswith("/files/")
    assert "authorization" not in openai.sent[-1].headers


async def test_single_input_is_sent_as_form_with_mask_as_alpha(openai: OpenAI, openai_harness: Harness) -> None:
    source = image_bytes(64, 48, "JPEG")
    grey = Image.new("L", (64, 48), 0)
    grey.paste(255, (0, 0, 32, 48))
    grey.paste(100, (32, 0, 33, 1))
    file = io.BytesIO()
    grey.save(file, "PNG")
    state = await openai_harness.run(
        task(
            inputs=[await openai_harness.keep(source)],
            mask=await openai_harness.keep(file.getvalue()),
            width=1024,
            height=1024,
            n=2,
            moderation="low",
        )
    )
    (sent,) = openai.sent
    assert (sent.method, sent.path) == ("POST", "/v1/images/edits")
    assert {part.name: part.text for part in sent.parts if part.filename is None} == {
        "model": "gpt-image-2",
        "prompt": "a fox",
        "n": "2",
        "size": "1024x1024",
        "moderation": "low",
    }
    image, mask = sent.part("image"), sent.part("mask")
    assert (image.data, image.filename, image.content_type) == (source, "image-0.jpg", "image/jpeg")
    assert (mask.filename, mask.content_type) == ("mask.png", "image/png")
    pixels = Image.open(io.BytesIO(mask.data))
    assert (pixels.format, pixels.mode, pixels.size) == ("PNG", "RGBA", (64, 48))
    assert [pixels.getchannel("A").getpixel(at) for at in ((0, 0), (31, 47), (40, 10), (32, 0))] == [0, 0, 255, 155]
    assert (len(state.done.artifacts), openai.billed) == (2, 2)


async def test_several_inputs_are_sent_as_list(openai: OpenAI, openai_harness: Harness) -> None:
    first, second = image_bytes(32, 32), image_bytes(32, 32, "WEBP")
    inputs = [await openai_harness.keep(first), await openai_harness.keep(second)]
    state = await openai_harness.run(task("openai/gpt-image-1.5", inputs=inputs, input_fidelity="high"))
    files = [(part.name, part.data, part.content_type) for part in openai.sent[0].parts if part.filename]
    assert files == [("image[]", first, "image/png"), ("image[]", second, "image/webp")]
    assert openai.sent[0].part("input_fidelity").text == "high"
    assert state.HasField("done")


async def test_unsupported_input_fidelity_is_not_sent_and_warned_about(
    openai: OpenAI, openai_harness: Harness
) -> None:
    inputs = [await openai_harness.keep(image_bytes())]
    for model in ("openai/gpt-image-2", "openai/gpt-image-1-mini"):
        state = await openai_harness.run(task(model, inputs=inputs, input_fidelity="high"))
        assert [warning.param for warning in state.done.warnings] == ["input_fidelity"]
    assert openai.billed == 2


async def test_dalle_2_receives_input_and_mask(openai: OpenAI, openai_harness: Harness) -> None:
    white = io.BytesIO()
    Image.new("L", (64, 64), 255).save(white, "PNG")
    inputs = [await openai_harness.keep(image_bytes())]
    state = await openai_harness.run(
        task("openai/dall-e-2", inputs=inputs, mask=await openai_harness.keep(white.getvalue()))
    )
    assert state.HasField("done")
    assert openai.sent[0].part("response_format").text == "b64_json"


async def test_strict_refuses_a_warned_option_before_any_request(openai: OpenAI, openai_harness: Harness) -> None:
    inputs = [await openai_harness.keep(image_bytes())]
    failed = (await openai_harness.run(task(inputs=inputs, input_fidelity="high", n=3, strict=True))).failed
    assert (failed.reason, failed.param) == (ErrorReason.ERROR_REASON_UNSUPPORTED_PARAMETER, "input_fidelity")
    assert (failed.may_be_billed, openai.sent) == (False, [])


async def test_withheld_images_are_reported_as_missing(openai: OpenAI, openai_harness: Harness) -> None:
    openai.withheld = 1
    done = (await openai_harness.run(task(n=3))).done
    assert (len(done.artifacts), openai.billed) == (2, 2)
    assert [missing.message for missing in done.missing] == ["OpenAI made 2 of 3 images."]
    failed = (await openai_harness.run(task())).failed
    assert (failed.reason, failed.may_be_billed) == (ErrorReason.ERROR_REASON_PROVIDER_ERROR, True)


@pytest.mark.parametrize("broken", [{}, None, {"b64_json": ""}, {"b64_json": "aGVsbG8="}])
async def test_invalid_image_does_not_lose_the_valid_ones(
    openai: OpenAI, openai_harness: Harness, broken: Any
) -> None:
    good = {"b64_json": base64.b64encode(image_bytes()).decode()}
    openai.failures = [(200, {"created": 1, "data": [good, broken, good]}, {})]
    done = (await openai_harness.run(task(n=3))).done
    assert [await openai_harness.bytes_of(found) for found in done.artifacts] == [image_bytes(), image_bytes()]
    assert len(done.missing) == 1


async def test_invalid_only_image_is_a_failure_that_may_be_billed(openai: OpenAI, openai_harness: Harness) -> None:
    openai.failures = [(200, {"data": [{"b64_json": base64.b64encode(b"no image").decode()}]}, {})]
    failed = (await openai_harness.run(task())).failed
    assert (failed.reason, failed.may_be_billed) == (ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE, True)


async def test_invalid_usage_counts_do_not_lose_images(openai: OpenAI, openai_harness: Harness) -> None:
    usage = {"input_tokens": 1 << 40, "output_tokens": "5", "total_tokens": None, "input_tokens_details": None}
    data = [{"b64_json": base64.b64encode(image_bytes()).decode()}]
    openai.failures = [(200, {"created": 1, "data": data, "usage": usage}, {})]
    done = (await openai_harness.run(task())).done
    assert (len(done.artifacts), done.usage.input_tokens) == (1, 0)


@pytest.mark.parametrize(("stage", "words", "param"), [("input", "prompt", "prompt"), ("output", "result", "")])
async def test_moderation_failure_names_the_refused_part(
    openai: OpenAI, openai_harness: Harness, stage: str, words: str, param: str
) -> None:
    openai.blocked = stage
    failed = (await openai_harness.run(task())).failed
    assert failed.reason == ErrorReason.ERROR_REASON_MODERATION_BLOCKED
    assert words in failed.message
    assert "sexual" in failed.message
    assert (failed.param, failed.may_be_billed, len(openai.sent)) == (param, stage == "output", 1)


async def test_moderation_is_recognized_without_code_and_with_details_outside_the_error(
    openai: OpenAI, openai_harness: Harness
) -> None:
    words = "Your request was rejected by the safety system. safety_violations=[violence, self-harm]."
    refusal = error(None, words, type_="image_generation_user_error")
    outside = {**refusal, "moderation_details": {"moderation_stage": "output"}}
    openai.failures = [(400, refusal, {}), (400, outside, {})]
    first, second = [(await openai_harness.run(task())).failed for _ in range(2)]
    assert [failed.reason for failed in (first, second)] == [ErrorReason.ERROR_REASON_MODERATION_BLOCKED] * 2
    assert "(violence, self-harm)" in first.message
    assert [(failed.param, failed.may_be_billed) for failed in (first, second)] == [("prompt", False), ("", True)]


async def test_moderation_of_dalle_is_recognized_by_its_own_code(openai: OpenAI, openai_harness: Harness) -> None:
    openai.blocked = "input"
    failed = (await openai_harness.run(task("openai/dall-e-3"))).failed
    assert (failed.reason, failed.may_be_billed) == (ErrorReason.ERROR_REASON_MODERATION_BLOCKED, False)


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (400, error("unknown_parameter", param="foo"), ErrorReason.ERROR_REASON_UNSUPPORTED_PARAMETER),
        (400, error("invalid_value", param="size"), ErrorReason.ERROR_REASON_INVALID_VALUE),
        (400, error("missing_required_parameter", param="prompt"), ErrorReason.ERROR_REASON_INVALID_VALUE),
        (400, error(None), ErrorReason.ERROR_REASON_INVALID_VALUE),
        (400, error("unsupported_file_mimetype"), ErrorReason.ERROR_REASON_INVALID_IMAGE),
        (400, error("billing_hard_limit_reached"), ErrorReason.ERROR_REASON_PROVIDER_BILLING),
        (401, error("invalid_api_key"), ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS),
        (403, error(None), ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS),
        (403, error("unsupported_country_region_territory"), ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS),
        (404, error("model_not_found"), ErrorReason.ERROR_REASON_MODEL_RETIRED),
        (400, {"error": "no"}, ErrorReason.ERROR_REASON_INVALID_VALUE),
        (400, {"error": {"message": {"a": 1}, "code": 7}}, ErrorReason.ERROR_REASON_INVALID_VALUE),
        (408, b"", ErrorReason.ERROR_REASON_PROVIDER_TIMEOUT),
        (410, b"gone", ErrorReason.ERROR_REASON_MODEL_RETIRED),
        (413, b"too large", ErrorReason.ERROR_REASON_INVALID_IMAGE),
        (429, error("insufficient_quota", type_="insufficient_quota"), ErrorReason.ERROR_REASON_PROVIDER_BILLING),
        (429, error(None, type_="insufficient_quota"), ErrorReason.ERROR_REASON_PROVIDER_BILLING),
        (500, error(None, type_="server_error"), ErrorReason.ERROR_REASON_PROVIDER_ERROR),
        (502, b"<html>10.0.0.1</html>", ErrorReason.ERROR_REASON_PROVIDER_ERROR),
        (504, b"", ErrorReason.ERROR_REASON_PROVIDER_TIMEOUT),
        (200, {"created": 1}, ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE),
        (200, {"data": [{"b64_json": "%%%"}]}, ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE),
    ],
)
async def test_error_is_final_after_one_call(
    openai: OpenAI, openai_harness: Harness, status: int, body: Any, reason: ErrorReason.ValueType
) -> None:
    openai.failures = [(status, body, {})]
    failed = (await openai_harness.run(task())).failed
    assert (failed.reason, len(openai.sent), openai.billed) == (reason, 1, 0)
    assert failed.may_be_billed == (status in {200, 408, 500, 502, 504})
    assert "10.0.0.1" not in failed.message


async def test_openais_message_is_passed_on_for_caller_errors_and_not_for_operator_errors(
    openai: OpenAI, openai_harness: Harness
) -> None:
    openai.failures = [
        (400, error("invalid_value", "Invalid size.", "size"), {}),
        (401, error("invalid_api_key", "Incorrect API key provided: sk-secret"), {}),
    ]
    refused = (await openai_harness.run(task())).failed
    assert (refused.message, refused.param) == ("OpenAI refused the request: Invalid size.", "size")
    assert "sk-" not in (await openai_harness.run(task())).failed.message


async def test_retired_model_names_its_successor(openai: OpenAI, openai_harness: Harness) -> None:
    openai.gone = {"dall-e-3"}
    failed = (await openai_harness.run(task("openai/dall-e-3"))).failed
    assert failed.reason == ErrorReason.ERROR_REASON_MODEL_RETIRED
    assert "openai/gpt-image-2" in failed.message
    openai.failures = [
        (400, error("invalid_value", "Not one of the models.", "model"), {}),
        (400, error(None, "The model `dall-e-3` has been deprecated, learn more."), {}),
        (400, error(None, "The model dall-e-3 does not exist."), {}),
    ]
    for _ in range(3):
        failed = (await openai_harness.run(task("openai/dall-e-3"))).failed
        assert failed.reason == ErrorReason.ERROR_REASON_MODEL_RETIRED


@pytest.mark.parametrize(
    ("headers", "message", "pause"),
    [
        ({"retry-after-ms": "1500", "retry-after": "9"}, "", 1.5),
        ({"Retry-After": "7"}, "", 7),
        (
            {},
            "Rate limit reached for gpt-image-2 on input-images per min: Limit 5. Please try again in 467ms.",
            0.467,
        ),
        ({}, "Please try again in 12s.", 12),
        ({}, "Please try again in 0m2.5s.", 2.5),
    ],
)
async def test_rate_limited_call_is_repeated_after_the_stated_pause(
    openai: OpenAI, openai_harness: Harness, headers: dict[str, str], message: str, pause: float
) -> None:
    openai.failures = [(429, error("rate_limit_exceeded", message, type_="requests"), headers)]
    assert (await openai_harness.run(task())).HasField("done")
    assert pause <= openai_harness.slept[0] < pause * 1.2
    assert openai.billed == 1


async def test_pause_of_minutes_is_passed_on_as_retry_after(openai: OpenAI, openai_harness: Harness) -> None:
    openai.failures = [(429, error("rate_limit_exceeded", "Please try again in 1m2s.", type_="requests"), {})]
    failed = (await openai_harness.run(task())).failed
    assert (failed.retry_after.seconds, len(openai.sent), openai_harness.slept) == (62, 1, [])


async def test_overload_is_retried_once(openai: OpenAI, openai_harness: Harness) -> None:
    openai.failures = [(503, error(None, type_="server_error"), {})]
    assert (await openai_harness.run(task())).HasField("done")
    assert (len(openai.sent), openai.billed) == (2, 1)


async def test_caller_key_replaces_the_operator_key(openai: OpenAI, openai_harness: Harness) -> None:
    state = await openai_harness.run(task(), credential="other-key")
    assert openai.sent[0].headers["authorization"] == "Bearer other-key"
    assert state.failed.reason == ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS


async def test_unreachable_host_is_a_failure_that_is_not_billed(openai: OpenAI, openai_harness: Harness) -> None:
    await openai.stop()
    failed = (await openai_harness.run(task())).failed
    assert (failed.reason, failed.may_be_billed) == (ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE, False)
