"""The calls that make up a task, and how the task stands by them. A task reference is its calls, as JSON."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.providers.kit import usage
from imagegateway.providers.kit.adapter import Pending, Unknown
from imagegateway.providers.kit.parsing import LONGEST_WAIT
from imagegateway.v1.job_pb2 import Warning as PbWarning

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from google.protobuf.message import Message
    from imagegateway.platform.errors import GatewayError
    from imagegateway.providers.kit.adapter import Outcome
    from imagegateway.providers.kit.error_table import Failure


SLOWEST_POLL: Final = 10.0
"""Seconds between polls of a task that shows no progress, unless the adapter wants more."""
_SHARE: Final = 0.25
"""Until then: the part of its age that may go by unseen."""


@dataclass(slots=True)
class Item:
    """One call of a task: where it stands. `since`: Unix seconds of its last progress."""

    index: int
    count: int
    ref: str = ""
    unknown_since: float = 0.0
    progress: int | None = None
    since: float = 0.0
    done: pb.Done | None = None
    failure: pb.Failed | None = None
    warnings: list[PbWarning] = field(default_factory=list)

    @property
    def running(self) -> bool:
        return self.done is None and self.failure is None

    def note(self, progress: int | None, now: float) -> None:
        """Take in what a poll said of it; None: nothing."""
        if progress not in {None, self.progress} or not self.since:
            self.progress, self.since = progress, round(now, 1)

    def pause(self, wanted: float, now: float) -> float:
        """Seconds until it is asked again: what the adapter wants, and more the longer nothing has moved. Its times
        travel in the task reference, so a crash or another process changes nothing.
        """
        return max(wanted, min(SLOWEST_POLL, _SHARE * (now - self.since)))

    def encode(self) -> dict[str, Any]:
        return {
            "i": self.index,
            "n": self.count,
            "r": self.ref,
            "u": self.unknown_since,
            "p": self.progress,
            "s": self.since,
            "d": None if self.done is None else _pack(self.done),
            "f": None if self.failure is None else _pack(self.failure),
            "w": [_pack(warning) for warning in self.warnings],
        }

    @classmethod
    def decode(cls, data: Mapping[str, Any]) -> Item:
        done, failure = data["d"], data["f"]
        return cls(
            index=data["i"],
            count=data["n"],
            ref=data["r"],
            unknown_since=data["u"],
            progress=data["p"],
            since=data["s"],
            done=None if done is None else pb.Done.FromString(_unpack(done)),
            failure=None if failure is None else pb.Failed.FromString(_unpack(failure)),
            warnings=[PbWarning.FromString(_unpack(text)) for text in data["w"]],
        )


def state_of(items: Sequence[Item], outcomes: Sequence[Outcome], now: float) -> pb.TaskState:
    """How a task stands at Unix seconds `now`: running while any call does, done when any brought a picture."""
    if any(item.running for item in items):
        waits: list[float] = []
        known: list[int] = []
        for item, outcome in zip(items, outcomes, strict=True):
            if item.running and isinstance(outcome, Pending | Unknown):
                waits.append(item.pause(outcome.after, now))
            if item.running and isinstance(outcome, Pending) and outcome.progress is not None:
                known.append(outcome.progress)
        running = pb.Running(task_ref=json.dumps([item.encode() for item in items]))
        running.poll_after.FromMilliseconds(round(min(waits, default=1.0) * 1000))
        if known:
            running.progress = sum(known) // len(known)
        return pb.TaskState(running=running)
    done = pb.Done(missing=[item.failure for item in items if item.failure])
    for item in items:
        done.warnings.extend(warning for warning in item.warnings if warning not in done.warnings)
        if item.done:
            done.artifacts.extend(item.done.artifacts)
            done.missing.extend(item.done.missing)
            if item.done.HasField("cost"):
                done.cost.amount += item.done.cost.amount
                done.cost.currency = item.done.cost.currency
                done.cost.estimated = done.cost.estimated or item.done.cost.estimated
            if item.done.HasField("svg_usage"):  # an SVG with an author is the task's only image
                done.svg_usage.CopyFrom(item.done.svg_usage)
    counted = [usage.public(item.done.usage) for item in items if item.done]
    whole = [count for count in counted if count is not None]
    if len(whole) == len(counted):  # the sum of some is no count of the task
        for count in whole:
            _add(done.usage, count)
    if not done.artifacts:
        failure = next(item.failure for item in items if item.failure)
        failure.may_be_billed = any(item.failure.may_be_billed for item in items if item.failure)
        return pb.TaskState(failed=failure)
    return pb.TaskState(done=done)


def failed_of(failure: Failure) -> pb.Failed:
    """An adapter's failure as the router reads it."""
    return failed_as(failure, may_be_billed=failure.accepted)


def failed_as(failure: Failure | GatewayError, *, may_be_billed: bool) -> pb.Failed:
    """Any failure as the router reads it, its wait cut to `LONGEST_WAIT`."""
    failed = pb.Failed(
        reason=failure.reason, message=failure.message, param=failure.param or "", may_be_billed=may_be_billed
    )
    if failure.retry_after is not None:
        failed.retry_after.FromMilliseconds(round(min(failure.retry_after, LONGEST_WAIT) * 1000))
    return failed


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
