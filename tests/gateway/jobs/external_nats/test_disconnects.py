"""Callers that disconnect at any instant of a submit: their jobs run to their end, and no slot stays in use."""

from __future__ import annotations

import json
import random
import socket
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import grpc
import pytest

from tests.gateway import inputs
from tests.gateway.jobs import wire
from tests.gateway.jobs.calls import ENDED, marked, with_mark
from tests.gateway.rest import EDITS, GENERATIONS, SMALL
from tests.support.stack import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.gateway.jobs.calls import Caller

HANG_UPS = 15
"""Disconnects for each kind of call."""
LONGEST_SECONDS = 0.03


def _post(caller: Caller, path: str, media_type: str, body: bytes, seconds: float) -> None:
    """Send a request, and close the connection after a while."""
    head = (
        f"POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {caller.key}\r\n"
        f"content-type: {media_type}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    with closing(socket.create_connection(("127.0.0.1", caller.stack.port), timeout=10)) as connection:
        connection.sendall(head.encode() + body)
        time.sleep(seconds)


def _json(caller: Caller, mark: str, seconds: float) -> None:
    fields = {**SMALL, "metadata": marked(mark)}
    _post(caller, GENERATIONS, "application/json", json.dumps(fields).encode(), seconds)


def _stream(caller: Caller, mark: str, seconds: float) -> None:
    fields = {**SMALL, "metadata": marked(mark), "stream": True, "partial_images": 1}
    _post(caller, GENERATIONS, "application/json", json.dumps(fields).encode(), seconds)


def _form(caller: Caller, mark: str, seconds: float) -> None:
    parts = {"model": "local/sketch", "prompt": "a red kite", "metadata": json.dumps(marked(mark))}
    body = b"".join(
        f'--x\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in parts.items()
    )
    body += b'--x\r\ncontent-disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
    body += inputs.image_bytes(64, 64) + b"\r\n--x--\r\n"
    _post(caller, EDITS, "multipart/form-data; boundary=x", body, seconds)


def _grpc(caller: Caller, mark: str, seconds: float) -> None:
    with wire.public(caller) as stub:
        call = stub.Generate.future(wire.small(metadata=marked(mark)), metadata=wire.metadata(caller))
        time.sleep(seconds)
        call.cancel()
        with suppress(grpc.RpcError, grpc.FutureCancelledError):
            call.result(10)


@pytest.mark.parametrize("hang_up", [_json, _stream, _form, _grpc])
def test_disconnected_callers_leave_no_orphaned_jobs(
    caller: Caller, mark: str, hang_up: Callable[[Caller, str, float], None]
) -> None:
    dice = random.Random(hang_up.__name__)  # noqa: S311  a test's dice
    for _ in range(HANG_UPS):
        hang_up(caller, mark, dice.uniform(0, LONGEST_SECONDS))

    def all_ended() -> bool:
        return all(job["status"] in ENDED for job in caller.jobs())

    eventually(all_ended, 60, "every job has ended")
    statuses = {job["status"] for job in with_mark(caller.jobs(), mark)}
    assert statuses <= {"completed"}, "a caller that goes away cancels nothing"
    assert caller.generate().status == 200, "the slot is free"
