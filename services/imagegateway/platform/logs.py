"""Logs of every process: structlog, as JSON lines or with colours on a terminal.

Events are snake_case names, and context is bound once. Prompts, keys, pixels and signed URLs are never logged.
`digest` returns a length and a short hash for the comparison of such values.
"""

from __future__ import annotations

import asyncio
import atexit
import hashlib
import io
import logging as stdlib_logging  # noqa: TID251  third-party libraries log there; it is silenced below a warning
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol, cast

from imagegateway.platform.lean_imports import without

with without("rich"):  # structlog loads rich for its own tracebacks: 90 ms and 6 MB in each process
    import structlog

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from typing import TextIO


_BATCH_SECONDS: Final = 0.02
"""Seconds for which a line waits for others."""


class LogFormat(StrEnum):
    """Format of log lines."""

    AUTO = "auto"
    """`PRETTY` on a terminal, else `JSON`."""
    JSON = "json"
    PRETTY = "pretty"


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


class LogSettings(Protocol):
    """The settings that logging reads."""

    @property
    def log_format(self) -> LogFormat: ...
    @property
    def log_level(self) -> LogLevel: ...


def configure(settings: LogSettings, process: str) -> None:
    """Set up logging for this process. Every line carries the name `process`."""
    pretty = settings.log_format is LogFormat.PRETTY or (
        settings.log_format is LogFormat.AUTO and sys.stdout.isatty()
    )
    renderer: list[structlog.typing.Processor] = (
        [_escape, structlog.dev.ConsoleRenderer(pad_event_to=24, exception_formatter=_traceback)]
        if pretty
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )

    def add_process(_logger: object, _method: str, event: MutableMapping[str, object]) -> MutableMapping[str, object]:
        event["process"] = process
        return event

    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            add_process,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[settings.log_level]),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", _Batches(sys.stdout))),
        cache_logger_on_first_use=True,
    )
    stdlib_logging.basicConfig(level=stdlib_logging.WARNING, handlers=[_Forward()], force=True)


def printable(text: str, keep: str = "") -> str:
    """Escape control characters, line ends and changes of direction, except those in `keep`."""
    if text.isprintable():
        return text
    return "".join(
        character if character in keep or character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def _escape(_logger: object, _method: str, event: MutableMapping[str, object]) -> MutableMapping[str, object]:
    """Make every string of a line printable. Other values are shown by their repr, which is printable."""
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = printable(value)
    return event


def _traceback(target: TextIO, exc_info: structlog.typing.ExcInfo) -> None:
    text = io.StringIO()
    structlog.dev.plain_traceback(text, exc_info)
    target.write(printable(text.getvalue(), keep="\n"))


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
