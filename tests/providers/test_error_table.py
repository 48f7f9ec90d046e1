"""Error table: reason, blame and bill of each error response, and the part that a content policy refused."""

from __future__ import annotations

from datetime import date

import pytest
from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.providers.bfl.catalog import MODELS
from imagegateway.providers.kit.call import Call
from imagegateway.providers.kit.error_table import (
    ErrorTable,
    RefusedPart,
    UnchargedErrors,
    moderation_failure,
    refused_part,
)
from imagegateway.providers.kit.http_messages import HttpResponse
from imagegateway.v1.error_reason_pb2 import ErrorReason

TABLE = ErrorTable(
    "Acme",
    by_status={400: ErrorReason.ERROR_REASON_INVALID_VALUE, 504: ErrorReason.ERROR_REASON_PROVIDER_TIMEOUT},
    by_code={
        "blocked": ErrorReason.ERROR_REASON_MODERATION_BLOCKED,
        "busy": ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED,
    },
    uncharged=UnchargedErrors(frozenset({500, 504}), "https://acme.example/errors", date(2026, 11, 1)),
)


def response(status: int, **headers: str) -> HttpResponse:
    return HttpResponse(status, headers, b"")


def test_redirect_is_no_success() -> None:
    statuses = (199, 200, 299, 300)
    assert [status for status in statuses if response(status).is_success] == [200, 299]


@pytest.mark.parametrize(
    ("status", "code", "reason", "billed", "again"),
    [
        (400, "", "INVALID_VALUE", False, False),
        (400, "busy", "PROVIDER_RATE_LIMITED", False, False),
        (418, "", "PROVIDER_ERROR", False, False),
        (499, "", "PROVIDER_ERROR", False, False),
        (500, "", "PROVIDER_ERROR", False, True),
        (502, "", "PROVIDER_ERROR", True, False),
        (502, "busy", "PROVIDER_RATE_LIMITED", False, True),
        (502, "strange", "PROVIDER_ERROR", True, False),
        (504, "", "PROVIDER_TIMEOUT", True, False),
        (400, "blocked", "MODERATION_BLOCKED", False, False),
        (500, "blocked", "MODERATION_BLOCKED", True, False),
    ],
)
def test_error_has_its_reason_and_its_bill(status: int, code: str, reason: str, *, billed: bool, again: bool) -> None:
    failure = TABLE.lookup(response(status), code)
    assert ErrorReason.Name(failure.reason) == f"ERROR_REASON_{reason}"
    assert (failure.may_be_billed, failure.retry_once) == (billed, again)


def test_any_server_error_may_be_billed_where_no_page_says_otherwise() -> None:
    failure = ErrorTable("Acme", by_status={}).lookup(response(500))
    assert (failure.may_be_billed, failure.retry_once) == (True, False)


def test_providers_words_are_shown_for_the_callers_own_input_only() -> None:
    blamed = TABLE.lookup(response(400), detail="x" * 400, param="seed")
    assert (blamed.message, blamed.param) == (f"Acme refused the request: {'x' * 300}", "seed")
    internal = TABLE.lookup(response(500), detail="secret", param="seed")
    assert (internal.message, internal.param) == ("Acme failed.", "")


def test_requested_wait_is_kept() -> None:
    assert TABLE.lookup(response(400, **{"retry-after": "7"}), "busy").retry_after == 7.0


def test_ten_categories_of_forty_characters_are_named() -> None:
    failure = moderation_failure("Acme", RefusedPart.RESULT, may_be_billed=True, categories=["x" * 41] * 11)
    assert failure.message == f"The content policy of Acme refused the result ({', '.join(['x' * 40] * 10)})."
    assert (failure.param, failure.may_be_billed) == ("", True)


@pytest.mark.parametrize(
    ("prompt", "inputs", "words", "part"),
    [
        ("a fox", 0, "", RefusedPart.PROMPT),
        ("a fox", 0, "The image was refused", RefusedPart.PROMPT),
        ("a fox", 1, "", RefusedPart.PROMPT_OR_INPUT),
        ("", 1, "bad prompt", RefusedPart.INPUT),
        ("a fox", 1, "bad prompt", RefusedPart.PROMPT),
        ("a fox", 1, "bad photo", RefusedPart.INPUT),
        ("a fox", 1, "bad text or visual", RefusedPart.PROMPT_OR_INPUT),
        ("a fox", 1, "the generated image", RefusedPart.RESULT),
        ("a fox", 0, "Output blocked", RefusedPart.RESULT),
    ],
)
def test_refused_part_is_named_by_the_providers_words_and_the_inputs(
    prompt: str, inputs: int, words: str, part: RefusedPart
) -> None:
    task = pb.ImageTask(model=MODELS[0].id, prompt=prompt, inputs=[pb.MediaRef(key="input")] * inputs)
    call = Call(task, MODELS[0], MODELS[0].routes[0], "job", 0, 1)
    assert refused_part(call, words) == part
