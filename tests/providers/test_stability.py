"""Stability's own API against its emulator: requests as sent, results, failures and billed calls."""

from __future__ import annotations

import base64
import hashlib
import json
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pytest
from imagegateway.platform.setting_source import Source
from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.providers.catalog import Capability
from imagegateway.providers.stability.catalog import MODELS
from imagegateway.router.catalog import Catalog
from imagegateway.v1.error_reason_pb2 import ErrorReason
from PIL import Image

from tests.emulators.base import image_bytes

if TYPE_CHECKING:
    from tests.emulators.base import Sent
    from tests.emulators.stability import Stability
    from tests.providers.harness import Harness

R = ErrorReason
_OWN = [model for model in MODELS if model.routes[0].name == "stability"]
_OPTIONS: dict[str, dict[str, Any]] = {
    "stability-ai/outpaint": {"left": 64, "creativity": 0.25},
    "stability-ai/search-and-replace": {"search_prompt": "dog"},
    "stability-ai/search-and-recolor": {"select_prompt": "dog"},
}


@pytest.fixture
def harness(stability_harness: Harness) -> Harness:
    return stability_harness


def task(model: str = "stable-image-core", **fields: Any) -> pb.ImageTask:
    return pb.ImageTask(model=f"stability-ai/{model}", route="stability", **{"prompt": "a fox", "n": 1, **fields})


def form(sent: Sent) -> dict[str, str]:
    return {part.name: part.text for part in sent.parts if part.filename is None}


def mask(width: int = 80, height: int = 64) -> bytes:
    """Return a mask as the router makes it, one channel, white = edit: white on the left half."""
    image = Image.new("L", (width, height), 0)
    image.paste(255, (0, 0, width // 2, height))
    out = BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


async def test_prompt_is_sent_as_multipart_without_a_file_and_bytes_are_stored(
    stability: Stability, harness: Harness
) -> None:
    state = await harness.run(
        task(
            aspect_ratio="16:9",
            seed=5,
            output_format="webp",
            negative_prompt="rain",
            user="someone",
            style="anime",
        )
    )
    (artifact,) = state.done.artifacts
    (sent,) = stability.sent
    assert (sent.method, sent.path) == ("POST", "/v2beta/stable-image/generate/core")
    assert sent.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert (sent.headers["authorization"], sent.headers["accept"]) == ("Bearer sk-test", "image/*")
    assert sent.headers["stability-client-user-id"] == hashlib.sha256(b"someone").hexdigest()
    assert form(sent) == {
        "prompt": "a fox",
        "negative_prompt": "rain",
        "style_preset": "anime",
        "aspect_ratio": "16:9",
        "seed": "5",
        "output_format": "webp",
    }
    assert await harness.bytes_of(artifact) == image_bytes(96, 64, "WEBP")
    assert (artifact.seed, artifact.media.width, artifact.media.media_type) == (5, 96, "image/webp")
    assert stability.billed == 1


@pytest.mark.parametrize("model", _OWN, ids=lambda model: model.id)
async def test_model_makes_an_image(stability: Stability, harness: Harness, model: Any) -> None:
    inputs = [await harness.keep(image_bytes(80, 64)) for _ in range(model.max_inputs)]
    request = task(model.id.partition("/")[2], inputs=inputs, width=80, height=64)
    if not model.prompt_required:
        request.prompt = ""
    if model.supports(Capability.MASK):
        request.mask.CopyFrom(await harness.keep(mask()))
    request.provider_options.update(_OPTIONS.get(model.id, {}))
    state = await harness.run(request)
    assert len(state.done.artifacts) == stability.billed == 1, state
    assert not state.done.warnings
    service = model.routes[0].native_id.partition(":")[0]
    assert stability.sent[0].path == f"/v2beta/stable-image/{service}"


async def test_sd35_request_names_its_variant_and_mode(stability: Stability, harness: Harness) -> None:
    source = image_bytes(80, 64, "JPEG")
    await harness.run(task("sd3.5-medium", aspect_ratio="3:2"))
    await harness.run(task("sd3.5-medium", inputs=[await harness.keep(source)]))
    first, second = stability.sent
    assert form(first) == {"prompt": "a fox", "model": "sd3.5-medium", "aspect_ratio": "3:2"}
    assert form(second) == {
        "prompt": "a fox",
        "model": "sd3.5-medium",
        "strength": "0.65",
        "mode": "image-to-image",
    }
    image = second.part("image")
    assert (image.data, image.content_type, image.filename) == (source, "image/jpeg", "image.jpg")


async def test_size_that_the_input_determines_is_warned_about(stability: Stability, harness: Harness) -> None:
    inputs = [await harness.keep(image_bytes(80, 64))]
    state = await harness.run(task("sd3.5-large", inputs=inputs, aspect_ratio="16:9"))
    assert [warning.code for warning in state.done.warnings] == ["size_adjusted"]
    state = await harness.run(task("inpaint", inputs=inputs, width=1024, height=1024))
    assert [warning.code for warning in state.done.warnings] == ["size_adjusted"]
    assert all("aspect_ratio" not in form(sent) for sent in stability.sent)


async def test_style_sends_an_aspect_ratio_and_style_transfer_requires_two_images(
    stability: Stability, harness: Harness
) -> None:
    inputs = [await harness.keep(image_bytes(80, 64))]
    state = await harness.run(task("style", inputs=inputs, aspect_ratio="16:9"))
    assert form(stability.sent[0])["aspect_ratio"] == "16:9"
    assert not state.done.warnings
    refused = await harness.run(task("style-transfer", inputs=inputs))
    assert (refused.failed.reason, refused.failed.param) == (R.ERROR_REASON_MISSING_PARAMETER, "image")
    assert len(stability.sent) == 1


async def test_unsupported_options_are_warned_about_once(stability: Stability, harness: Harness) -> None:
    state = await harness.run(task(n=2, moderation="low", input_fidelity="high"))
    assert sorted(warning.param for warning in state.done.warnings) == ["input_fidelity", "moderation"]


async def test_mask_keeps_its_polarity_and_unsupported_prompt_is_not_sent(
    stability: Stability, harness: Harness
) -> None:
    source, area = image_bytes(80, 64), mask()
    request = task("erase", inputs=[await harness.keep(source)], mask=await harness.keep(area), seed=1)
    state = await harness.run(request)
    (sent,) = stability.sent
    assert form(sent) == {"seed": "1"}
    assert sent.part("image").data == source
    pixels = Image.open(BytesIO(sent.part("mask").data))
    assert (pixels.mode, pixels.size) == ("L", (80, 64))
    assert (pixels.getpixel((0, 0)), pixels.getpixel((79, 0))) == (255, 0)
    assert [warning.param for warning in state.done.warnings] == ["prompt"]


async def test_provider_options_are_sent_and_whole_numbers_stay_whole(stability: Stability, harness: Harness) -> None:
    request = task("stable-image-ultra", inputs=[await harness.keep(image_bytes())])
    request.provider_options.update({"strength": 0.2, "style_preset": "anime", "cfg_scale": 7})
    await harness.run(request)
    sent = form(stability.sent[0])
    assert sent == {"prompt": "a fox", "strength": "0.2", "style_preset": "anime", "cfg_scale": "7"}


async def test_strength_of_an_edit_is_sent(stability: Stability, harness: Harness) -> None:
    await harness.run(task("stable-image-ultra", inputs=[await harness.keep(image_bytes())], strength=0.0))
    assert form(stability.sent[0])["strength"] == "0.0"


async def test_option_in_place_of_a_request_field_is_refused(stability: Stability, harness: Harness) -> None:
    request = task("stable-image-ultra", style="anime")
    request.provider_options.update({"style_preset": "origami"})
    assert (await harness.run(request)).failed.param == "provider_options.style_preset"
    assert not stability.sent


async def test_n_images_are_n_requests_with_consecutive_seeds_and_never_zero(
    stability: Stability, harness: Harness
) -> None:
    state = await harness.run(task(n=3, seed=0))
    assert sorted(form(sent)["seed"] for sent in stability.sent) == ["1", "2", "3"]
    assert [artifact.seed for artifact in state.done.artifacts] == [1, 2, 3]
    stability.sent.clear()
    await harness.run(task(n=2, seed=4294967295))
    assert sorted(form(sent)["seed"] for sent in stability.sent) == ["1", "4294967294"]


async def test_refused_image_is_missing_and_others_are_delivered(stability: Stability, harness: Harness) -> None:
    stability.failures = [(403, {"id": "x", "name": "content_moderation", "errors": ["flagged"]}, {})]
    state = await harness.run(task(n=3))
    assert (len(state.done.artifacts), stability.billed) == (2, 2)
    assert [missing.reason for missing in state.done.missing] == [R.ERROR_REASON_MODERATION_BLOCKED]


@pytest.mark.parametrize(
    ("output_format", "sent", "media_type"),
    [("jpeg", "jpeg", "image/jpeg"), ("webp", "png", "image/webp"), ("", None, "image/png")],
)
async def test_unsupported_format_is_converted(
    stability: Stability, harness: Harness, output_format: str, sent: str | None, media_type: str
) -> None:
    state = await harness.run(task("sd3.5-large", output_format=output_format))
    assert form(stability.sent[0]).get("output_format") == sent
    assert state.done.artifacts[0].media.media_type == media_type


async def test_requested_compression_is_converted_from_png(stability: Stability, harness: Harness) -> None:
    state = await harness.run(task(output_format="jpeg", output_compression=30))
    assert form(stability.sent[0])["output_format"] == "png"
    assert state.done.artifacts[0].media.media_type == "image/jpeg"


async def test_json_response_is_decoded(stability: Stability, harness: Harness) -> None:
    answer = {"image": base64.b64encode(image_bytes()).decode(), "finish_reason": "SUCCESS", "seed": 9}
    stability.failures = [(200, answer, {})]
    state = await harness.run(task())
    assert await harness.bytes_of(state.done.artifacts[0]) == image_bytes()
    assert state.done.artifacts[0].seed == 9


def _body(name: str, message: str) -> dict[str, Any]:
    return {"id": "x", "name": name, "errors": [message]}


_ENCODED = base64.b64encode(image_bytes()).decode()


@pytest.mark.parametrize(
    ("answer", "seed"),
    [
        ({"image": _ENCODED, "finish_reason": "SUCCESS", "seed": "9"}, 9),
        ({"result": f"data:image/png;base64,{_ENCODED}", "id": "x"}, None),
        ({"image": _ENCODED, "finish_reason": "SUCCESS", "seed": 1 << 40}, None),
        ({"image": _ENCODED, "finish_reason": None, "seed": None}, None),
    ],
)
async def test_response_with_unusual_fields_is_decoded(
    stability: Stability, harness: Harness, answer: Any, seed: int | None
) -> None:
    content = json.dumps(answer).encode()
    stability.failures = [(200, content, {"content-type": "application/json; type=image/png"})]
    (artifact,) = (await harness.run(task())).done.artifacts
    assert await harness.bytes_of(artifact) == image_bytes()
    assert (artifact.seed if artifact.HasField("seed") else None) == seed


async def test_seed_out_of_range_is_not_reported(stability: Stability, harness: Harness) -> None:
    stability.failures = [(200, image_bytes(), {"content-type": "image/png", "Seed": str(1 << 40)})]
    assert not (await harness.run(task())).done.artifacts[0].HasField("seed")


@pytest.mark.parametrize("answer", [b"", b"<html>", {}, [], {"image": "", "finish_reason": "SUCCESS"}, {"id": None}])
async def test_response_without_an_image_is_a_failure(stability: Stability, harness: Harness, answer: Any) -> None:
    stability.failures = [(200, answer, {})]
    state = await harness.run(task())
    assert (state.failed.reason, state.failed.may_be_billed) == (R.ERROR_REASON_PROVIDER_BAD_RESPONSE, True)
    assert len(stability.sent) == 1


@pytest.mark.parametrize("model", ["stable-image-core", "upscale-creative"])
@pytest.mark.parametrize(
    ("finish", "reason"),
    [
        ("CONTENT_FILTERED", R.ERROR_REASON_MODERATION_BLOCKED),
        ("ERROR", R.ERROR_REASON_PROVIDER_ERROR),
        ("DREAMING", R.ERROR_REASON_PROVIDER_BAD_RESPONSE),
    ],
)
async def test_filtered_or_unknown_finish_delivers_no_image(
    stability: Stability, harness: Harness, model: str, finish: str, reason: R.ValueType
) -> None:
    stability.finish = finish
    inputs = [await harness.keep(image_bytes())] if model.startswith("upscale") else []
    state = await harness.run(task(model, inputs=inputs))
    assert (state.failed.reason, state.failed.may_be_billed) == (reason, True)
    assert len([sent for sent in stability.sent if sent.method == "POST"]) == 1


@pytest.mark.parametrize(
    ("answer", "reason", "param"),
    [
        ((400, _body("bad_request", "prompt: too long")), R.ERROR_REASON_INVALID_VALUE, "prompt"),
        ((401, _body("unauthorized", "authorization: sk-secret")), R.ERROR_REASON_PROVIDER_CREDENTIALS, ""),
        ((402, _body("payment_required", "no credits")), R.ERROR_REASON_PROVIDER_BILLING, ""),
        ((400, _body("bad_request", "style_preset: unknown")), R.ERROR_REASON_INVALID_VALUE, "style"),
        ((400, _body("bad_request", "style_image: required")), R.ERROR_REASON_INVALID_VALUE, "image"),
        ((403, _body("content_moderation", "flagged")), R.ERROR_REASON_MODERATION_BLOCKED, "prompt"),
        ((403, {"errors": ["flagged"]}), R.ERROR_REASON_MODERATION_BLOCKED, "prompt"),
        ((403, b"<html>sk-secret"), R.ERROR_REASON_PROVIDER_CREDENTIALS, ""),
        ((401, {"id": "x", "name": "unauthorized", "message": "sk-secret"}), R.ERROR_REASON_PROVIDER_CREDENTIALS, ""),
        ((403, _body("permission_denied", "no")), R.ERROR_REASON_PROVIDER_CREDENTIALS, ""),
        ((404, _body("not_found", "gone")), R.ERROR_REASON_MODEL_RETIRED, ""),
        ((413, _body("payload_too_large", "body")), R.ERROR_REASON_FILE_TOO_LARGE, ""),
        ((422, _body("invalid_language", "English only")), R.ERROR_REASON_INVALID_VALUE, ""),
        ((400, {"name": "bad_request", "errors": [{"at": "sk-secret"}]}), R.ERROR_REASON_INVALID_VALUE, ""),
        ((410, b"gone"), R.ERROR_REASON_MODEL_RETIRED, ""),
    ],
)
async def test_error_is_final_after_one_call_and_not_billed(
    stability: Stability, harness: Harness, answer: tuple[int, Any], reason: R.ValueType, param: str
) -> None:
    stability.failures = [(*answer, {})]
    state = await harness.run(task())
    assert (state.failed.reason, state.failed.param, len(stability.sent)) == (reason, param, 1)
    assert not state.failed.may_be_billed
    assert "secret" not in state.failed.message


@pytest.mark.parametrize("name", ["internal_error", "server_error"])
async def test_vendor_error_is_not_billed_and_retried_once(stability: Stability, harness: Harness, name: str) -> None:
    error: tuple[int, Any, dict[str, str]] = (500, _body(name, "at host 10.0.0.1"), {})
    stability.failures = [error]
    assert (await harness.run(task())).HasField("done")
    assert (len(stability.sent), stability.billed) == (2, 1)
    assert 1 <= harness.slept[0] < 1.2
    stability.failures = [error] * 4
    state = await harness.run(task())
    assert (state.failed.reason, state.failed.may_be_billed) == (R.ERROR_REASON_PROVIDER_ERROR, False)
    assert (len(stability.sent), stability.billed) == (4, 1)
    assert "10.0.0.1" not in state.failed.message


async def test_unreadable_server_error_may_be_billed(stability: Stability, harness: Harness) -> None:
    stability.failures = [(502, b"<html>", {})]
    state = await harness.run(task())
    assert (state.failed.reason, state.failed.may_be_billed, len(stability.sent)) == (
        R.ERROR_REASON_PROVIDER_ERROR,
        True,
        1,
    )


async def test_block_of_a_minute_is_reported_and_a_short_pause_is_waited_out(
    stability: Stability, harness: Harness
) -> None:
    stability.failures = [(429, _body("rate_limit_exceeded", "slow"), {})]
    state = await harness.run(task())
    assert state.failed.reason == R.ERROR_REASON_PROVIDER_RATE_LIMITED
    assert state.failed.retry_after.seconds == 60
    stability.failures = [(429, _body("rate_limit_exceeded", "slow"), {"retry-after": "3"})]
    assert (await harness.run(task())).HasField("done")
    assert 3 <= harness.slept[-1] < 4


async def test_input_over_the_limits_is_refused_before_the_call(stability: Stability, harness: Harness) -> None:
    small = await harness.run(task("stable-image-ultra", inputs=[await harness.keep(image_bytes(63, 100))]))
    assert (small.failed.reason, small.failed.param) == (R.ERROR_REASON_INVALID_VALUE, "image")
    assert not stability.sent


async def test_caller_key_replaces_the_operator_key(stability: Stability, harness: Harness) -> None:
    stability.key = "sk-own"
    assert (await harness.run(task(), credential="sk-own")).HasField("done")


def test_ids_and_aliases_are_unique_and_complete() -> None:
    catalog = Catalog.load(Source({}), MODELS)
    for name in ("sdxl", "stable-image-ultra", "stable-image-core", "sd3.5", "inpaint", "erase"):
        assert catalog.resolve(f"stability-ai/{name}").family == "stability"
