"""Address of a client, as Envoy passes it on: the peer's, or the one that a trusted proxy states."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

HEADER: Final = "x-client-address"
"""Header that Envoy sets on every request, in place of a caller's own."""


def client_address(headers: Mapping[str, str]) -> str:
    """Return the client's IP address; `local` for a program of the gateway's machine, over a UNIX socket."""
    address = headers.get(HEADER, "/")
    return "local" if address.startswith("/") else address  # Envoy states the path of a socket
