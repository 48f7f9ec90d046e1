"""Hosts of a fleet: network namespaces at one bridge, or loopback addresses where namespaces are not permitted."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_PREFIX: Final = "igw"
_FIRST_PORT: Final = 7000


@dataclass(frozen=True, slots=True)
class Address:
    """Port of a host."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """Address as settings name it."""
        return f"tcp://{self}"


@dataclass(slots=True)
class Host:
    """One host. `namespace` is empty for a loopback address."""

    address: str
    namespace: str = ""
    _ports: Iterator[int] = field(default_factory=lambda: itertools.count(_FIRST_PORT))

    def command(self, arguments: Sequence[str]) -> list[str]:
        """Return the command line that runs a program on this host, in the process that starts it."""
        return ["ip", "netns", "exec", self.namespace, *arguments] if self.namespace else list(arguments)

    def port(self) -> Address:
        """Return a free port."""
        if self.namespace:
            return Address(self.address, next(self._ports))
        return Address(self.address, free_port())

    def cut(self) -> None:
        """Disconnect the host: packets vanish in both directions, and no connection is closed."""
        _ip("link", "set", self.namespace, "down")

    def connect(self) -> None:
        """Connect the host again."""
        _ip("link", "set", self.namespace, "up")


@dataclass(frozen=True, slots=True)
class Network:
    """Hosts, and the address of the test process that they all reach."""

    gateway: str
    hosts: Sequence[Host]


@contextmanager
def network(count: int) -> Iterator[Network]:
    """Yield hosts that reach each other."""
    if os.geteuid() != 0 or not shutil.which("ip"):
        yield Network("127.0.0.1", [Host(f"127.0.0.{20 + number}") for number in range(count)])
        return
    _remove_leftovers()
    name = f"{_PREFIX}-{os.getpid()}"
    subnet = f"198.18.{os.getpid() % 256}"
    try:
        _ip("link", "add", name, "type", "bridge")
        _ip("addr", "add", f"{subnet}.1/24", "dev", name)
        _ip("link", "set", name, "up")
        yield Network(
            f"{subnet}.1", [_namespace(name, f"{name}-{number}", f"{subnet}.{2 + number}") for number in range(count)]
        )
    finally:
        _remove(name)


def _namespace(bridge: str, name: str, address: str) -> Host:
    """Return a new namespace with its own loopback and one address at the bridge."""
    _ip("netns", "add", name)
    _ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
    _ip("link", "set", name, "master", bridge, "up")
    for arguments in (
        ("addr", "add", f"{address}/24", "dev", "eth0"),
        ("link", "set", "eth0", "up"),
        ("link", "set", "lo", "up"),
    ):
        _ip("-netns", name, *arguments)
    return Host(address, name)


def _remove_leftovers() -> None:
    """Remove the networks of test runs that were killed."""
    for line in _ip("-brief", "link", "show", "type", "bridge").splitlines():
        name = line.split()[0]
        prefix, _, pid = name.partition("-")
        if prefix == _PREFIX and pid.isdecimal():
            try:
                os.kill(int(pid), 0)
            except ProcessLookupError:
                _remove(name)


def _remove(name: str) -> None:
    """Remove a bridge and its namespaces. Their processes have ended."""
    for line in _ip("netns", "list").splitlines():
        if line.startswith(f"{name}-"):
            _ip("netns", "del", line.split()[0])
    with suppress(AssertionError):
        _ip("link", "del", name)


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"
    return done.stdout
