"""A name server on 127.0.0.1 that answers, refuses or stays silent by name."""

from __future__ import annotations

import asyncio
import ipaddress
import struct
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_TTL: Final = 20
_HEADER: Final = struct.Struct(">6H")
_RESPONSE: Final = 0x8180
_NO_SUCH_NAME: Final = 3
_A: Final = 1
_POINTER_TO_QUESTION: Final = 0xC00C


class NameServer(asyncio.DatagramProtocol):
    """Answers queries for `known` names. Names below `.silent` get no response, all others do not exist."""

    def __init__(self) -> None:
        self.known: dict[str, list[str]] = {}
        self.asked: list[str] = []
        """Names of A queries."""
        self.address = ""
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)
        host, port = transport.get_extra_info("sockname")
        self.address = f"{host}:{port}"

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        number, *_ = _HEADER.unpack_from(data)
        name, end = _name(data)
        (kind,) = struct.unpack_from(">H", data, end)
        question = data[_HEADER.size : end + 4]
        if kind == _A:
            self.asked.append(name)
        if name.endswith(".silent") or not self._transport:
            return
        found = self.known.get(name)
        answers = [ipaddress.IPv4Address(address).packed for address in found or [] if kind == _A]
        flags = _RESPONSE if found else _RESPONSE | _NO_SUCH_NAME
        records = (struct.pack(">HHHIH", _POINTER_TO_QUESTION, _A, 1, _TTL, 4) + packed for packed in answers)
        head = _HEADER.pack(number, flags, 1, len(answers), 0, 0)
        self._transport.sendto(head + question + b"".join(records), addr)


@asynccontextmanager
async def name_server() -> AsyncIterator[NameServer]:
    """Run a name server while the context lasts."""
    transport, server = await asyncio.get_running_loop().create_datagram_endpoint(
        NameServer, local_addr=("127.0.0.1", 0)
    )
    try:
        yield server
    finally:
        transport.close()


def _name(data: bytes) -> tuple[str, int]:
    """Return the name of the first question, in lower case, and where it ends."""
    labels, at = [], _HEADER.size
    while length := data[at]:
        labels.append(data[at + 1 : at + 1 + length].decode().lower())
        at += 1 + length
    return ".".join(labels), at + 1
