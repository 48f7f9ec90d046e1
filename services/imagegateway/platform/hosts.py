"""Hosts in settings."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HostPort:
    """Address to listen on."""

    host: str
    """IP address, without brackets."""
    port: int

    @classmethod
    def parse(cls, text: str) -> HostPort:
        """Return the address of `host:port`; an IPv6 address is in brackets. Raises ValueError."""
        host, _, port = text.rpartition(":")
        if host.startswith("[") and host.endswith("]"):
            host = str(ipaddress.IPv6Address(host[1:-1]))
        else:
            host = str(ipaddress.IPv4Address(host))
        if not port.isdecimal() or not 1 <= int(port) <= 65535:
            raise ValueError("no port")
        return cls(host, int(port))

    def overlaps(self, other: HostPort) -> bool:
        """Return whether two listeners can't have the addresses at once. `::` is every IPv6 address alone."""
        if self.port != other.port:
            return False
        is_same_family = (":" in self.host) == (":" in other.host)
        return self.host == other.host or (is_same_family and (is_wildcard(self.host) or is_wildcard(other.host)))


def is_wildcard(host: str) -> bool:
    """Return True for a host that means every address of a machine, in any notation that sockets accept."""
    host = host.strip("[]")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        try:
            return host == "*" or not any(socket.inet_aton(host))  # "0", "0.0", "0x0"
        except (OSError, UnicodeEncodeError):
            return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped.is_unspecified
    return address.is_unspecified


def origin(scheme: str, host: str, port: int) -> str:
    """Return the origin of URLs."""
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
