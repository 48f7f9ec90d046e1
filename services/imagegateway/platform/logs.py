"""structlog for every process: JSON lines, or colours on a terminal.

Events are snake_case names; context is bound once. Prompts, keys, pixels and signed URLs are never logged:
`digest` gives a length and a short hash where equal values should be recognisable.
"""

from __future__ import annotations

import asyncio
import atexit
import hashlib
import io
import logging as stdlib_logging  # noqa: TID251  third-party libraries log there; it is silenced below a warning
import sys
from typing import TYPE_CHECKING, Final, cast

import structlog

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from typing import TextIO

    from imagegateway.platform.settings import Settings

_MOMENT: Final = 0.02
"""Seconds that a line waits for others."""
_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class _Batches:
    """Writes the lines of a moment together, since each write wakes the process that collects the output.

    Outside an event loop lines go out at once, and at the process's end whatever is left.
    """

    def __init__(self, target: TextIO) -> None:
        self._target = target
        self._lines: list[str] = []
        atexit.register(self._out)

    def write(self, text: str) -> int:
        self._lines.append(text)
        return len(text)

    def flush(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._out()
        else:
            if len(self._lines) == 1:  # else one is on its way
                loop.call_later(_MOMENT, self._out)

    def _out(self) -> None:
        lines, self._lines = self._lines, []
        self._target.write("".join(lines))
        self._target.flush()


def configure(settings: Settings, process: str) -> None:
    """Set up logging for this process; `process` names it on every line."""
    pretty = settings.log_format == "pretty" or (settings.log_format == "auto" and sys.stdout.isatty())
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
    """Escape what a terminal obeys instead of showing: control characters, line ends and changes of direction, but
    for those in `keep`.
    """
    if text.isprintable():
        return text
    return "".join(
        character if character in keep or character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def _escape(_logger: object, _method: str, event: MutableMapping[str, object]) -> MutableMapping[str, object]:
    """Make every text of a line printable; other values are shown by their repr, which is."""
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = printable(value)
    return event


def _traceback(target: TextIO, exc_info: structlog.typing.ExcInfo) -> None:
    text = io.StringIO()
    structlog.dev.plain_traceback(text, exc_info)
    target.write(printable(text.getvalue(), keep="\n"))


class _Forward(stdlib_logging.Handler):
    """Other libraries' warnings, on lines like ours."""

    def emit(self, record: stdlib_logging.LogRecord) -> None:
        log = structlog.get_logger(module=record.name)
        log.log(record.levelno, "library_log", message=record.getMessage(), exc_info=record.exc_info)


def get(name: str) -> structlog.typing.FilteringBoundLogger:
    """A logger whose lines name the module."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(module=name.removeprefix("imagegateway."))
    return logger


def digest(text: str | bytes) -> str:
    """Length and a short hash of something that must not be logged itself."""
    data = text.encode() if isinstance(text, str) else text
    return f"{len(data)}:{hashlib.sha256(data).hexdigest()[:12]}"
