"""Ideogram's responses, with the failures and results that the family returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from imagegateway.v1.error_reason_pb2 import ErrorReason

from tests.emulators.base import image_bytes
from tests.providers.harness import dollars
from tests.providers.tasks import task_of

if TYPE_CHECKING:
    from imagegateway.provider.v1 import provider_service_pb2 as pb

    from tests.emulators.ideogram import Ideogram
    from tests.providers.harness import Harness


task = task_of("ideogram", "ideogram/ideogram-v3")


async def test_unsafe_images_are_missing_and_the_others_delivered(
    ideogram: Ideogram, ideogram_harness: Harness
) -> None:
    ideogram.unsafe = frozenset({1})
    state = await ideogram_harness.run(task(n=3))
    assert len(state.done.artifacts) == 2
    (missing,) = state.done.missing
    assert (missing.reason, missing.may_be_billed) == (ErrorReason.ERROR_REASON_MODERATION_BLOCKED, True)
    assert (dollars(task(n=3), state.done), ideogram.billed) == (0.18, 3)


async def test_response_with_all_images_unsafe_is_moderation(ideogram: Ideogram, ideogram_harness: Harness) -> None:
    ideogram.unsafe = frozenset({0, 1})
    state = await ideogram_harness.run(task(n=2))
    assert (state.failed.reason, state.failed.may_be_billed) == (ErrorReason.ERROR_REASON_MODERATION_BLOCKED, True)
    assert len(ideogram.sent) == 1


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (400, {"detail": "'prompt' is a required property"}, ErrorReason.ERROR_REASON_INVALID_VALUE),
        (401, {"detail": "No authorization token provided"}, ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS),
        (402, {"reject_reason": "insufficient_funds"}, ErrorReason.ERROR_REASON_PROVIDER_BILLING),
        (402, {"reject_reason": "daily_limit"}, ErrorReason.ERROR_REASON_PROVIDER_BILLING),
        (403, b"", ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS),
        (404, b"", ErrorReason.ERROR_REASON_MODEL_RETIRED),
        (413, b"", ErrorReason.ERROR_REASON_INVALID_IMAGE),
        (415, {"detail": "no"}, ErrorReason.ERROR_REASON_PROVIDER_ERROR),
        (422, {"error": "Prompt failed the safety check"}, ErrorReason.ERROR_REASON_MODERATION_BLOCKED),
        (502, b"<html>oops</html>", ErrorReason.ERROR_REASON_PROVIDER_ERROR),
    ],
)
async def test_errors_are_final_after_one_call(
    ideogram: Ideogram, ideogram_harness: Harness, status: int, body: Any, reason: ErrorReason.ValueType
) -> None:
    ideogram.failures = [(status, body, {})]
    state = await ideogram_harness.run(task())
    assert (state.failed.reason, len(ideogram.sent), ideogram.billed) == (reason, 1, 0)
    assert state.failed.may_be_billed == (status >= 500)
    assert "oops" not in state.failed.message


@pytest.mark.parametrize("status", [429, 503])
async def test_busy_provider_is_retried(ideogram: Ideogram, ideogram_harness: Harness, status: int) -> None:
    ideogram.failures = [(status, {"error": "busy", "reject_reason": "inflight_limit"}, {})]
    state = await ideogram_harness.run(task())
    assert (len(state.done.artifacts), ideogram.billed) == (1, 1)


async def test_limit_counts_images_and_not_calls(ideogram: Ideogram, ideogram_harness: Harness) -> None:
    ideogram.limit = 2
    state = await ideogram_harness.run(task(n=3))
    assert (state.failed.reason, state.failed.may_be_billed) == (
        ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED,
        False,
    )
    assert (len(ideogram.sent), ideogram.billed) == (4, 0)


async def test_unsupported_inputs_are_refused_before_the_call(ideogram: Ideogram, ideogram_harness: Harness) -> None:
    state = await ideogram_harness.run(task(seed=1 << 31))
    assert (state.failed.reason, state.failed.param) == (ErrorReason.ERROR_REASON_INVALID_VALUE, "seed")
    assert not ideogram.sent


async def test_result_that_cannot_be_fetched_leaves_the_others(ideogram: Ideogram, ideogram_harness: Harness) -> None:
    ideogram.images = {"a.png": image_bytes(), "b.png": b"<html>sorry</html>", "c.png": image_bytes(32, 32)}
    urls = [f"{ideogram.base}/result/{name}?exp=1" for name in ideogram.images]
    ideogram.failures = [(200, {"data": [{"url": url, "is_image_safe": True} for url in urls]}, {})]
    state = await ideogram_harness.run(task(n=3))
    assert [artifact.media.width for artifact in state.done.artifacts] == [64, 32]
    (missing,) = state.done.missing
    assert (missing.reason, missing.may_be_billed) == (ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE, True)


BAD = ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE
BLOCKED = ErrorReason.ERROR_REASON_MODERATION_BLOCKED


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"data": [{"url": "", "is_image_safe": False}]}, BLOCKED),
        ({"data": [{"url": None}]}, BLOCKED),
        ({"data": [{"url": None, "is_image_safe": True}]}, BAD),
        ({"data": [{"url": 42, "is_image_safe": True}]}, BAD),
        ({"data": ["an image"]}, BAD),
        ({"data": []}, BAD),
        ({"data": None}, BAD),
        ({"created": "2026-11-22T10:00:00Z"}, BAD),
        ([], BAD),
        (b"<html>bad gateway</html>", BAD),
        (b'{"data": [{"url": "htt', BAD),
    ],
)
async def test_responses_without_an_image_end_the_task(
    ideogram: Ideogram, ideogram_harness: Harness, body: Any, reason: ErrorReason.ValueType
) -> None:
    ideogram.failures = [(200, body, {})]
    state = await ideogram_harness.run(task())
    assert (state.failed.reason, state.failed.may_be_billed, len(ideogram.sent)) == (reason, True, 1)


async def test_numbers_as_text_and_structured_prompts_are_read(ideogram: Ideogram, ideogram_harness: Harness) -> None:
    ideogram.images = {"a.png": image_bytes()}
    entry = {"url": f"{ideogram.base}/result/a.png", "seed": "77", "prompt": {"scene": "a fox"}, "new": 1}
    ideogram.failures = [(200, {"data": [entry]}, {})]
    (artifact,) = (await ideogram_harness.run(task())).done.artifacts
    assert (artifact.seed, artifact.revised_prompt) == (77, "")


async def run_async(ideogram_harness: Harness) -> pb.TaskState:
    """Run an asynchronous generation."""
    wanted = task(model="ideogram/ideogram-v4.5", width=1024, height=1024)
    wanted.provider_options.update({"async": True})
    return await ideogram_harness.run(wanted)


async def test_generation_in_capitals_and_with_an_empty_list_is_polled(
    ideogram: Ideogram, ideogram_harness: Harness
) -> None:
    ideogram.images = {"a.png": image_bytes()}
    ideogram.failures = [
        (200, {"generation_id": "a/../b?c", "status": "PENDING", "data": []}, {}),
        (200, {"status": "Pending"}, {}),
        (200, {"status": "COMPLETED", "data": [{"url": f"{ideogram.base}/result/a.png"}]}, {}),
    ]
    assert (await run_async(ideogram_harness)).HasField("done")
    assert ideogram.sent[1].target == "/v2/generations/a%2F..%2Fb%3Fc"


@pytest.mark.parametrize(
    ("status", "reason"), [(401, ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS), (404, BAD), (400, BAD)]
)
async def test_generation_that_cannot_be_polled_may_be_billed(
    ideogram: Ideogram, ideogram_harness: Harness, status: int, reason: ErrorReason.ValueType
) -> None:
    ideogram.failures = [(200, {"generation_id": "g"}, {}), *[(status, {"detail": "secret"}, {})] * 40]
    state = await run_async(ideogram_harness)
    assert (state.failed.reason, state.failed.may_be_billed) == (reason, True)
    assert [sent.method for sent in ideogram.sent].count("POST") == 1
    assert "secret" not in state.failed.message


async def test_generation_poll_is_repeated_after_ideograms_delay(
    ideogram: Ideogram, ideogram_harness: Harness
) -> None:
    ideogram.failures = [
        (200, {"generation_id": "g"}, {}),
        (429, b"", {"Retry-After": "17"}),
        (503, b"", {}),
        (200, {"status": "failed"}, {}),
    ]
    began = ideogram_harness.now
    state = await run_async(ideogram_harness)
    assert state.failed.reason == ErrorReason.ERROR_REASON_PROVIDER_ERROR
    assert ideogram_harness.now - began == 2 + 17 + 5
