"""A large video passes in pieces from its provider to the store, and from there to its reader."""

from __future__ import annotations

import http.client
from contextlib import closing
from typing import TYPE_CHECKING, Final

from tests.gateway.memory.large_video import VIDEO
from tests.gateway.peak_memory import MIB, watching
from tests.gateway.rest import ask, link

if TYPE_CHECKING:
    from tests.support.stack import Stack

GROWTH: Final = 30 * MIB
"""Growth of all processes together, whatever the size of the video."""


def test_video_of_256_mib_grows_the_whole_stack_by_less_than_30_mib(stack: Stack) -> None:
    processes = stack.descendants()
    before = sum(process.memory_info().rss for process in processes)
    with watching(processes) as peak:
        answer = ask(
            stack,
            "POST",
            "/v1/videos/generations",
            {"model": "bytedance/seedance-2.5", "prompt": "a kite"},
            {"prefer": "wait=60"},
        )
        assert answer.status == 200, answer.body
        assert _read(stack, link(stack, answer.json()["data"][0]["url"])) == VIDEO
    assert 0 < peak.bytes < before + GROWTH, f"{(peak.bytes - before) // MIB} MiB"


def _read(stack: Stack, path: str) -> int:
    """Read a file in pieces, and return its length."""
    with closing(http.client.HTTPConnection("127.0.0.1", stack.port, timeout=60)) as connection:
        connection.request("GET", path)
        response = connection.getresponse()
        return sum(iter(lambda: len(response.read(MIB)), 0))
