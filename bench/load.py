"""Load generator in a separate process: `python -m bench.load`, with its order as one JSON line on standard input.

Kept-alive connections, in a closed loop; with a rate in an open one, whose latencies count from when a request was
due. After the warm-up all requests are waited for; then it prints `ready`, waits for a line, runs the window, waits
for all requests again, and prints its figures as one JSON line. So a reader of the subject's CPU before that line and
after the figures gets exactly the window's requests.
"""

from __future__ import annotations

import asyncio
import base64
import gc
import hashlib
import json
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, cast

import uvloop

from bench.wire import Answer, WireError

_BUFFER: Final = 1 << 20
_LONGEST: Final = 30.0
"""Time limit of open requests at the end, in seconds."""
_TOLERANCE: Final = 64
"""Allowed difference of response lengths in bytes: responses contain times and signatures."""
_KEPT: Final = 8
"""Complete responses of a window that are checked after the window."""


@dataclass(frozen=True, slots=True)
class Order:
    """Request to send, and the expected response."""

    port: int
    request: str
    """File with the request."""
    connections: int
    warm_up: float
    """Duration in seconds."""
    seconds: float
    length: int
    """Expected length of a response body in bytes."""
    answer: str
    """Form of the response: `url`, `b64_json` or `job`."""
    sha256: str
    """Digest of the image that every response names or contains."""
    status: int = 200
    rate: float = 0.0
    """Requests per second of an open loop; 0: a closed loop."""
    count: int = 0
    """Maximum number of requests in the window; 0: no maximum."""


@dataclass(slots=True)
class Figures:
    """Results of one window."""

    requests: int = 0
    failures: int = 0
    reason: str = ""
    """Message of the first failure."""
    seconds: float = 0.0
    """Seconds from the first request to the last response."""
    p50: float = 0.0
    """Milliseconds from a request's first byte to its response's last byte."""
    p99: float = 0.0
    checked: int = 0
    """Responses whose image was compared."""
    cpu: float = 0.0
    """CPU seconds of this generator."""


@dataclass(slots=True)
class _Window:
    until: float
    keep_every: int
    most: int = 1 << 60
    rate: float = 0.0
    due: deque[float] = field(default_factory=deque)
    """Due times of unsent requests of an open loop."""
    free: list[_Caller] = field(default_factory=list)
    """Idle connections of an open loop."""
    latencies: list[float] = field(default_factory=list)
    kept: list[bytes] = field(default_factory=list)
    sent: int = 0
    failures: list[str] = field(default_factory=list)
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    open: int = 0


class _Caller(asyncio.BufferedProtocol):
    """Connection of one caller. Sends its next request after each response."""

    _shared = memoryview(bytearray(_BUFFER))  # read completely before the next connection is served

    def __init__(self, order: Order, request: bytes) -> None:
        self._order = order
        self._request = request
        self._transport: asyncio.Transport | None = None
        self._window: _Window | None = None
        self._answer: Answer | None = None
        self._began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._answer:
            self._done(f"the connection was lost: {exc}")

    def begin(self, window: _Window, due: float | None = None) -> None:
        """Join a window until its end; in an open loop, until no request is due."""
        self._window = window
        window.open += 1
        self._send(due)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._shared

    def buffer_updated(self, nbytes: int) -> None:
        if not self._answer:
            self._lose("unexpected bytes arrived")
            return
        try:
            whole = self._answer.feed(self._shared[:nbytes])
        except (WireError, ValueError) as error:
            self._lose(str(error))
            return
        if whole:
            self._done("")

    def _send(self, due: float | None = None) -> None:
        window = self._window
        if not window:
            return
        if not self._transport:
            self._done("the connection is closed")
            return
        self._answer = Answer(keep=window.sent % window.keep_every == 0 and len(window.kept) < _KEPT)
        window.sent += 1
        self._began = due or time.perf_counter()
        self._transport.write(self._request)

    def _lose(self, reason: str) -> None:
        if self._transport:
            self._transport.abort()
            self._transport = None
        self._done(reason)

    def _done(self, failure: str) -> None:
        now = time.perf_counter()
        window, answer = self._window, self._answer
        self._answer = None
        if not window:
            return
        if not failure and answer:
            window.latencies.append(now - self._began)
            if answer.status != self._order.status:
                failure = f"status {answer.status}"
            elif abs(answer.length - self._order.length) > _TOLERANCE:
                failure = f"an answer of {answer.length} bytes instead of {self._order.length}"
            elif answer.body is not None:
                window.kept.append(bytes(answer.body))
        if failure:
            window.failures.append(failure)
        if window.rate and window.due and self._transport:
            self._send(window.due.popleft())
            return
        if not window.rate and now < window.until and window.sent < window.most and self._transport:
            self._send()
            return
        self._window = None
        if window.rate and self._transport:
            window.free.append(self)
        window.open -= 1
        if not window.open:
            window.idle.set()


async def _run(callers: list[_Caller], seconds: float, keep_every: int, order: Order, count: int = 0) -> _Window:
    until = time.perf_counter() + seconds
    window = _Window(until=until, keep_every=keep_every, most=count or 1 << 60, rate=order.rate)
    if order.rate:
        window.free.extend(callers)
        window.open = 1  # until all requests are sent
        await _arrive(window, int(seconds * order.rate))
        window.open -= 1
        if not window.open:
            window.idle.set()
    else:
        for caller in callers[: count or None]:
            caller.begin(window)
    try:
        async with asyncio.timeout(seconds + _LONGEST):
            await window.idle.wait()
    except TimeoutError:
        window.failures.append(f"{window.open} requests had no answer after {_LONGEST:g} s")
    return window


async def _arrive(window: _Window, count: int) -> None:
    began = time.perf_counter()
    for number in range(count):
        due = began + number / window.rate
        await asyncio.sleep(due - time.perf_counter())
        if window.free:
            window.free.pop().begin(window, due)
        else:
            window.due.append(due)


def _wrong(body: bytes, order: Order) -> str:
    """Return the fault of a response, or an empty text for the expected image."""
    try:
        if order.answer == "job":
            return "" if json.loads(body)["id"].startswith("job_") else "an answer names no job"
        image = json.loads(body)["data"][0]
        if order.answer == "url":
            return "" if order.sha256 in image["url"] else "a response links to another image"
        found = hashlib.sha256(base64.b64decode(image["b64_json"], validate=True)).hexdigest()
    except (ValueError, LookupError, TypeError) as error:
        return f"an answer can't be read: {error!r}"
    return "" if found == order.sha256 else "a response contains another image"


def _rank(ordered: list[float], share: float) -> float:
    return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


async def _main() -> None:
    order = Order(**json.loads(sys.stdin.readline()))
    request = await asyncio.to_thread(Path(order.request).read_bytes)
    loop = asyncio.get_running_loop()
    callers = [
        (await loop.create_connection(lambda: _Caller(order, request), "127.0.0.1", order.port))[1]
        for _ in range(64 if order.rate else order.connections)
    ]
    warm = await _run(callers, order.warm_up, 1 << 30, order) if order.warm_up else _Window(0.0, 1)
    gc.collect()
    gc.disable()  # a window makes little garbage, and a pause would count as the subject's latency
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    # Spread the checked responses over the window, by the rate of the warm-up.
    pace = len(warm.latencies) / max(order.warm_up, 0.1)
    began, cpu = time.perf_counter(), time.process_time()
    window = await _run(callers, order.seconds, max(1, int(pace * order.seconds / _KEPT)), order, order.count)
    figures = Figures(
        requests=len(window.latencies), seconds=time.perf_counter() - began, cpu=time.process_time() - cpu
    )
    failures = [*warm.failures, *window.failures]
    failures += [reason for body in window.kept if (reason := _wrong(body, order))]
    figures.failures = len(failures)
    figures.reason = failures[0] if failures else ""
    figures.checked = len(window.kept)
    ordered = sorted(window.latencies)
    figures.p50, figures.p99 = _rank(ordered, 0.50), _rank(ordered, 0.99)
    print(json.dumps(asdict(figures)), flush=True)


if __name__ == "__main__":
    uvloop.run(_main())
