"""ModelArk's responses in every form that its documentation allows, and in invalid forms."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
from imagegateway.providers.bytedance.catalog import MODELS
from imagegateway.providers.catalog import Capability
from imagegateway.v1.error_reason_pb2 import ErrorReason

from tests.emulators.ark import VIDEO, Ark
from tests.emulators.base import image_bytes
from tests.providers.harness import dollars
from tests.providers.tasks import task_of

if TYPE_CHECKING:
    from tests.providers.harness import Harness

SEEDREAM = "bytedance/seedream-4.5"
PRO = "bytedance/seedream-5-pro"
SEEDANCE = "bytedance/seedance-2.0"
BLOCKED = ErrorReason.ERROR_REASON_MODERATION_BLOCKED
FAILED = ErrorReason.ERROR_REASON_PROVIDER_ERROR
UNREADABLE = ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE
DATA = image_bytes(40, 30, "JPEG")
B64 = base64.b64encode(DATA).decode()


@pytest.fixture
def harness(ark_harness: Harness) -> Harness:
    return ark_harness


task = task_of("bytedance", SEEDREAM)


@pytest.mark.parametrize(
    ("body", "made", "missing"),
    [
        ({"data": [{"b64_json": B64}]}, 1, []),
        ({"model": None, "created": None, "error": None, "data": [{"b64_json": B64, "url": None}]}, 1, []),
        ({"data": [{"b64_json": B64, "error": None, "z_index": 1}], "usage": {"tool_usage": {}}}, 1, []),
        ({"data": [{"b64_json": B64}, {"size": "1x1"}, None, "odd"]}, 1, [UNREADABLE] * 3),
        ({"data": [{"error": "refused"}, {"b64_json": B64}]}, 1, [FAILED]),
        ({"data": [{"error": {"code": "OutputImageSensitiveContentDetected.V"}}, {"b64_json": B64}]}, 1, [BLOCKED]),
        ({"data": [{"error": {"code": "OutputImageRiskDetection", "message": "no"}}]}, 0, [BLOCKED]),
        ({"data": [{"error": {}}]}, 0, [UNREADABLE]),
        ({"data": None, "error": {"code": "OutputImageSensitiveContentDetected", "message": "no"}}, 0, [BLOCKED]),
        ({"data": {}, "code": "InternalServiceError", "message": "at 10.0.0.7"}, 0, [FAILED]),
        ({"data": []}, 0, [FAILED]),
        ({"data": [{"b64_json": "%%%"}]}, 0, [UNREADABLE]),
        ({"data": [{"b64_json": base64.b64encode(b"<html>").decode()}]}, 0, [UNREADABLE]),
        (b'{"data": [', 0, [UNREADABLE]),
        (b"<html>10.0.0.7</html>", 0, [UNREADABLE]),
    ],
)  # fmt: skip
async def test_items_with_status_200_are_results_or_missing(
    ark: Ark, harness: Harness, *, body: Any, made: int, missing: list[Any]
) -> None:
    ark.failures = [(200, body, {})]
    state = await harness.run(task())
    assert len(state.done.artifacts) == made
    lost = list(state.done.missing) if made else [state.failed]
    assert [(failed.reason, failed.may_be_billed) for failed in lost] == [(reason, True) for reason in missing]
    assert not [failed for failed in lost if "10.0.0.7" in failed.message]
    assert len(ark.sent) == 1


async def test_token_counts_in_strings_are_read(ark: Ark, harness: Harness) -> None:
    usage = {"generated_images": "1", "output_tokens": "16384", "total_tokens": 16384.0}
    ark.failures = [(200, {"data": [{"b64_json": B64}], "usage": usage}, {})]
    done = (await harness.run(task())).done
    assert not done.HasField("usage"), "a total that is no number leaves the input's tokens unknown"
    usage["total_tokens"] = "16384"
    ark.failures = [(200, {"data": [{"b64_json": B64}], "usage": usage}, {})]
    counted = (await harness.run(task())).done.usage
    assert (counted.input_tokens, counted.output_tokens, counted.total_tokens) == (0, 16384, 16384)
    assert counted.input_tokens_details.HasField("text_tokens")


@pytest.mark.parametrize(
    ("status", "body", "headers", "reason", "param", "calls"),
    [
        (400, {"error": {"code": "InvalidParameter", "param": "content[0].text"}}, {}, "INVALID_VALUE", "prompt", 1),
        (400, {"error": {"code": "InvalidParameter", "param": "duration"}}, {}, "INVALID_VALUE", "seconds", 1),
        (400, {"code": "InvalidParameter", "message": "at least 3686400 pixels"}, {}, "INVALID_VALUE", "", 1),
        (400, {"error": "Bad Request"}, {}, "INVALID_VALUE", "", 1),
        (400, b"", {"x-error-code": "InputTextSensitiveContentDetected"}, "MODERATION_BLOCKED", "prompt", 1),
        (403, b"<html></html>", {"x-error-code": "AccountOverdueError"}, "PROVIDER_BILLING", "", 1),
        (429, b"<html></html>", {}, "PROVIDER_RATE_LIMITED", "", 4),
        (429, {"error": {"code": "QuotaExceeded"}}, {"retry-after": "1"}, "PROVIDER_BILLING", "", 1),
        (500, {"error": {"code": "ServerOverloaded"}}, {}, "PROVIDER_UNAVAILABLE", "", 2),
        (502, b"<html>upstream 10.0.0.7</html>", {}, "PROVIDER_ERROR", "", 1),
        (503, b"<html>upstream 10.0.0.7</html>", {}, "PROVIDER_ERROR", "", 1),
        (504, b"<html>upstream 10.0.0.7</html>", {}, "PROVIDER_TIMEOUT", "", 1),
    ],
)
@pytest.mark.parametrize("model", [SEEDREAM, SEEDANCE])
async def test_error_bodies_in_other_forms_are_read(
    ark: Ark,
    harness: Harness,
    *,
    model: str,
    status: int,
    body: Any,
    headers: dict[str, str],
    reason: str,
    param: str,
    calls: int,
) -> None:
    ark.failures = [(status, body, headers)] * 4
    failed = (await harness.run(task(model))).failed
    assert (ErrorReason.Name(failed.reason).removeprefix("ERROR_REASON_"), failed.param) == (reason, param)
    assert (len(ark.sent), failed.may_be_billed) == (calls, status in {502, 503, 504})
    assert "10.0.0.7" not in failed.message


async def test_request_id_is_never_shown(ark: Ark, harness: Harness) -> None:
    error = {"code": "InvalidParameter", "message": "size is odd. Request id: 0217abc. Try again."}
    ark.failures = [(400, {"error": error}, {})]
    assert (await harness.run(task())).failed.message == "ByteDance refused the request: size is odd. Try again."


@pytest.mark.parametrize(
    ("model", "quality", "size"),
    [
        ("bytedance/seedream-4", "low", "1K"),
        ("bytedance/seedream-4", "medium", "2K"),
        ("bytedance/seedream-4", "max", "4K"),
        (SEEDREAM, "high", "4K"),
        ("bytedance/seedream-5", "xhigh", "4K"),
        (PRO, "low", "1K"),
        (PRO, "", "2K"),
    ],
)
async def test_quality_is_a_size_class_when_the_size_is_left_to_the_model(
    ark: Ark, harness: Harness, model: str, quality: str, size: str
) -> None:
    state = await harness.run(task(model, quality=quality))
    body = ark.sent[0].json
    assert (body["size"], list(state.done.warnings)) == (size, [])
    assert body.get("optimize_prompt_options") == ({"mode": "fast"} if quality == "low" else None)


async def test_quality_beside_a_size_is_a_warning(ark: Ark, harness: Harness) -> None:
    state = await harness.run(task(quality="high", width=2048, height=2048))
    assert ark.sent[0].json["size"] == "2048x2048"
    assert [warning.param for warning in state.done.warnings] == ["quality"]


@pytest.mark.parametrize("model", [model for model in MODELS if model.qualities], ids=lambda model: str(model.id))
async def test_every_listed_quality_is_accepted(ark: Ark, harness: Harness, model: Any) -> None:
    inputs = [] if model.supports(Capability.TEXT_TO_IMAGE) else [await harness.keep(DATA)]
    for quality in model.qualities:
        assert (await harness.run(task(model.id, quality=quality, inputs=inputs))).HasField("done")
    assert ark.billed == len(model.qualities)


@pytest.mark.parametrize(
    ("width", "height", "references", "price"),
    [(1024, 1024, 0, 0.045), (2048, 2048, 1, 0.09), (1024, 1024, 3, 0.051)],
)
async def test_price_of_pro_depends_on_area_and_references(
    harness: Harness, width: int, height: int, references: int, price: float
) -> None:
    inputs = [await harness.keep(image_bytes(40, 30 + index)) for index in range(references)]
    request = task(PRO, width=width, height=height, inputs=inputs)
    assert dollars(request, (await harness.run(request)).done) == price


@pytest.mark.parametrize("body", [{}, {"id": None}, {"id": 7}, b"oops"])
async def test_task_without_an_id_is_unreadable(ark: Ark, harness: Harness, body: Any) -> None:
    ark.failures = [(200, body, {})]
    failed = (await harness.run(task(SEEDANCE))).failed
    assert (failed.reason, failed.may_be_billed, len(ark.sent)) == (UNREADABLE, True, 1)


@pytest.mark.parametrize("odd", [b"<html>busy</html>", b"{", {}, {"status": None}, {"status": "succeeded"}, b""])
async def test_unreadable_poll_loses_no_video(ark: Ark, harness: Harness, odd: Any) -> None:
    ark.failures = [(200, {"id": "cgt-9"}, {}), (200, odd, {})]
    ended = {"status": "SUCCEEDED", "content": {"video_url": f"{ark.base}/tos/v.mp4"}, "usage": None, "seed": -1}
    ark.failures += [(200, {"status": "Running"}, {}), (200, ended, {}), (200, VIDEO, {})]
    state = await harness.run(task(SEEDANCE))
    assert await harness.bytes_of(state.done.artifacts[0]) == VIDEO
    assert len([sent for sent in ark.sent if sent.method == "POST"]) == 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (None, FAILED),
        ("broken", FAILED),
        ({"code": "RateLimitExceeded.EndpointRPMExceeded"}, ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED),
        ({"code": "AuthenticationError"}, ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS),
        ({"code": "UnsupportedModel"}, ErrorReason.ERROR_REASON_MODEL_RETIRED),
        ({"code": "InputImageSensitiveContentDetected.PrivacyInformation"}, BLOCKED),
    ],
)
async def test_failed_tasks_are_mapped_by_their_code(ark: Ark, harness: Harness, error: Any, reason: Any) -> None:
    ark.failures = [(200, {"id": "cgt-9"}, {}), (200, {"status": "failed", "error": error, "content": None}, {})]
    failed = (await harness.run(task(SEEDANCE))).failed
    assert (failed.reason, failed.may_be_billed, len(ark.sent)) == (reason, True, 2)
