"""Spans: kinds and attributes, the interface of a span, and the span that does nothing."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from imagegateway.platform.trace_context import TraceContext

Attribute: TypeAlias = str | int | float | bool
Attributes: TypeAlias = "Mapping[str, Attribute]"

GRPC: Final = "grpc"
HTTP: Final = "http/protobuf"
"""Protocols of OTLP, as `OTEL_EXPORTER_OTLP_PROTOCOL` names them."""


class SpanKind(IntEnum):
    """Kind of a span; the numbers are OpenTelemetry's."""

    INTERNAL = 0
    SERVER = 1
    CLIENT = 2


class Span(Protocol):
    """Operation in progress. As a context manager, the span is the parent of the block's spans, and ends with it.

    An exception of the block fails the span, by its code or class alone: messages may hold callers' data.
    """

    @property
    def is_recording(self) -> bool:
        """Return whether attributes have an effect."""
        ...

    def set(self, attributes: Attributes) -> None:
        """Set attributes."""
        ...

    def activate(self) -> None:
        """Make the span the parent of this task's further spans, without an end."""
        ...

    def fail(self, error: str) -> None:
        """Mark the span failed. `error`: the error's type, a code or the name of a class."""
        ...

    def end(self) -> None:
        """End the span."""
        ...

    def __enter__(self) -> Span: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Recorder(Protocol):
    """Maker of spans that are exported."""

    def start(
        self, name: str, kind: SpanKind, parent: TraceContext | None, attributes: Attributes | None
    ) -> Span: ...

    def record(
        self,
        name: str,
        kind: SpanKind,
        *,
        parent: TraceContext | None,
        span_id: str,
        start: int,
        end: int,
        attributes: Attributes,
        error: str,
    ) -> None: ...

    def close(self) -> None: ...


class _NoSpan:
    """Span of a process that exports none."""

    is_recording = False

    def set(self, attributes: Attributes) -> None:
        pass

    def activate(self) -> None:
        pass

    def fail(self, error: str) -> None:
        pass

    def end(self) -> None:
        pass

    def __enter__(self) -> Span:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


NO_SPAN: Final[Span] = _NoSpan()
