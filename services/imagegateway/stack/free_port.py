"""Choice of a TCP port for a process that starts later."""

from __future__ import annotations

import secrets
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection

_RANGE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
"""First and last port that the kernel chooses for connections and for servers without a port of their own."""
_LOWEST: Final = 1024
"""Ports below need privileges."""
_ATTEMPTS: Final = 100


def free_port(taken: Collection[int] = ()) -> int:
    """Return a free TCP port of 127.0.0.1 below those that the kernel chooses, and not one that is `taken` later.

    Nothing holds the port until its process starts: a connection of another process could take a port of the kernel.
    """
    first = int(_RANGE.read_text().split()[0])
    candidates = range(max(_LOWEST, first // 2), first)
    for _ in range(_ATTEMPTS if candidates else 0):
        port = secrets.choice(candidates)
        if port not in taken and is_free(port):
            return port
    with socket.create_server(("127.0.0.1", 0)) as chosen:
        chosen_port: int = chosen.getsockname()[1]
        return chosen_port


def is_free(port: int) -> bool:
    """Return whether a server can listen on a port of 127.0.0.1 now."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
