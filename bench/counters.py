"""Counting for budgets and rates, alternating in one run: `python -m bench.counters [--seconds S] [--rounds N]`.

Three ways to add to one number in JetStream with the stack's configuration (every write is flushed):
- **counter**: a stream with message counters, one message for each change (`Nats-Incr`).
- **single**: compare-and-set of a document, one write for each change.
- **shared**: `SharedDocuments`, where the changes that wait share one write.

The two connections are those of two routers. Each line has a number of concurrent callers, half of them on each one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import uvloop
from imagegateway.platform import setting_source, settings
from imagegateway.platform.nats import bucket, connect
from imagegateway.platform.shared_documents import SharedDocuments
from imagegateway.stack.config import StackConfig, binary
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from imagegateway.platform.settings import Settings
    from nats.aio.client import Client
    from nats.js.kv import KeyValue

    Change = Callable[[], Awaitable[None]]

CALLERS: Final = (2, 16, 64)
_STREAM: Final = "COUNTERS"


@dataclass(frozen=True, slots=True)
class Rate:
    """Result of one measurement."""

    changes: float
    """Changes a second."""
    p50: float
    """Milliseconds until a change is acknowledged."""
    p99: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark. Return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.counters", description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one measurement (default 2)")
    parser.add_argument("--rounds", type=int, default=3, help="times that each line is measured (default 3)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="igw-bench-") as folder, _server(Path(folder)) as current:
        uvloop.run(_measure(current, options.seconds, options.rounds))
    return 0


@contextmanager
def _server(folder: Path) -> Iterator[Settings]:
    """Run a nats-server with the stack's configuration."""
    stack = StackConfig.create(settings.load(setting_source.Source({"IMAGEGATEWAY_DATA_DIR": str(folder)})))
    command = [binary("nats-server"), "-c", str(stack.write_nats())]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield stack.settings
    finally:
        process.kill()
        process.wait()


async def _measure(current: Settings, seconds: float, rounds: int) -> None:
    clients = [await connect(current, f"bench-{number}") for number in range(2)]
    config = {
        "name": _STREAM,
        "subjects": ["n.>"],
        "allow_msg_counter": True,
        "allow_direct": True,
        "storage": "file",
    }
    created = await clients[0].request(f"$JS.API.STREAM.CREATE.{_STREAM}", json.dumps(config).encode())
    if error := json.loads(created.data).get("error"):
        raise SystemExit(f"bench: the server has no message counters: {error['description']}")
    stores = [await bucket(client.jetstream(), "documents", 1) for client in clients]
    shared = [
        SharedDocuments(store, empty=0, encode=lambda value: str(value).encode(), decode=int) for store in stores
    ]
    ways: dict[str, list[Change]] = {
        "counter": [_counter(client) for client in clients],
        "single": [_single(store) for store in stores],
        "shared": [_shared(documents) for documents in shared],
    }
    print("callers  way      changes/s  to counter   p50 ms   p99 ms", flush=True)
    for callers in CALLERS:
        found: dict[str, list[Rate]] = {name: [] for name in ways}
        for number in range(rounds):
            for name in ways if number % 2 == 0 else reversed(ways):
                found[name].append(await _rate(ways[name], callers, seconds))
        base = statistics.median(rate.changes for rate in found["counter"])
        for name, rates in found.items():
            changes, p50, p99 = (
                statistics.median(getattr(rate, figure) for rate in rates) for figure in ("changes", "p50", "p99")
            )
            print(f"{callers:7}  {name:8} {changes:9.0f} {changes / base:10.2f}x {p50:8.1f} {p99:8.1f}", flush=True)
    for documents in shared:
        await documents.close()
    for client in clients:
        await client.close()


async def _rate(ways: list[Change], callers: int, seconds: float) -> Rate:
    end = time.perf_counter() + seconds
    took: list[float] = []

    async def call(change: Change) -> None:
        while (began := time.perf_counter()) < end:
            await change()
            took.append((time.perf_counter() - began) * 1000)

    await asyncio.gather(*(call(ways[number % len(ways)]) for number in range(callers)))
    parts = statistics.quantiles(took, n=100)
    return Rate(len(took) / seconds, parts[49], parts[98])


def _counter(client: Client) -> Change:
    async def change() -> None:
        answer = json.loads((await client.request("n.total", b"", headers={"Nats-Incr": "+1"}, timeout=10)).data)
        if "error" in answer:
            raise SystemExit(f"bench: {answer['error']['description']}")

    return change


def _single(store: KeyValue) -> Change:
    """Return a change that reads and writes until no other writer is faster."""

    async def change() -> None:
        while True:
            try:
                entry = await store.get("single")
                value, revision = int(entry.value or b"0"), entry.revision
            except KeyNotFoundError:
                value, revision = 0, 0
            try:
                await store.update("single", str(value + 1).encode(), last=revision)
            except KeyWrongLastSequenceError:
                await asyncio.sleep(random.uniform(0, 0.005))  # noqa: S311  only spreads load
            else:
                return

    return change


def _shared(documents: SharedDocuments[int]) -> Change:
    async def change() -> None:
        await documents.change("shared", lambda value: (value + 1, None))

    return change


if __name__ == "__main__":
    sys.exit(main())
