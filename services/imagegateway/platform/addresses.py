"""Addresses by which the gateway's processes listen and dial: `unix:/path` or `tcp://host:port`."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import urlsplit

MAX_PATH_BYTES: Final = 107
"""Longest path of a UNIX socket, by the system."""
_UNIX: Final = "unix:"


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """UNIX socket of this machine."""

    path: Path

    def __str__(self) -> str:
        return f"{_UNIX}{self.path}"


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """TCP port of a host."""

    host: str
    """DNS name or IP address, without brackets."""
    port: int

    def __str__(self) -> str:
        return f"tcp://{self.authority}"

    @property
    def authority(self) -> str:
        """Host and port, an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_ip(self) -> bool:
        """Return whether the host is an IP address."""
        return _ip(self.host) is not None

    @property
    def is_loopback(self) -> bool:
        """Return whether the address stays on this machine."""
        ip = _ip(self.host)
        return self.host == "localhost" or (ip is not None and ip.is_loopback)


Address: TypeAlias = UnixAddress | TcpAddress


def parse(text: str) -> Address:
    """Return the address of `unix:/path` or `tcp://host:port`. Raises ValueError with the expected form."""
    if text.startswith(_UNIX):
        path = Path(text.removeprefix(_UNIX))
        if len(bytes(path)) > MAX_PATH_BYTES:
            raise ValueError(
                f"must be unix: and at most {MAX_PATH_BYTES} bytes, the limit of the system, not {text!r}"
            )
        # `os.path`: Path.is_dir raises PermissionError for a folder that only another process may open.
        if not path.is_absolute() or not path.name or os.path.isdir(path):  # noqa: PTH112
            raise ValueError(f"must be unix: and an absolute path of a file, not {text!r}")
        return UnixAddress(path)
    with suppress(ValueError):
        parts = urlsplit(text)
        rest = parts.path + parts.query + parts.fragment
        if parts.scheme == "tcp" and parts.hostname and parts.port and not rest and parts.username is None:
            return TcpAddress(parts.hostname, parts.port)
    raise ValueError(f"must be unix:/path or tcp://host:port, not {text!r}")


async def resolve(address: Address) -> list[Address]:
    """Return an address, or for a DNS name each of its IP addresses. Raises OSError."""
    if isinstance(address, UnixAddress) or address.is_ip:
        return [address]
    found = await asyncio.get_running_loop().getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    return [TcpAddress(host, address.port) for host in sorted({str(entry[4][0]) for entry in found})]


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
