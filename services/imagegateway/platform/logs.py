"""Logs of every process: structlog, as JSON lines or with colours on a terminal.

Events are snake_case names. The context of a task is on each of its lines: the request id and job id of `enter`, and
the trace id of its trace context. Prompts, keys, pixels and signed URLs are never logged.
`digest` returns a length and a short hash for the comparison of such values.
"""

from __future__ import annotations

import asyncio
import atexit
import hashlib
import logging as stdlib_logging  # noqa: TID251  third-party libraries log there; it is silenced below a warning
import sys
from contextvars import ContextVar
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol, cast

from imagegateway.platform import log_lines, setting_source, trace_context
from imagegateway.platform.optional_imports import hidden

with hidden("rich"):  # 5 MB in each process, for a rendering of tracebacks that is not used
    import structlog

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping
    from typing import TextIO


_BATCH_SECONDS: Final = 0.02
"""Seconds for which a line waits for others."""


class LogFormat(StrEnum):
    """Format of log lines."""

    AUTO = "auto"
    """`PRETTY` on a terminal, else `JSON`."""
    JSON = "json"
    PRETTY = "pretty"

    def is_pretty(self) -> bool:
        """Return whether the standard output of this process takes lines for readers."""
        return self is LogFormat.PRETTY or (self is LogFormat.AUTO and sys.stdout.isatty())


class LogLevel(StrEnum):
    """Level of a log line."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


_LEVELS: Final = {LogLevel.DEBUG: 10, LogLevel.INFO: 20, LogLevel.WARNING: 30, LogLevel.ERROR: 40}
"""Levels as numbers of the standard library."""


class _Batches:
    """Batching writer: each write wakes the process that collects the output.

    Without an event loop, lines are written at once. The process's exit writes all pending lines.
    """

    def __init__(self, target: TextIO) -> None:
        self._target = target
        self._lines: list[str] = []
        atexit.register(self._write_pending)

    def write(self, text: str) -> int:
        self._lines.append(text)
        return len(text)

    def flush(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._write_pending()
        else:
            if len(self._lines) == 1:  # a longer list has its timer
                loop.call_later(_BATCH_SECONDS, self._write_pending)

    def _write_pending(self) -> None:
        lines, self._lines = self._lines, []
        self._target.write("".join(lines))
        self._target.flush()


class LogOutput(Protocol):
    """Receiver of log lines."""

    def write(self, text: str, /) -> object: ...
    def flush(self) -> object: ...


class LogSettings(Protocol):
    """The settings that logging reads."""

    @property
    def log_format(self) -> LogFormat: ...
    @property
    def log_level(self) -> LogLevel: ...


def configure(settings: LogSettings, process: str, output: LogOutput | None = None, *, final: bool = True) -> None:
    """Set up logging for this process. Every line carries the name `process`.

    `output` takes JSON lines; without one, lines go to the standard output in the format of the settings. `final`:
    loggers may keep this configuration. Another one for this process, or for a fork of it, requires False.
    """
    pretty = output is None and settings.log_format.is_pretty()
    renderer: structlog.typing.Processor = _render if pretty else structlog.processors.JSONRenderer()

    def add_process(_logger: object, _method: str, event: MutableMapping[str, object]) -> MutableMapping[str, object]:
        event["process"] = process
        return event

    structlog.configure(
        processors=[
            _add_context,
            structlog.processors.add_log_level,
            add_process,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[settings.log_level]),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", output or _Batches(sys.stdout))),
        cache_logger_on_first_use=final,
    )
    stdlib_logging.basicConfig(level=stdlib_logging.WARNING, handlers=[_Forward()], force=True)


_context: ContextVar[Mapping[str, str]] = ContextVar("log_context", default=MappingProxyType({}))


def enter(**fields: str) -> None:
    """Replace the fields that each line of this task and of its further tasks carries. Empty ones are left out."""
    _context.set({name: value for name, value in fields.items() if value})


def add(**fields: str) -> None:
    """Add fields to those that each line of this task carries."""
    _context.set({**_context.get(), **fields})


def context() -> Mapping[str, str]:
    """Return the fields that each line of this task carries."""
    position = trace_context.current()
    return {**_context.get(), "trace_id": position.trace_id} if position else _context.get()


def _add_context(_logger: object, _method: str, event: MutableMapping[str, object]) -> MutableMapping[str, object]:
    for name, value in context().items():
        event.setdefault(name, value)
    return event


def _render(_logger: object, _method: str, event: MutableMapping[str, object]) -> str:
    return log_lines.render(event, colors=setting_source.colors())


class _Forward(stdlib_logging.Handler):
    """Handler that logs other libraries' warnings in our format."""

    def emit(self, record: stdlib_logging.LogRecord) -> None:
        log = structlog.get_logger(module=record.name)
        log.log(record.levelno, "library_log", message=record.getMessage(), exc_info=record.exc_info)


def get(name: str) -> structlog.typing.FilteringBoundLogger:
    """Return a logger whose lines carry the module's name."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(module=name.removeprefix("imagegateway."))
    return logger


def digest(text: str | bytes) -> str:
    """Return the length and a short hash of a value that must not be logged."""
    data = text.encode() if isinstance(text, str) else text
    return f"{len(data)}:{hashlib.sha256(data).hexdigest()[:12]}"
