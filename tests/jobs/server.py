"""Real nats-server processes: one configured as the stack's own, or three as a cluster."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import time
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from imagegateway.platform import setting_source, settings
from imagegateway.stack.config import StackConfig, binary

from tests.support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping
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

    @asynccontextmanager
    async def frozen(self, seconds: float) -> AsyncIterator[None]:
        """Freeze the server for some seconds, and run the body meanwhile and after."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)
        thaw = asyncio.get_running_loop().call_later(seconds, self._process.send_signal, signal.SIGCONT)
        try:
            yield
        finally:
            thaw.cancel()
            self._process.send_signal(signal.SIGCONT)


@dataclass(slots=True)
class Nats(Process):
    """A server with the stack's configuration, and settings that connect to it."""

    settings: Settings = field(kw_only=True)


def settings_for(folder: Path, **values: str) -> Settings:
    """Return settings with a data directory; `values` as in the environment, without prefix."""
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


@dataclass(frozen=True, slots=True)
class NodeAddress:
    """Address and ports of a node of a cluster."""

    host: str
    port: int
    route: int

    @property
    def url(self) -> str:
        """URL for clients."""
        return f"nats://gateway:cluster@{self.host}:{self.port}"


def write_nodes(folder: Path, nodes: Mapping[str, NodeAddress], further: str = "") -> dict[str, Path]:
    """Write the configuration files of the nodes of a cluster, by name. `further`: lines for each."""
    routes = ", ".join(f'"nats://{node.host}:{node.route}"' for node in nodes.values())
    files = {name: folder / f"{name}.conf" for name in nodes}
    for name, node in nodes.items():
        text = _NODE.format(name=name, node=node, routes=routes, store=folder / f"store-{name}")
        files[name].write_text(text + further)
    return files


_NODE = """
server_name: {name}
listen: "{node.host}:{node.port}"
authorization {{ user: gateway, password: cluster }}
max_payload: 8388608
cluster {{ name: test, listen: "{node.host}:{node.route}", routes: [{routes}] }}
jetstream {{ store_dir: "{store}", sync_interval: always }}
"""


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """Yield three running servers on loopback with three replicas of each stream."""
    ports = [free_port() for _ in range(6)]
    addresses = {
        name: NodeAddress("127.0.0.1", port, route)
        for name, port, route in zip(("one", "two", "three"), ports[:3], ports[3:], strict=True)
    }
    nodes = {name: Process(config, addresses[name].port) for name, config in write_nodes(folder, addresses).items()}
    urls = ",".join(address.url for address in addresses.values())
    try:
        for node in nodes.values():
            node.start()
        yield Cluster(nodes, settings_for(folder, NATS_URL=urls, NATS_REPLICAS="3"))
    finally:
        for node in nodes.values():
            node.kill()
