"""Cost of jobs: durable writes, waiting, and notification of many subscribers."""

from __future__ import annotations

import json
import os
import statistics
import time
import urllib.request
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

from imagegateway.platform import ids, sockets

from bench import beside, held, subjects
from bench.aims import at_most
from bench.parts import Parts, engine, parts
from bench.processes import ROOT, environment, worker
from bench.report import Figure
from bench.tables import MB, ratio
from bench.usage import memory

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from bench.scale import Scale
    from bench.subjects import Subject

_PACE: Final = 25.0
_INLINE: Final = {
    "direct": ("inline call inside the router, no record", ""),
    "recorded": ("the same, with its job", "direct"),
    "limited": ("the same, with rate limits of the key", "recorded"),
    "limited_twice": ("the same, with rate limits of the key and of its tenant", "recorded"),
}
"""Paths of an inline call, each with its title and the path that the added cost refers to."""
_AIMED: Final = frozenset({"writes", "lists", "expiry", "held jobs", "reconciler", "full collection"})
_MAX_HOLD_MS: Final = 5.0
_CLIENTS: Final = 4
_RATE: Final = 600


def run(folder: Path, image: Path, scale: Scale) -> list[Figure]:
    """Measure everything."""
    found = [Figure("load average of the minute before", f"{os.getloadavg()[0]:.1f}"), _disk(folder)]
    for measure in (_submits, _latencies, _record, _rates)[: scale.parts]:
        # Each measurement has its own NATS server: a replica takes over jobs of an earlier one.
        with parts(_create(folder / measure.__name__), image) as running:
            found += measure(running, scale)
    for stack in (held.at_provider, held.queued, beside.quick_calls, _subscribers)[: scale.stacks]:
        found += stack(_create(folder / stack.__name__), image, scale)
    found += _records(_create(folder / "records"), scale)
    return found


def _create(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _disk(folder: Path) -> Figure:
    """Measure the disk: each durable write waits for one flush."""
    path, count, until = folder / "disk", 0, time.monotonic() + 0.5
    with path.open("wb") as file:
        while time.monotonic() < until:
            file.write(bytes(1024))
            file.flush()
            os.fsync(file.fileno())
            count += 1
    path.unlink()
    return Figure("disk: 1 kB written and flushed, one after the other", f"{2 * count}/s")


def _submits(running: Parts, scale: Scale) -> Iterable[Figure]:
    found = engine(running, "submits", seconds=scale.seconds)
    rate = len(found["took"]) / found["seconds"]
    ranks = _ranks([1000 * seconds for seconds in found["took"]])
    yield Figure("durable submits, engine alone, 32 at a time", f"{rate:.0f} /s, {ranks}")


def _latencies(running: Parts, scale: Scale) -> Iterable[Figure]:
    jobs = [ids.job() for _ in range(scale.jobs)]
    with worker("bench.replica", {"jobs": jobs}, running.environment, "follow") as follower:
        follower.ready()
        worked = engine(running, "work", jobs=jobs, rate=_PACE)
        seen = follower.result()["seen"]
    late = [1000 * (seen[job_id] - worked["done"][job_id]) for job_id in jobs]
    yield Figure(f"submit -> running, {_PACE:g} jobs/s", _ranks([1000 * seconds for seconds in worked["running"]]))
    yield Figure("done -> subscriber on another replica", _ranks(late))


def _record(running: Parts, scale: Scale) -> Iterable[Figure]:
    """Measure inline calls without and with job records, and with rate limits."""
    windows = engine(running, "inline", seconds=scale.seconds, rounds=scale.rounds, root=os.getpid())["windows"]
    costs: dict[str, dict[str, list[float]]] = {path: {} for path in _INLINE}
    for window in windows:
        shares = {role: 1000 * seconds / window["calls"] for role, seconds in window["used"].items()}
        counted = {role: shares.get(role, 0.0) for role in held.INSIDE}
        counted["sum"] = sum(counted.values())
        for role, share in counted.items():
            costs[window["path"]].setdefault(role, []).append(share)
    medians = {path: {role: statistics.median(of) for role, of in roles.items()} for path, roles in costs.items()}
    for path, (title, base) in _INLINE.items():
        split = ", ".join(f"{role} {medians[path][role]:.2f}" for role in held.INSIDE)
        yield Figure(title, f"{_spread(costs[path]['sum'])} CPU-ms ({split})")
        if base:
            own, without = medians[path]["sum"], medians[base]["sum"]
            yield Figure("  added", f"{own - without:.2f} CPU-ms, {ratio(own, without):.2f} x")


def _rates(running: Parts, scale: Scale) -> Iterable[Figure]:
    """Measure how exactly two replicas hold the rate limit of a key that they use at the same time."""
    with ExitStack() as stack:
        orders = ({"replica": number, "limit": _RATE, "seconds": 5 * scale.seconds} for number in range(2))
        replicas = [
            stack.enter_context(worker("bench.replica", order, running.environment, "rates")) for order in orders
        ]
        for replica in replicas:
            replica.ready()
        began = time.monotonic()
        found = [replica.result() for replica in replicas]
        seconds = time.monotonic() - began
    admitted = [replica["admitted"] for replica in found]
    permitted = _RATE + _RATE * seconds / 60
    refused = sum(replica["refused"] for replica in found)
    title = f"calls of a key with {_RATE} requests a minute, two replicas, {seconds:.0f} s"
    share = 100 * sum(admitted) / permitted
    yield Figure(title, f"{admitted[0]} + {admitted[1]}: {share:.1f} % of the limit, {refused} refused")


def _records(folder: Path, scale: Scale) -> Iterator[Figure]:
    """Measure how long many job records hold the event loop of a replica."""
    phases: dict[str, dict[str, float]] = {}
    for part in ("list", "live"):  # apart, since the memory of one delays the other
        order = {"part": part, "count": scale.records, "folder": str(folder)}
        with worker("bench.records", order, environment()) as process:
            phases |= process.result()
    for phase, found in phases.items():
        title = f"{phase}, {scale.records} records"
        verdict = at_most(f"event loop held: {title}", found["work_ms"], _MAX_HOLD_MS, "ms")
        value = f"{found['work_ms']:.1f} ms of work, {found['loop_ms']:.1f} ms in all, in {found['seconds']:.1f} s"
        yield Figure(f"longest turn of the event loop: {title}", value, verdict if phase in _AIMED else None)


def _subscribers(folder: Path, image: Path, scale: Scale) -> Iterable[Figure]:
    with ExitStack() as stack:
        chain = stack.enter_context(subjects.chain("streams", ROOT, folder, image))
        before = memory(chain.pid)["router"].rss
        job_id = submit(chain)
        order = {"key": chain.key, "socket": str(sockets.folder(chain.run) / "router-0.sock"), "job_id": job_id}
        began = time.monotonic()
        clients = [
            stack.enter_context(
                worker("bench.subscribers", {**order, "count": scale.subscribers // _CLIENTS}, environment())
            )
            for _ in range(_CLIENTS)
        ]
        for client in clients:
            client.ready()
        opened, holding = time.monotonic() - began, memory(chain.pid)["router"].rss
        time.sleep(1)
        at = time.monotonic()
        _post(chain, f"/v1/jobs/{job_id}/cancel", b"{}")
        answered = time.monotonic()
        results = [client.result() for client in clients]
    seen = sorted(1000 * (moment - at) for result in results for moment in result["seen"])
    lost = sum(result["failures"] for result in results)
    count = scale.subscribers
    yield Figure(f"{count} StreamJob subscribers, one router: opened in", f"{opened:.1f} s")
    each = (holding - before) / count / 1000
    yield Figure("  router's memory", f"{before / MB:.0f} -> {holding / MB:.0f} MB, {each:.1f} kB each")
    yield Figure("  cancel answered", f"{1000 * (answered - at):.0f} ms")
    times = f"first {seen[0]:.0f}, half {statistics.median(seen):.0f}, last {seen[-1]:.0f} ms" if seen else "none"
    yield Figure("  cancel sent -> its event at the subscriber", f"{times}; {len(seen)} notified, {lost} failed")


def submit(chain: Subject, seconds: float = 3600) -> str:
    """Submit a job that waits `seconds` at its provider. Return its id."""
    body = {"model": "local/sketch", "prompt": "x", "provider_options": {"delay": seconds, "steps": 1}}
    answer: dict[str, Any] = _post(chain, "/v1/images/generations", json.dumps(body).encode())
    return str(answer["id"])


def _post(chain: Subject, path: str, body: bytes) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {chain.key}", "content-type": "application/json", "prefer": "respond-async"}
    request = urllib.request.Request(f"http://127.0.0.1:{chain.port}{path}", data=body, headers=headers)
    with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310  a local address
        found: dict[str, Any] = json.loads(response.read())
        return found


def _ranks(milliseconds: list[float]) -> str:
    ordered = sorted(milliseconds)
    return f"p50 {statistics.median(ordered):.1f}, p99 {ordered[int(0.99 * len(ordered))]:.1f} ms"


def _spread(values: list[float]) -> str:
    half = (max(values) - min(values)) / 2
    digits = 0 if max(values) >= 100 else 2
    middle = f"{statistics.median(values):.{digits}f}"
    return f"{middle} ±{half:.{digits}f}" if len(values) > 1 else middle
