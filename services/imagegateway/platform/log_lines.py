"""Log lines for readers: time, level, process, event, and the context as `name=value`.

Every text is escaped, so that no value controls the terminal or forges a line.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from imagegateway.platform.printable import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

_SHOWN_FIRST: Final = frozenset({"timestamp", "level", "process", "event", "exception", "module"})
_COLORS: Final = {"debug": "2", "warning": "33", "error": "31", "critical": "31"}
"""SGR parameters of the levels."""


def parse(line: str) -> dict[str, Any] | None:
    """Return the event of a JSON line, or None for another line."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "event" in event else None


def render(event: Mapping[str, Any], *, colors: bool) -> str:
    """Return a log event as text: one line, and further ones for an exception."""
    level = str(event.get("level", ""))
    context = {name: value for name, value in event.items() if name not in _SHOWN_FIRST and value is not None}
    line = " ".join(
        (
            _styled(_time(event), "2", on=colors),
            _styled(f"{printable(level):7}", _COLORS.get(level, ""), on=colors),
            f"{printable(str(event.get('process', ''))):9}",
            _styled(printable(str(event["event"])), "1", on=colors),
            *(f"{name}={_shown(value)}" for name, value in context.items()),
        )
    ).rstrip()
    if exception := event.get("exception"):
        line += "\n" + "\n".join(f"    {part}" for part in printable(str(exception), keep="\n").splitlines())
    return line


def _time(event: Mapping[str, Any]) -> str:
    """Return the time of day of an ISO timestamp (UTC), to the millisecond."""
    return printable(str(event.get("timestamp", ""))[11:23])


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=repr)
    return printable(text) if " " not in text else repr(text)


def _styled(text: str, parameters: str, *, on: bool) -> str:
    return f"\x1b[{parameters}m{text}\x1b[0m" if on and parameters else text
