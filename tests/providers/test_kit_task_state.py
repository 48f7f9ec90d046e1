"""Failures on their way to the router."""

from __future__ import annotations

import pytest
from imagegateway.providers.kit.error_table import Failure
from imagegateway.providers.kit.parsing import LONGEST_WAIT
from imagegateway.providers.kit.task_state import failed_call
from imagegateway.v1.error_reason_pb2 import ErrorReason


@pytest.mark.parametrize("wait", [LONGEST_WAIT + 1, 1e12, float("inf")])
def test_wait_that_a_provider_asks_for_is_capped(wait: float) -> None:
    failure = Failure(ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED, "Too many requests.", retry_after=wait)
    assert failed_call(failure).retry_after.ToTimedelta().total_seconds() == LONGEST_WAIT
