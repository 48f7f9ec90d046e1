"""Real nats-server processes: one configured as the stack's own, or three as a cluster."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import time
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from imagegateway.platform import setting_source, settings
from imagegateway.stack.config import StackConfig, binary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from imagegateway.platform.settings import Settings

PATIENCE = 40.0
"""Timeout in seconds for expected events."""


async def until(condition: Callable[[], object]) -> None:
    """Poll until a condition holds."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110  the condition is another process's
            await asyncio.sleep(0.01)


@dataclass(slots=True)
class Process:
    """One nats-server with its configuration file and its port."""

    config: Path
    port: int
    _process: subprocess.Popen[bytes] | None = field(default=None)

    def start(self) -> None:
        """Start the server and wait until it listens."""
        self._process = subprocess.Popen(
            [binary("nats-server"), "-c", str(self.config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + PATIENCE
        while True:
            with suppress(OSError), closing(socket.create_connection(("127.0.0.1", self.port), timeout=1)):
                return
            assert self._process.poll() is None, "nats-server ended"
            assert time.monotonic() < deadline, "nats-server does not listen"
            time.sleep(0.01)

    def kill(self) -> None:
        """Kill the server by SIGKILL."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None


@dataclass(slots=True)
class Nats(Process):
    """A server with the stack's configuration, and settings that connect to it."""

    settings: Settings = field(kw_only=True)


def settings_for(folder: Path, **values: str) -> Settings:
    """Settings with a data directory; `values` as in the environment, without prefix."""
    named = {f"IMAGEGATEWAY_{name}": value for name, value in values.items()}
    return settings.load(setting_source.Source({"IMAGEGATEWAY_DATA_DIR": str(folder), **named}))


@contextmanager
def single(folder: Path) -> Iterator[Nats]:
    """Yield a running server with the stack's configuration."""
    found = settings_for(folder)
    stack = StackConfig.create(found)
    server = Nats(config=stack.write_nats(), port=stack.nats_port, settings=found)
    server.start()
    try:
        yield server
    finally:
        server.kill()


@dataclass(slots=True)
class Cluster:
    """Three servers by name."""

    nodes: dict[str, Process]
    settings: Settings


_NODE = """
server_name: {name}
listen: "127.0.0.1:{port}"
authorization {{ user: gateway, password: cluster }}
max_payload: 8388608
cluster {{ name: test, listen: "127.0.0.1:{route}", routes: [{routes}] }}
jetstream {{ store_dir: "{store}", sync_interval: always }}
"""


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(closing(socket.socket())) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """Yield three running servers on loopback with three replicas of each stream."""
    ports = _free_ports(6)
    routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in ports[3:])
    nodes: dict[str, Process] = {}
    for name, port, route in zip(("one", "two", "three"), ports[:3], ports[3:], strict=True):
        config = folder / f"{name}.conf"
        config.write_text(
            _NODE.format(name=name, port=port, route=route, routes=routes, store=folder / f"store-{name}")
        )
        nodes[name] = Process(config, port)
    urls = ",".join(f"nats://gateway:cluster@127.0.0.1:{node.port}" for node in nodes.values())
    try:
        for node in nodes.values():
            node.start()
        yield Cluster(nodes, settings_for(folder, NATS_URL=urls, NATS_REPLICAS="3"))
    finally:
        for node in nodes.values():
            node.kill()
