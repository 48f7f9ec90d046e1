"""Task state: the states of a task's calls, merged for the router. A task reference is the calls' states as JSON."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from imagegateway.platform import money
from imagegateway.platform.errors import GatewayError
from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.providers.kit import usage
from imagegateway.providers.kit.outcomes import Pending, Unknown
from imagegateway.providers.kit.parsing import LONGEST_WAIT
from imagegateway.v1.error_reason_pb2 import ErrorReason
from imagegateway.v1.job_pb2 import Warning as PbWarning

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from google.protobuf.message import Message
    from imagegateway.providers.kit.error_table import Failure
    from imagegateway.providers.kit.outcomes import Outcome


SLOWEST_POLL: Final = 10.0
"""Longest interval, in seconds, between polls of a task without progress, unless the adapter asks for more."""
_POLL_SHARE: Final = 0.25
"""Poll interval of a task without progress, as a share of the time since its last progress."""


@dataclass(slots=True)
class CallState:
    """State of one call of a task. Times are Unix seconds."""

    index: int
    count: int
    ref: str = ""
    unknown_since: float = 0.0
    """Time of the first of the present run of unknown states; 0: the state is known."""
    progress: int | None = None
    progressed_at: float = 0.0
    """Time of the last progress; 0: the call was not polled yet."""
    done: pb.Done | None = None
    failure: pb.Failed | None = None
    warnings: list[PbWarning] = field(default_factory=list)

    @property
    def is_running(self) -> bool:
        """Return whether the call has neither succeeded nor failed."""
        return self.done is None and self.failure is None

    def record_progress(self, progress: int | None, now: float) -> None:
        """Record the progress that a poll reported; None: it reported none."""
        if progress not in {None, self.progress} or not self.progressed_at:
            self.progress, self.progressed_at = progress, round(now, 1)

    def poll_interval(self, requested: float, now: float) -> float:
        """Return the seconds until the next poll: what the adapter requests, and more the longer nothing changes.

        The times are part of the task reference, so a crash or a takeover by another process changes nothing.
        """
        return max(requested, min(SLOWEST_POLL, _POLL_SHARE * (now - self.progressed_at)))

    def encode(self) -> dict[str, Any]:
        """Return the state as JSON values."""
        return {
            "i": self.index,
            "n": self.count,
            "r": self.ref,
            "u": self.unknown_since,
            "p": self.progress,
            "s": self.progressed_at,
            "d": None if self.done is None else _pack(self.done),
            "f": None if self.failure is None else _pack(self.failure),
            "w": [_pack(warning) for warning in self.warnings],
        }

    @classmethod
    def decode(cls, data: Mapping[str, Any]) -> CallState:
        """Return the state that `encode` returned as JSON values."""
        done, failure = data["d"], data["f"]
        return cls(
            index=data["i"],
            count=data["n"],
            ref=data["r"],
            unknown_since=data["u"],
            progress=data["p"],
            progressed_at=data["s"],
            done=None if done is None else pb.Done.FromString(_unpack(done)),
            failure=None if failure is None else pb.Failed.FromString(_unpack(failure)),
            warnings=[PbWarning.FromString(_unpack(text)) for text in data["w"]],
        )


def parse_task_ref(text: str) -> list[CallState]:
    """Return the states of the calls that a task reference holds."""
    return [CallState.decode(data) for data in json.loads(text)]


def merge_calls(states: Sequence[CallState], outcomes: Sequence[Outcome], now: float) -> pb.TaskState:
    """Return a task's state at Unix seconds `now`: running while any call runs, done when any made a result."""
    if any(state.is_running for state in states):
        return pb.TaskState(running=_running(states, outcomes, now))
    done = _done(states)
    if done.artifacts:
        return pb.TaskState(done=done)
    failure = next(state.failure for state in states if state.failure)
    failure.may_be_billed = any(state.failure.may_be_billed for state in states if state.failure)
    return pb.TaskState(failed=failure)


def _running(states: Sequence[CallState], outcomes: Sequence[Outcome], now: float) -> pb.Running:
    intervals: list[float] = []
    known: list[int] = []
    for state, outcome in zip(states, outcomes, strict=True):
        if state.is_running and isinstance(outcome, Pending | Unknown):
            intervals.append(state.poll_interval(outcome.after, now))
        if state.is_running and isinstance(outcome, Pending) and outcome.progress is not None:
            known.append(outcome.progress)
    running = pb.Running(task_ref=json.dumps([state.encode() for state in states]))
    running.poll_after.FromMilliseconds(round(min(intervals, default=1.0) * 1000))
    if known:
        running.progress = sum(known) // len(known)
    return running


def _done(states: Sequence[CallState]) -> pb.Done:
    """Return the results of all calls; without any result, the message has no artifacts."""
    done = pb.Done(missing=[state.failure for state in states if state.failure])
    for state in states:
        done.warnings.extend(warning for warning in state.warnings if warning not in done.warnings)
        if state.done:
            done.artifacts.extend(state.done.artifacts)
            done.missing.extend(state.done.missing)
            done.billed_missing += state.done.billed_missing
            if state.done.HasField("svg_usage"):  # an SVG with an author is the task's only image
                done.svg_usage.CopyFrom(state.done.svg_usage)
    if done.artifacts and all(state.done.HasField("cost") for state in states if state.done):
        costs = [state.done.cost for state in states if state.done]
        amount = sum(map(money.nanodollars, costs))
        done.cost.CopyFrom(money.to_cost(amount, estimated=any(cost.estimated for cost in costs)))
    counts = [usage.public(state.done.usage) for state in states if state.done]
    complete = [count for count in counts if count is not None]
    if len(complete) == len(counts) == 1:
        done.usage.CopyFrom(complete[0])
    elif len(complete) == len(counts):  # the sum of some calls is no count of the task
        for count in complete:
            _add(done.usage, count)
    return done


def to_failed(failure: Failure | GatewayError, *, may_be_billed: bool) -> pb.Failed:
    """Return a failure as a message for the router, its wait cut to `LONGEST_WAIT`."""
    failed = pb.Failed(
        reason=failure.reason, message=failure.message, param=failure.param or "", may_be_billed=may_be_billed
    )
    if failure.retry_after is not None:
        failed.retry_after.FromMilliseconds(round(min(failure.retry_after, LONGEST_WAIT) * 1000))
    return failed


def failed_call(failure: Failure) -> pb.Failed:
    """Return an adapter's failure as a message for the router."""
    return to_failed(failure, may_be_billed=failure.may_be_billed)


def failed_task(error: GatewayError, *, may_be_billed: bool) -> pb.TaskState:
    """Return an error as the state of a task."""
    return pb.TaskState(failed=to_failed(error, may_be_billed=may_be_billed))


def outcome_unknown() -> pb.TaskState:
    """Return the state of a call that the gateway lost: the provider may have served it."""
    error = GatewayError(
        ErrorReason.ERROR_REASON_PROVIDER_OUTCOME_UNKNOWN,
        "The gateway lost the call to the provider; whether the provider took it is not known.",
    )
    return failed_task(error, may_be_billed=True)


def _add(total: Message, part: Message) -> None:
    """Add the counts of a message to those of another."""
    for counted, value in part.ListFields():
        if counted.message_type:
            _add(getattr(total, counted.name), value)
        else:
            setattr(total, counted.name, getattr(total, counted.name) + value)


def _pack(message: pb.Done | pb.Failed | PbWarning) -> str:
    return base64.b64encode(message.SerializeToString()).decode()


def _unpack(text: str) -> bytes:
    return base64.b64decode(text)
