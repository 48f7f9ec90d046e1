"""Log lines for readers."""

from __future__ import annotations

import json

import pytest
from imagegateway.platform.log_lines import parse, render

EVENT = {
    "module": "router.calls",
    "status": 401,
    "path": "/v1/a b",
    "reason": None,
    "many": ["x"],
    "event": "request_refused",
    "level": "warning",
    "process": "envoy",
    "timestamp": "2026-11-29T09:40:13.908788Z",
}


def test_event_is_one_line_with_time_level_process_event_and_context() -> None:
    assert render(EVENT, colors=False) == (
        "09:40:13.908 warning envoy     request_refused status=401 path='/v1/a b' many=[\"x\"]"
    )


def test_colours_change_no_text() -> None:
    colored = render(EVENT, colors=True)
    assert "\x1b[33mwarning\x1b[0m" in colored
    plain = colored
    for parameters in ("0", "1", "2", "33"):
        plain = plain.replace(f"\x1b[{parameters}m", "")
    assert plain == render(EVENT, colors=False)


def test_exception_follows_in_indented_lines() -> None:
    text = render({**EVENT, "exception": "Traceback:\n  File\nValueError: \x1b[31m"}, colors=False)
    assert text.splitlines()[1:] == ["    Traceback:", "      File", r"    ValueError: \x1b[31m"]


@pytest.mark.parametrize("name", ["event", "level", "process", "timestamp", "path"])
def test_no_value_controls_the_terminal_or_forges_a_line(name: str) -> None:
    text = render({**EVENT, name: "a\x1b[2J\x9b1m\r\n\u202eb"}, colors=False)
    assert text.isprintable()


@pytest.mark.parametrize("line", ["", "panic: x", "[1]", "1", '{"no": "name"}', '{"event": '])
def test_line_that_is_no_event_is_known_as_such(line: str) -> None:
    assert parse(line) is None


def test_json_line_is_its_event() -> None:
    assert parse(json.dumps(EVENT)) == EVENT
