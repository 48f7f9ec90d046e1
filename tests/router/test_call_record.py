"""Metrics of calls: each call counts once, by operation, model, provider, status and reason."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from imagegateway.keys.api_keys import ApiKey
from imagegateway.platform import metrics
from imagegateway.platform.errors import GatewayError, invalid
from imagegateway.router import call_context, call_record
from imagegateway.v1.error_reason_pb2 import ErrorReason
from structlog.testing import capture_logs

from tests.support.metrics import Added

if TYPE_CHECKING:
    from imagegateway.router.call_context import Call

REQUESTS = "imagegateway_requests_total"
SECONDS = "imagegateway_request_duration_seconds"
REFUSALS = "imagegateway_refusals_total"


def call(method: str = "Generate", tenant: str = "acme") -> Call:
    begun = call_context.begin(method, {}, rest=True)
    begun.key = ApiKey(id="k", tenant=tenant, name="n", created_at=0)
    begun.log |= {"model": "local/sketch", "provider": "local"}
    return begun


def test_call_counts_with_its_duration() -> None:
    added = Added()
    call_record.record(call(), time.perf_counter() - 3)
    labels = ("Generate", "local/sketch", "local", "200", "")
    assert added.series(REQUESTS) == {labels: 1}
    assert added.series(f"{SECONDS}_count") == {labels: 1}
    assert added(f"{SECONDS}_sum") == pytest.approx(3, abs=1)


def test_accepted_job_counts_as_202() -> None:
    accepted = call()
    accepted.headers[call_context.STATUS] = "202"
    added = Added()
    call_record.record(accepted, time.perf_counter())
    assert added.series(REQUESTS) == {("Generate", "local/sketch", "local", "202", ""): 1}


def test_caller_that_leaves_counts_as_499() -> None:
    added = Added()
    call_record.record(call(), time.perf_counter(), status=499)
    assert added.series(REQUESTS) == {("Generate", "local/sketch", "local", "499", ""): 1}


def test_failed_call_counts_its_reason() -> None:
    added = Added()
    call_record.record(call(), time.perf_counter(), error=invalid("n", "n is wrong."))
    assert added.series(REQUESTS) == {("Generate", "local/sketch", "local", "400", "invalid_value"): 1}
    assert added.series(REFUSALS) == {}


def test_call_without_a_model_counts_as_unknown() -> None:
    unknown = call_context.begin("GetJob", {}, rest=False)
    added = Added()
    call_record.record(unknown, time.perf_counter(), error=call_context.unknown_key())
    assert added.series(REQUESTS) == {("GetJob", "unknown", "unknown", "401", "invalid_api_key"): 1}


@pytest.mark.parametrize(
    ("method", "operation"), [("EditMultipart", "Edit"), ("StreamJobEvents", "StreamJob"), ("Edit", "Edit")]
)
def test_operation_is_the_same_over_all_protocols(method: str, operation: str) -> None:
    added = Added()
    with capture_logs() as lines:
        call_record.record(call(method), time.perf_counter())
    assert lines[0]["operation"] == method
    assert added(REQUESTS, operation=operation) == 1


@pytest.mark.parametrize(
    "reason",
    [
        ErrorReason.ERROR_REASON_RATE_LIMIT_EXCEEDED,
        ErrorReason.ERROR_REASON_BUDGET_EXCEEDED,
        ErrorReason.ERROR_REASON_PRICE_UNKNOWN,
        ErrorReason.ERROR_REASON_OVERLOADED,
    ],
)
def test_refusal_by_a_limit_counts_for_the_tenant(reason: ErrorReason.ValueType) -> None:
    error = GatewayError(reason, "No.")
    added = Added()
    call_record.record(call(), time.perf_counter(), error=error)
    assert added.series(REFUSALS) == {(error.code, "acme"): 1}


def test_refusals_of_many_tenants_share_a_label(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_tenants", set())
    error = GatewayError(ErrorReason.ERROR_REASON_OVERLOADED, "No.")
    added = Added()
    for number in range(metrics.MAX_TENANTS + 10):
        call_record.record(call(tenant=f"t{number}"), time.perf_counter(), error=error)
    assert added(REFUSALS, tenant=metrics.OTHER) == 10
