"""Log lines: control characters are escaped, and JSON lines hold any value."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from imagegateway.platform.printable import printable

_PROGRAM = """
from imagegateway.platform import logs
from imagegateway.platform.setting_source import Source
from imagegateway.platform.settings import load

logs.configure(load(Source({"IMAGEGATEWAY_LOG_FORMAT": "%s"})), "test")
log = logs.get("test")
log.info("event\\x1b]0;title\\x07", tenant="a\\x1b[2J\\r\\nforged line", many=["\\x1b[1m"], right="a\\u202eb")
try:
    raise ValueError("in a \\x1b[31mtraceback\\x9b")
except ValueError:
    log.exception("failed")
"""

_VALUES = r"""
from dataclasses import dataclass, field
from datetime import date
from imagegateway.platform import logs
from imagegateway.platform.setting_source import Source
from imagegateway.platform.settings import load

@dataclass
class Login:
    name: str
    key: str = field(repr=False)

logs.configure(load(Source({"IMAGEGATEWAY_LOG_FORMAT": "json"})), "test")
for value in (Login("anna", "sk-secret"), date(2026, 11, 29), {"\xfc": [1, None, 0.5]}, "\udc80", 1 << 80):
    logs.get("test").info("event", value=value)
"""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, ü 图", "plain text, ü 图"),
        ("\x1b[31m", r"\x1b[31m"),
        ("a\nb\r\tc\x00\x7f\x9b", r"a\nb\r\tc\x00\x7f\x9b"),
        ("a\u202eb\u2028c\udc80", r"a\u202eb\u2028c\udc80"),
    ],
)
def test_text_for_a_terminal_has_its_control_characters_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(shown) == shown


@pytest.mark.processes
@pytest.mark.parametrize("log_format", ["pretty", "json"])
def test_control_characters_of_values_and_tracebacks_do_not_reach_the_terminal(log_format: str) -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM % log_format], capture_output=True, check=True)
    said = done.stdout.decode()
    assert said.count("forged line") == 1
    assert not [line for line in said.splitlines() if line.startswith("forged line")]
    for sequence in ("\x1b]0", "\x1b[2J", "\x1b[31mtraceback", "\x07", "\x9b", "\r", "\u202e"):
        assert sequence not in said
    assert "traceback" in said


@pytest.mark.processes
def test_json_line_holds_any_value_in_ascii() -> None:
    done = subprocess.run([sys.executable, "-c", _VALUES], capture_output=True, check=True)
    assert done.stdout.isascii()
    assert [json.loads(line)["value"] for line in done.stdout.splitlines()] == [
        "Login(name='anna')",
        "datetime.date(2026, 11, 29)",
        {"ü": [1, None, 0.5]},
        "\udc80",
        1 << 80,
    ]
