"""Trace context: the position in a trace that a task works at, by W3C Trace Context.

A call begins with its caller's position, and a job's record keeps one for every replica and process that works on
the job. Log lines carry the trace id, whether spans are exported or not.
"""

from __future__ import annotations

import re
from contextvars import ContextVar, Token
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

TRACEPARENT: Final = "traceparent"
"""Header and metadata with the trace id, the parent's span id and the flags."""
TRACESTATE: Final = "tracestate"
"""Header and metadata with what tracing systems add."""
_MAX_STATE: Final = 512
"""Longest `tracestate`: the length that every system has to pass on."""
_TRACEPARENT: Final = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)


@dataclass(frozen=True, slots=True)
class TraceContext:
    """Position in a trace: a span, which is the parent of the next ones."""

    trace_id: str
    """32 hex digits."""
    span_id: str
    """16 hex digits."""
    flags: int = 0
    """Trace flags: bit 0 says that the trace is sampled."""
    state: str = ""
    is_remote: bool = True
    """True if another process began the span."""

    @classmethod
    def parse(cls, traceparent: str, tracestate: str = "") -> TraceContext | None:
        """Return the position in two headers; None for a `traceparent` that is absent or malformed."""
        found = _TRACEPARENT.fullmatch(traceparent) if traceparent else None
        if found is None or (found[1] == "00" and found[5]):
            return None
        is_state = len(tracestate) <= _MAX_STATE and tracestate.isascii() and tracestate.isprintable()
        return cls(found[2], found[3], int(found[4], 16), tracestate if is_state else "")

    @property
    def traceparent(self) -> str:
        """Return the header `traceparent`."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"

    def headers(self) -> dict[str, str]:
        """Return the headers that pass the position on."""
        return {TRACEPARENT: self.traceparent} | ({TRACESTATE: self.state} if self.state else {})


_current: ContextVar[TraceContext | None] = ContextVar("trace_context", default=None)


def current() -> TraceContext | None:
    """Return the position of this task, if it has one."""
    return _current.get()


def enter(context: TraceContext | None) -> None:
    """Make a position that of this task; None: the task belongs to no trace."""
    _current.set(context)


def push(context: TraceContext) -> Token[TraceContext | None]:
    """Make a position that of this task until `pop`."""
    return _current.set(context)


def pop(token: Token[TraceContext | None]) -> None:
    """Return to the position before `push`."""
    _current.reset(token)


def continue_from(headers: Mapping[str, str]) -> None:
    """Continue the trace of a call by its headers or metadata, whose names are in lower case."""
    traceparent = headers.get(TRACEPARENT)
    _current.set(TraceContext.parse(traceparent, headers.get(TRACESTATE, "")) if traceparent else None)
