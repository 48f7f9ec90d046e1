"""Bria's task states and error responses, with the failures and results that the family returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from imagegateway.v1.error_reason_pb2 import ErrorReason

from tests.providers.bria import edit, submits

if TYPE_CHECKING:
    from tests.emulators.bria import Bria
    from tests.providers.harness import Harness

BLOCKED = ErrorReason.ERROR_REASON_MODERATION_BLOCKED


@pytest.mark.parametrize(
    ("last", "reason"),
    [
        ({"code": 422, "message": "Unprocessable", "details": "prompt_content_moderation failed"}, BLOCKED),
        ({"code": 422, "message": "Moderated", "details": "visual_output_content_moderation"}, BLOCKED),
        ({"code": "VALIDATION_ERROR", "message": "bad", "details": "x"}, ErrorReason.ERROR_REASON_INVALID_VALUE),
        ({"code": 460, "message": "not loaded", "details": "x"}, ErrorReason.ERROR_REASON_INVALID_IMAGE),
        ({"code": 500, "message": "secret", "details": "host"}, ErrorReason.ERROR_REASON_PROVIDER_ERROR),
        ({"code": "SOMETHING", "message": "secret"}, ErrorReason.ERROR_REASON_PROVIDER_ERROR),
        ("UNKNOWN", ErrorReason.ERROR_REASON_PROVIDER_ERROR),
        ("FAILED", ErrorReason.ERROR_REASON_PROVIDER_ERROR),
        ("NOT_FOUND", ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE),
        ("DREAMING", ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE),
    ],
)
async def test_terminal_and_unknown_states_end_the_task(
    bria: Bria, bria_harness: Harness, last: Any, reason: Any
) -> None:
    bria.script = ("IN_PROGRESS", last)
    state = await edit(bria_harness)
    assert (state.failed.reason, state.failed.may_be_billed) == (reason, True)
    assert "secret" not in state.failed.message
    assert (len(submits(bria)), bria.billed) == (1, 0)


async def test_moderation_message_names_the_refused_part(bria: Bria, bria_harness: Harness) -> None:
    bria.script = ({"code": 422, "message": "Moderated", "details": "visual_output_content_moderation"},)
    assert (await edit(bria_harness)).failed.message == "The content policy of Bria refused the result."
    bria.failures = [(422, {"error": {"code": 422, "message": "Prompt moderation", "details": "x"}}, {})]
    failed = (await edit(bria_harness)).failed
    assert failed.message == "The content policy of Bria refused the prompt."
    assert (failed.param, failed.may_be_billed) == ("prompt", False)
    bria.failures = [(422, {"error": {"code": 422, "details": "visual_input_content_moderation"}}, {})]
    failed = (await edit(bria_harness)).failed
    assert (failed.message, failed.param) == ("The content policy of Bria refused the input image.", "image")
    bria.failures = [(422, {"error": {"code": 422, "message": "Content moderation"}}, {})]
    failed = (await edit(bria_harness)).failed
    assert failed.message == "The content policy of Bria refused the prompt or an input image."


async def test_task_that_is_not_visible_yet_is_polled_again(bria: Bria, bria_harness: Harness) -> None:
    bria.script = ("NOT_FOUND", "IN_PROGRESS", "COMPLETED")
    assert (await edit(bria_harness)).HasField("done")


@pytest.mark.parametrize(
    ("status", "reason", "accepted"),
    [
        (400, ErrorReason.ERROR_REASON_INVALID_VALUE, False),
        (401, ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS, False),
        (403, ErrorReason.ERROR_REASON_PROVIDER_BILLING, False),
        (404, ErrorReason.ERROR_REASON_MODEL_RETIRED, False),
        (405, ErrorReason.ERROR_REASON_PROVIDER_ERROR, False),
        (413, ErrorReason.ERROR_REASON_INVALID_IMAGE, False),
        (415, ErrorReason.ERROR_REASON_INVALID_IMAGE, False),
        (422, ErrorReason.ERROR_REASON_INVALID_VALUE, False),
        (460, ErrorReason.ERROR_REASON_INVALID_IMAGE, False),
        (500, ErrorReason.ERROR_REASON_PROVIDER_ERROR, True),
        (506, ErrorReason.ERROR_REASON_PROVIDER_ERROR, True),
    ],
)
async def test_errors_are_final_after_one_call(
    bria: Bria, bria_harness: Harness, status: int, reason: Any, accepted: bool
) -> None:
    bria.failures = [(status, {"error": {"code": status, "message": "the words", "details": "of Bria"}}, {})]
    state = await edit(bria_harness)
    assert (state.failed.reason, state.failed.may_be_billed, len(bria.sent)) == (reason, accepted, 1)
    blamed = reason in {ErrorReason.ERROR_REASON_INVALID_VALUE, ErrorReason.ERROR_REASON_INVALID_IMAGE}
    assert ("the words: of Bria" in state.failed.message) == blamed


async def test_rate_limits_are_waited_out_at_submit_and_poll(bria: Bria, bria_harness: Harness) -> None:
    bria.failures = [(429, {"error": {"code": 429, "message": "slow", "details": ""}}, {"Retry-After": "7"})]
    assert (await edit(bria_harness)).HasField("done")
    assert 7 <= bria_harness.slept[0] < 8
    assert bria.billed == 1


async def test_failed_status_poll_is_repeated_except_for_a_refused_key(bria: Bria, bria_harness: Harness) -> None:
    accepted: Any = (202, {"request_id": "request-0", "status_url": "x"}, {})
    bria.failures = [accepted, (429, {}, {}), (500, b"oops", {}), (401, {"error": {"code": 401}}, {})]
    failed = (await edit(bria_harness)).failed
    assert (failed.reason, failed.may_be_billed) == (ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS, True)
    assert len(bria.sent) == 4


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (429, ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED),
        (403, ErrorReason.ERROR_REASON_PROVIDER_BILLING),
        (500, ErrorReason.ERROR_REASON_PROVIDER_ERROR),
    ],
)
async def test_moderation_text_counts_only_in_a_refusal(
    bria: Bria, bria_harness: Harness, status: int, reason: Any
) -> None:
    body = {"error": {"code": status, "message": "moderate your rate; moderation is part of no plan"}}
    bria.failures = [(status, body, {"Retry-After": "60"})]
    failed = (await edit(bria_harness)).failed
    assert (failed.reason, len(bria.sent)) == (reason, 1)
    assert "moderat" not in failed.message
    bria.script = ({"code": 500, "message": "moderation is down"},)
    assert (await edit(bria_harness)).failed.reason == ErrorReason.ERROR_REASON_PROVIDER_ERROR


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            {"error": {"code": 422, "message": "the words", "details": [{"loc": ["body", "seed"], "msg": "bad"}]}},
            True,
        ),
        ({"error": "the words"}, True),
        ({"detail": "the words"}, True),
        ({"detail": [{"loc": ["body", "seed"], "msg": "the words", "input": "secret"}]}, True),
        ({"message": "the words"}, True),
        ([], False),
        (b"<html>secret</html>", False),
    ],
)
async def test_errors_of_every_form_are_read(bria: Bria, bria_harness: Harness, body: Any, words: bool) -> None:
    bria.failures = [(422, body, {})]
    failed = (await edit(bria_harness)).failed
    assert (failed.reason, failed.may_be_billed) == (ErrorReason.ERROR_REASON_INVALID_VALUE, False)
    assert ("the words" in failed.message) == words
    assert "secret" not in failed.message


async def test_server_error_is_not_repeated_since_each_post_is_a_billed_job(
    bria: Bria, bria_harness: Harness
) -> None:
    bria.failures = [(503, b"<html>down</html>", {})]
    failed = (await edit(bria_harness)).failed
    assert (failed.reason, failed.may_be_billed) == (ErrorReason.ERROR_REASON_PROVIDER_ERROR, True)
    assert len(bria.sent) == 1


@pytest.mark.parametrize(
    "result",
    [
        None,
        {},
        [],
        {"image_url": None},
        {"image_url": ""},
        {"image_url": 7},
        {"image_url": "https://127.0.0.2/x.png"},
    ],
)
@pytest.mark.parametrize("sync", [False, True])
async def test_responses_without_an_image_end_the_task(
    bria: Bria, bria_harness: Harness, result: Any, sync: bool
) -> None:
    done: Any = (200, {"request_id": "r", "status": "COMPLETED", "result": result}, {})
    accepted: Any = (202, {"request_id": "r", "status_url": "x"}, {})
    bria.failures = [done] if sync else [accepted, done]
    state = await edit(bria_harness)
    assert (state.failed.reason, state.failed.may_be_billed) == (ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE, True)
    assert len(submits(bria)) == 1


@pytest.mark.parametrize("body", [{}, [], b"<html>hello</html>", {"request_id": None}, {"status": "IN_PROGRESS"}])
async def test_submit_responses_without_a_request_id_end_the_task(
    bria: Bria, bria_harness: Harness, body: Any
) -> None:
    bria.failures = [(202, body, {})]
    state = await edit(bria_harness)
    assert (state.failed.reason, state.failed.may_be_billed) == (ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE, True)
    assert len(bria.sent) == 1


async def test_states_in_another_case_missing_seeds_and_warnings_are_read(bria: Bria, bria_harness: Harness) -> None:
    result = {"image_url": f"{bria.base}/results/request-0", "seed": None, "refined_prompt": {"a": 1}, "new": 1}
    assert (await edit(bria_harness)).HasField("done")
    bria.failures = [
        (202, {"request_id": "r", "status_url": "x", "warning": "may hold a brand"}, {}),
        (200, {"status": "in_progress"}, {}),
        (200, {"status": "Completed", "result": result}, {}),
    ]
    state = await edit(bria_harness, seed=9, provider_options={"ip_signal": True})
    (artifact,) = state.done.artifacts
    assert (artifact.seed, artifact.revised_prompt) == (9, "")
    assert [(warning.code, warning.message) for warning in state.done.warnings] == [
        ("provider_warning", "Bria: may hold a brand")
    ]


@pytest.mark.parametrize("status", [400, 404, 422])
async def test_refused_status_poll_never_blames_the_caller(bria: Bria, bria_harness: Harness, status: int) -> None:
    accepted: Any = (202, {"request_id": "request-0", "status_url": "x"}, {})
    bria.failures = [accepted, *[(status, {"error": {"message": "prompt moderation: secret"}}, {})] * 40]
    failed = (await edit(bria_harness)).failed
    assert (failed.reason, failed.may_be_billed) == (ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE, True)
    assert "secret" not in failed.message
    assert len(submits(bria)) == 1


async def test_status_poll_is_repeated_after_brias_delay(bria: Bria, bria_harness: Harness) -> None:
    accepted: Any = (202, {"request_id": "request-0", "status_url": "x"}, {})
    bria.failures = [accepted, (429, {}, {"Retry-After": "17"}), (200, {"status": "FAILED", "error": None}, {})]
    began = bria_harness.now
    assert (await edit(bria_harness)).failed.reason == ErrorReason.ERROR_REASON_PROVIDER_ERROR
    assert bria_harness.now - began == 2 + 17
