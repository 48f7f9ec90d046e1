"""The bytedance family's images against the emulator: requests, responses, errors and billing."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
from imagegateway.providers.bytedance.catalog import MODELS
from imagegateway.providers.catalog import Capability, Model
from imagegateway.providers.sizes import SizeRange
from imagegateway.v1.error_reason_pb2 import ErrorReason

from tests.emulators.base import image_bytes
from tests.providers.tasks import task_of

if TYPE_CHECKING:
    from tests.emulators.ark import Ark
    from tests.providers.harness import Harness

BLOCKED = ErrorReason.ERROR_REASON_MODERATION_BLOCKED
BILLING = ErrorReason.ERROR_REASON_PROVIDER_BILLING
CREDENTIALS = ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS
RETIRED = ErrorReason.ERROR_REASON_MODEL_RETIRED
INVALID = ErrorReason.ERROR_REASON_INVALID_VALUE
FAILED = ErrorReason.ERROR_REASON_PROVIDER_ERROR
BY_ID = {model.id: model for model in MODELS}
IMAGES = [model for model in MODELS if model.modality == "image"]


@pytest.fixture
def harness(ark_harness: Harness) -> Harness:
    return ark_harness


task = task_of("bytedance", "bytedance/seedream-4.5", width=2048, height=2048)


def posts(ark: Ark) -> list[Any]:
    return [sent.json for sent in ark.sent if sent.method == "POST"]


async def test_image_is_requested_fetched_and_stored_unchanged(ark: Ark, harness: Harness) -> None:
    state = await harness.run(task(width=2496, height=1664))
    (artifact,) = state.done.artifacts
    sent = ark.sent[0]
    assert (sent.method, sent.path) == ("POST", "/api/v3/images/generations")
    assert sent.headers["authorization"] == f"Bearer {ark.key}"
    assert sent.json == {
        "model": "seedream-4-5-251128",
        "prompt": "a fox",
        "response_format": "url",
        "watermark": False,
        "size": "2496x1664",
        "sequential_image_generation": "disabled",
    }
    assert await harness.bytes_of(artifact) == image_bytes(2496 // 16, 1664 // 16, "JPEG")
    assert (artifact.media.media_type, ark.billed) == ("image/jpeg", 1)
    assert (state.done.usage.output_tokens, state.done.usage.total_tokens) == (16224, 16224)


async def test_key_does_not_go_to_the_result_host(ark: Ark, harness: Harness) -> None:
    await harness.run(task())
    assert [("authorization" in sent.headers, sent.path) for sent in ark.sent[1:]] == [(False, "/tos/0.jpeg")]


@pytest.mark.parametrize("model", IMAGES, ids=lambda model: str(model.id))
async def test_every_model_is_served(ark: Ark, harness: Harness, model: Model) -> None:
    inputs = [await harness.keep(image_bytes(64, 48))] if model.max_inputs else []
    width, height = model.sizes.default
    state = await harness.run(task(model.id, inputs=inputs, width=width, height=height))
    assert state.HasField("done"), state
    assert (posts(ark)[0]["model"], ark.billed) == (model.routes[0].native_id, 1)


def test_edit_ids_have_the_same_native_model_and_require_images() -> None:
    edit = BY_ID["bytedance/seedream-4.5-edit"]
    assert edit.routes == BY_ID["bytedance/seedream-4.5"].routes
    assert not edit.supports(Capability.TEXT_TO_IMAGE)


async def test_one_reference_is_a_string_and_several_are_a_list(ark: Ark, harness: Harness) -> None:
    first, second = image_bytes(64, 48), image_bytes(32, 32, "WEBP")
    inputs = [await harness.keep(first), await harness.keep(second)]
    await harness.run(task(inputs=inputs[:1]))
    await harness.run(task(inputs=inputs))
    one = f"data:image/png;base64,{base64.b64encode(first).decode()}"
    two = f"data:image/webp;base64,{base64.b64encode(second).decode()}"
    assert [body["image"] for body in posts(ark)] == [one, [one, two]]


async def test_references_over_the_limit_are_refused_before_the_call(ark: Ark, harness: Harness) -> None:
    large = await harness.keep(image_bytes() + bytes(10_000_000))
    state = await harness.run(task(inputs=[large]))
    assert (state.failed.reason, state.failed.param) == (ErrorReason.ERROR_REASON_INVALID_IMAGE, "image")
    assert not ark.sent


@pytest.mark.parametrize(
    ("model", "asked", "made"),
    [
        ("bytedance/seedream-4.5", (1024, 1024), (1920, 1920)),
        ("bytedance/seedream-4.5", (1536, 1024), (2352, 1568)),
        ("bytedance/seedream-4.5", (2848, 1600), (2848, 1600)),
        ("bytedance/seedream-5", (1792, 1024), (2544, 1456)),
        ("bytedance/seedream-5", (8192, 8192), (4096, 4096)),
        ("bytedance/seedream-5-pro", (1024, 1024), (1024, 1024)),
        ("bytedance/seedream-4", (1000, 1000), (1000, 1000)),
        ("bytedance/seedream-4", (512, 512), (960, 960)),
        ("bytedance/seedream-3", (256, 4096), (512, 2048)),
    ],
)
async def test_sizes_are_brought_within_the_models_limits(
    ark: Ark, harness: Harness, model: str, asked: tuple[int, int], made: tuple[int, int]
) -> None:
    width, height = BY_ID[model].sizes.nearest(*asked)
    assert (width, height) == made
    assert (await harness.run(task(model, width=width, height=height))).HasField("done")
    assert posts(ark)[0]["size"] == f"{width}x{height}"


@pytest.mark.parametrize("asked", [(1, 20_000), (99_999, 99_999), (3000, 180), (16_384, 1000), (5000, 7777), (1, 1)])
@pytest.mark.parametrize("model", [model for model in IMAGES if model.sizes.default == (2048, 2048)])
def test_every_size_becomes_an_allowed_size(model: Model, asked: tuple[int, int]) -> None:
    assert isinstance(model.sizes, SizeRange)
    width, height = model.sizes.nearest(*asked)
    assert model.sizes.min_pixels <= width * height <= model.sizes.max_pixels
    assert 1 / 16 <= width / height <= 16


async def test_seededit_keeps_its_inputs_shape(ark: Ark, harness: Harness) -> None:
    first = await harness.keep(image_bytes(64, 48))
    state = await harness.run(task("bytedance/seededit-3", inputs=[first], width=512, height=512, seed=7))
    body = posts(ark)[0]
    assert (body["size"], body["seed"]) == ("adaptive", 7)
    assert "sequential_image_generation" not in body
    assert [warning.code for warning in state.done.warnings] == ["size_adjusted"]
    assert state.done.artifacts[0].seed == 7


async def test_missing_size_is_left_to_the_model(ark: Ark, harness: Harness) -> None:
    await harness.run(task(width=0, height=0))
    await harness.run(task("bytedance/seedream-3", width=0, height=0))
    assert [body.get("size") for body in posts(ark)] == ["2K", None]


async def test_n_images_are_n_calls_and_failed_ones_are_missing(ark: Ark, harness: Harness) -> None:
    ark.failures = [(400, {"error": {"code": "InputTextSensitiveContentDetected", "message": "no"}}, {})]
    state = await harness.run(task("bytedance/seedream-3", n=3, seed=9, width=1024, height=1024))
    assert sorted(body["seed"] for body in posts(ark)) == [9, 10, 11]
    assert [missing.reason for missing in state.done.missing] == [BLOCKED]
    assert (len(state.done.artifacts), ark.billed) == (2, 2)


async def test_seeds_over_the_limit_are_refused_before_the_call(ark: Ark, harness: Harness) -> None:
    state = await harness.run(task("bytedance/seedream-3", seed=1 << 31))
    assert (state.failed.reason, state.failed.param, len(ark.sent)) == (INVALID, "seed", 0)


async def test_refused_images_of_a_response_are_missing_beside_the_others(ark: Ark, harness: Harness) -> None:
    refused = {"error": {"code": "OutputImageSensitiveContentDetected", "message": "no Request id: 1"}}
    made = {"b64_json": base64.b64encode(image_bytes()).decode()}
    ark.failures = [(200, {"data": [made, refused, made]}, {})]
    state = await harness.run(task())
    assert (len(state.done.artifacts), len(ark.sent)) == (2, 1)
    (missing,) = state.done.missing
    assert (missing.reason, missing.may_be_billed) == (BLOCKED, True)
    assert missing.message == "The content policy of ByteDance refused the result."


async def test_watermark_is_off_unless_the_caller_requests_it(ark: Ark, harness: Harness) -> None:
    for options, sent in (({}, False), ({"watermark": True}, True)):
        await harness.run(task(provider_options=options))
        assert posts(ark)[-1]["watermark"] == sent


@pytest.mark.parametrize(
    ("model", "wanted", "compression", "sent", "warned"),
    [
        ("bytedance/seedream-5", "png", None, "png", 0),
        ("bytedance/seedream-5", "jpeg", None, "jpeg", 0),
        ("bytedance/seedream-5", "webp", 80, "png", 0),
        ("bytedance/seedream-5", "jpeg", 30, "png", 0),
        ("bytedance/seedream-4.5", "png", None, None, 0),
        ("bytedance/seedream-4.5", "jpeg", 30, None, 1),
    ],
)
async def test_formats_are_converted_or_warned_about(
    ark: Ark, harness: Harness, *, model: str, wanted: str, compression: int | None, sent: str | None, warned: int
) -> None:
    state = await harness.run(task(model, output_format=wanted, output_compression=compression))
    assert posts(ark)[0].get("output_format") == sent
    assert state.done.artifacts[0].media.media_type == f"image/{wanted}"
    assert len(state.done.warnings) == warned


@pytest.mark.parametrize(
    ("status", "code", "reason", "accepted"),
    [
        (400, "MissingParameter", INVALID, False),
        (400, "InvalidParameter", INVALID, False),
        (400, "InvalidParameter.Size", INVALID, False),
        (400, "InvalidImageURL.Download", ErrorReason.ERROR_REASON_INVALID_IMAGE, False),
        (400, "InvalidEndpoint.ClosedEndpoint", FAILED, False),
        (400, "InputTextSensitiveContentDetected", BLOCKED, False),
        (400, "InputTextSensitiveContentDetected.PolicyViolation", BLOCKED, False),
        (400, "InputImageSensitiveContentDetected.PrivacyInformation", BLOCKED, False),
        (400, "OutputImageSensitiveContentDetected.DeepFake", BLOCKED, True),
        (400, "SensitiveContentDetected.SevereViolation", BLOCKED, False),
        (400, "InputTextRiskDetection", BLOCKED, False),
        (401, "AuthenticationError", CREDENTIALS, False),
        (401, "InvalidAccountStatus", CREDENTIALS, False),
        (403, "AccountOverdueError", BILLING, False),
        (403, "AccessDenied", CREDENTIALS, False),
        (403, "OperationDenied.ServiceNotOpen", CREDENTIALS, False),
        (404, "InvalidEndpointOrModel.NotFound", RETIRED, False),
        (404, "InvalidEndpointOrModel.ModelIDAccessDisabled", CREDENTIALS, False),
        (404, "ModelNotOpen", CREDENTIALS, False),
        (404, "UnsupportedModel", RETIRED, False),
        (429, "QuotaExceeded", BILLING, False),
        (429, "SetLimitExceeded", BILLING, False),
        (500, "InternalServiceError", FAILED, True),
        (200, "InternalServiceError", FAILED, True),
        (200, "OutputImageSensitiveContentDetected", BLOCKED, True),
    ],
)
async def test_errors_are_final_after_one_call(
    ark: Ark, harness: Harness, *, status: int, code: str, reason: Any, accepted: bool
) -> None:
    error = {"code": code, "message": "the words. Request id: 0217", "param": "size", "type": ""}
    for body in ({"error": error}, error):
        ark.sent.clear()
        ark.failures = [(status, body, {})]
        state = await harness.run(task())
        assert (state.failed.reason, state.failed.may_be_billed, len(ark.sent)) == (reason, accepted, 1), body
        assert "0217" not in state.failed.message
        assert ("the words." in state.failed.message) == (reason in {INVALID, ErrorReason.ERROR_REASON_INVALID_IMAGE})


async def test_moderation_message_names_the_refused_part(ark: Ark, harness: Harness) -> None:
    for kind, what, param in (("InputText", "prompt", "prompt"), ("InputImage", "input image", "image")):
        ark.failures = [(400, {"error": {"code": f"{kind}SensitiveContentDetected", "message": "no"}}, {})]
        failed = (await harness.run(task())).failed
        assert (failed.message, failed.param) == (f"The content policy of ByteDance refused the {what}.", param)


async def test_wrong_key_is_the_operators_fault_and_is_not_shown(ark: Ark, harness: Harness) -> None:
    ark.key = "another"
    failed = (await harness.run(task())).failed
    assert failed.reason == CREDENTIALS
    assert "test-key" not in failed.message


@pytest.mark.parametrize(
    ("status", "code", "headers", "pause"),
    [
        (429, "ModelAccountIpmRateLimitExceeded", {"Retry-After": "7"}, 7),
        (429, "RateLimitExceeded.EndpointRPMExceeded", {}, 5),
        (429, "RequestBurstTooFast", {}, 5),
        (429, "ServerOverloaded", {}, 5),
        (503, "ServerOverloaded", {}, 1),
    ],
)
async def test_rate_limits_are_waited_out(
    ark: Ark, harness: Harness, *, status: int, code: str, headers: dict[str, str], pause: float
) -> None:
    ark.failures = [(status, {"error": {"code": code, "message": "slow", "type": "TooManyRequests"}}, headers)]
    assert (await harness.run(task())).HasField("done")
    assert pause <= harness.slept[0] < pause + 1
    assert (len(posts(ark)), ark.billed) == (2, 1)


async def test_response_without_images_is_a_failure(ark: Ark, harness: Harness) -> None:
    ark.failures = [(200, {"model": "m", "data": []}, {})]
    assert (await harness.run(task())).failed.reason == FAILED
    ark.refused = [{"code": "InternalServiceError", "message": "no"}]
    assert (await harness.run(task())).failed.reason == FAILED
    ark.failures = [(200, {"data": [{"size": "1x1"}]}, {})]
    assert (await harness.run(task())).failed.reason == ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE
    assert len(posts(ark)) == 3


async def test_options_that_make_more_images_per_call_are_refused(ark: Ark, harness: Harness) -> None:
    for options in (
        {"model": "seedream-4-0-250828"},
        {"sequential_image_generation": "auto"},
        {"sequential_image_generation_options": {"max_images": 3}},
    ):
        failed = (await harness.run(task(provider_options=options))).failed
        assert failed.param == f"provider_options.{min(options)}"
    assert not ark.sent
