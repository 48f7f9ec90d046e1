"""Many large JSON answers of a provider at once: the providers' process loads no more of them than it may."""

from __future__ import annotations

import base64
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Final

import pytest

from tests.gateway.inputs import padded
from tests.gateway.rest import GENERATIONS, ask
from tests.gateway.test_upload_memory import MIB, watching
from tests.support.stack import running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.stack import Stack

IMAGE: Final = 24 * MIB
CALLS: Final = 8
LIMIT: Final = 192
"""MiB of answers that the process may load: 96 of each tenant, which is one answer of this test's."""
GROWTH: Final = 240 * MIB
"""One answer of 32 MiB in three forms, and what the allocator keeps. Without the limit it is 440 MiB."""


@contextmanager
def serving() -> Iterator[str]:
    """A provider whose answer to everything is one large image."""
    body = json.dumps({"created": 1, "data": [{"b64_json": base64.b64encode(padded(IMAGE)).decode()}]}).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class names it so
            """Keep the test's output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with serving() as url, running(answer_memory=str(LIMIT), openai_base_url=url, openai_api_key="k" * 20) as own:
        yield own


def test_memory_of_parallel_answers_is_bounded_and_each_is_kept(stack: Stack) -> None:
    wanted = {"model": "openai/gpt-image-1", "prompt": "a kite", "response_format": "url"}
    providers = stack.running_child("providers")

    def status(_: int) -> int:
        return ask(stack, "POST", GENERATIONS, dict(wanted)).status

    assert status(0) == 200
    before = providers.memory_info().rss
    with watching([providers]) as peak, ThreadPoolExecutor(CALLS) as pool:
        assert list(pool.map(status, range(CALLS))) == [200] * CALLS
    assert peak.bytes - before < GROWTH, f"{(peak.bytes - before) // MIB} MiB"
