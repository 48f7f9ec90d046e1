"""Task state: a task's calls merged for the router, and the reference that keeps them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.providers.kit.error_table import Failure
from imagegateway.providers.kit.outcomes import Pending, Unknown
from imagegateway.providers.kit.task_state import (
    SLOWEST_POLL,
    CallState,
    failed_call,
    merge_calls,
    parse_task_ref,
    to_failed,
)
from imagegateway.v1.error_reason_pb2 import ErrorReason
from imagegateway.v1.job_pb2 import Cost, SvgUsage, TokenDetails, Usage
from imagegateway.v1.job_pb2 import Warning as PbWarning

if TYPE_CHECKING:
    from imagegateway.providers.kit.outcomes import Outcome

NOW = 1_800_000_000.0
USAGE = Usage(
    input_tokens=10,
    output_tokens=20,
    total_tokens=30,
    input_tokens_details=TokenDetails(text_tokens=7, image_tokens=3),
)


def running(progressed_at: float = NOW) -> CallState:
    return CallState(0, 1, ref="task", progressed_at=progressed_at)


def finished(*keys: str, **fields: object) -> CallState:
    artifacts = [pb.Artifact(media=pb.MediaRef(key=key)) for key in keys]
    return CallState(0, 1, done=pb.Done(artifacts=artifacts, **fields))  # type: ignore[arg-type]


def failed(message: str, *, may_be_billed: bool = False) -> CallState:
    failure = Failure(ErrorReason.ERROR_REASON_PROVIDER_ERROR, message, may_be_billed=may_be_billed)
    return CallState(0, 1, failure=failed_call(failure))


def poll_after(state: pb.TaskState) -> float:
    return state.running.poll_after.ToTimedelta().total_seconds()


@pytest.mark.parametrize(
    ("requested", "unchanged", "interval"),
    [(1.0, 0.0, 1.0), (1.0, 4.0, 1.0), (1.0, 8.0, 2.0), (1.0, 40.0, SLOWEST_POLL), (1.0, 4000.0, SLOWEST_POLL)],
)
def test_poll_interval_is_a_quarter_of_the_time_without_progress(
    requested: float, unchanged: float, interval: float
) -> None:
    assert running(NOW - unchanged).poll_interval(requested, NOW) == interval


def test_adapter_may_ask_for_slower_polls() -> None:
    assert running(NOW - 4000).poll_interval(30.0, NOW) == 30.0


def test_only_a_changed_progress_counts_as_progress() -> None:
    state = CallState(0, 1)
    for now, progress in ((NOW, None), (NOW + 1, 10), (NOW + 2, 10), (NOW + 3, None)):
        state.record_progress(progress, now)
    assert (state.progress, state.progressed_at) == (10, NOW + 1)


def test_reference_keeps_each_call() -> None:
    states = [
        CallState(0, 2, "task", unknown_since=NOW, progress=40, progressed_at=NOW + 1),
        CallState(2, 1, done=pb.Done(artifacts=[pb.Artifact(seed=7)]), warnings=[PbWarning(param="seed")]),
        failed("broken", may_be_billed=True),
    ]
    assert parse_task_ref(json.dumps([state.encode() for state in states])) == states


def test_running_task_has_the_shortest_interval_and_the_mean_progress_of_its_running_calls() -> None:
    states = [running(), running(), running(NOW - 4000), finished("a")]
    outcomes: list[Outcome] = [
        Pending("task", after=3.0, progress=20),
        Pending("task", after=2.0, progress=41),
        Unknown("odd", after=9.0),
        Pending("over", after=0.1, progress=99),
    ]
    state = merge_calls(states, outcomes, NOW)
    assert poll_after(state) == 2.0
    assert state.running.progress == 30
    assert parse_task_ref(state.running.task_ref) == states


def test_task_of_unknown_states_alone_has_no_progress() -> None:
    state = merge_calls([running()], [Unknown("odd", after=3.0)], NOW)
    assert poll_after(state) == 3.0
    assert not state.running.HasField("progress")


def test_results_of_calls_are_joined_and_their_costs_added() -> None:
    warning = PbWarning(param="seed", message="ignored")
    first = finished("a", cost=Cost(amount=0.5, currency="USD"), usage=USAGE, svg_usage=SvgUsage(output_tokens=5))
    second = finished("b", "c", cost=Cost(amount=0.25, currency="USD", estimated=True), usage=USAGE)
    first.warnings, second.warnings = [warning], [warning, PbWarning(param="style")]
    done = merge_calls([first, second, failed("lost")], [], NOW).done
    assert [artifact.media.key for artifact in done.artifacts] == ["a", "b", "c"]
    assert [missing.message for missing in done.missing] == ["lost"]
    assert [shown.param for shown in done.warnings] == ["seed", "style"]
    assert done.cost == Cost(amount=0.75, currency="USD", estimated=True)
    assert (done.usage.total_tokens, done.usage.input_tokens_details.image_tokens) == (60, 6)
    assert done.svg_usage.output_tokens == 5


def test_task_without_any_cost_or_usage_has_none() -> None:
    done = merge_calls([finished("a"), finished("b", usage=USAGE)], [], NOW).done
    assert not done.HasField("cost")
    assert not done.HasField("usage")


@pytest.mark.parametrize("billed", [True, False])
def test_task_without_results_fails_by_its_first_failure_billed_where_any_call_is(*, billed: bool) -> None:
    failure = merge_calls([failed("first"), failed("second", may_be_billed=billed)], [], NOW).failed
    assert (failure.message, failure.may_be_billed) == ("first", billed)


def test_failure_keeps_a_wait_of_milliseconds_and_its_parameter() -> None:
    failure = Failure(ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED, "busy", param="prompt", retry_after=1.5)
    shown = to_failed(failure, may_be_billed=False)
    assert (shown.retry_after.ToMilliseconds(), shown.param) == (1500, "prompt")
    assert not to_failed(Failure(failure.reason, "busy"), may_be_billed=False).HasField("retry_after")
