"""Trace context: callers' headers are read strictly and passed on."""

from __future__ import annotations

import pytest
from imagegateway.platform.trace_context import TraceContext

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"


@pytest.mark.parametrize(
    "header",
    [
        "",
        "garbage",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f" 00-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01\n",
        f"00-{TRACE}-{SPAN}-0g",
    ],
)
def test_malformed_traceparent_is_no_position(header: str) -> None:
    assert TraceContext.parse(header) is None


@pytest.mark.parametrize("header", [f"00-{TRACE}-{SPAN}-01", f"01-{TRACE}-{SPAN}-01", f"01-{TRACE}-{SPAN}-01-more"])
def test_traceparent_of_any_version_is_passed_on_as_version_0(header: str) -> None:
    position = TraceContext.parse(header)
    assert position == TraceContext(TRACE, SPAN, 1)
    assert position.headers() == {"traceparent": f"00-{TRACE}-{SPAN}-01"}


@pytest.mark.parametrize(
    ("state", "kept"),
    [("rojo=1,congo=2", True), ("x=" + "y" * 511, False), ("rojo=ü", False), ("rojo=1\r\nx: y", False)],
)
def test_tracestate_is_passed_on_if_every_system_takes_it(state: str, kept: bool) -> None:
    position = TraceContext.parse(f"00-{TRACE}-{SPAN}-01", state)
    assert position
    assert position.headers().get("tracestate") == (state if kept else None)
