"""Routers restarted one by one under load: no call fails."""

from __future__ import annotations

import http.client
import json
import signal
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import pytest

from tests.gateway.inputs import FORM, file_part, form, image_bytes
from tests.gateway.jobs.stacks import BACK_SECONDS, find, manage, ready
from tests.gateway.rest import EDITS, GENERATIONS
from tests.support.stack import eventually, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.stack import Stack

ROUNDS: Final = 2
PAUSE: Final = 0.02
"""Seconds between the calls of one caller."""
Request = tuple[str, str, dict[str, str], bytes]


def generate(number: int) -> Request:
    body = {
        "model": "local/sketch",
        "prompt": f"wave {number}",
        "size": "64x64",
        "provider_options": {"delay": 0.05 + number % 5 * 0.2},
    }
    return "POST", GENERATIONS, {"content-type": "application/json"}, json.dumps(body).encode()


def stream(number: int) -> Request:
    method, path, headers, body = generate(number)
    return method, path, headers, json.dumps({**json.loads(body), "stream": True}).encode()


def edit(number: int) -> Request:
    return (
        "POST",
        EDITS,
        FORM,
        form(file_part("image", image_bytes()), model="local/sketch", prompt=f"night {number}"),
    )


def read(_number: int) -> Request:
    return "GET", "/v1/models/local/sketch", {}, b""


@dataclass(slots=True)
class Callers:
    """Callers that send requests one after the other, each on a new connection, and record failures."""

    stack: Stack
    stop: threading.Event = field(default_factory=threading.Event)
    answered: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)

    def start(self, request: Callable[[int], Request], count: int) -> None:
        for _ in range(count):
            self.threads.append(threading.Thread(target=self._call, args=(request,)))
            self.threads[-1].start()

    def end(self) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def _call(self, request: Callable[[int], Request]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.stack.port, timeout=60)
        number = 0
        while not self.stop.wait(PAUSE):
            number += 1
            method, path, headers, body = request(number)
            try:
                connection.request(method, path, body, {**headers, "authorization": f"Bearer {self.stack.key}"})
                answer = connection.getresponse()
                text = answer.read()
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(f"{request.__name__}: {error!r}")
                return
            whole = request is not stream or b".completed" in text
            if answer.status not in {200, 202} or not whole:
                self.failures.append(f"{request.__name__}: {answer.status} {text[-300:]!r}")
            self.answered[request.__name__] += 1
        connection.close()


@pytest.fixture(scope="module")
def pair() -> Iterator[Stack]:
    with running(routers="2") as stack:
        yield stack


def by_signal(stack: Stack, name: str) -> None:
    process = find(stack, name)
    assert process
    process.send_signal(signal.SIGTERM)


def by_manager(stack: Stack, name: str) -> None:
    manage(stack, "stop", f"router:{name}")
    manage(stack, "start", f"router:{name}")


@pytest.mark.parametrize("restart", [by_signal, by_manager])
def test_rolling_restart_of_routers_fails_no_call(pair: Stack, restart: Callable[[Stack, str], None]) -> None:
    callers = Callers(pair)
    for request, count in ((generate, 6), (stream, 3), (edit, 2), (read, 12)):
        callers.start(request, count)
    try:
        for _ in range(ROUNDS):
            for name in ("router-0", "router-1"):
                before = find(pair, name)
                assert before
                pid = before.pid
                restart(pair, name)

                def back(name: str = name, pid: int = pid) -> bool:
                    process = find(pair, name)
                    return process is not None and process.pid != pid and ready(pair)

                eventually(back, BACK_SECONDS, f"{name} is back")
                time.sleep(0.5)
    finally:
        callers.end()
    assert callers.failures == []
    assert min(callers.answered[request.__name__] for request in (generate, stream, edit, read)) > 10
