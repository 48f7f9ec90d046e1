"""Addresses on which a process serves the gateway's other processes, and the roles that may call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imagegateway.platform.addresses import UnixAddress

if TYPE_CHECKING:
    from pathlib import Path

    from imagegateway.platform.addresses import Address
    from imagegateway.platform.internal_tls import InternalTls, Role


@dataclass(frozen=True, slots=True)
class Listener:
    """Addresses of one server. TLS applies to TCP alone: only this user can reach the UNIX sockets."""

    addresses: tuple[Address, ...]
    tls: InternalTls | None = None
    callers: frozenset[Role] = frozenset()
    """Roles that may call over TLS."""

    @classmethod
    def unix(cls, path: Path) -> Listener:
        """Return a listener on one UNIX socket."""
        return cls((UnixAddress(path),))

    @property
    def sockets(self) -> list[Path]:
        """Paths of the UNIX sockets."""
        return [address.path for address in self.addresses if isinstance(address, UnixAddress)]
