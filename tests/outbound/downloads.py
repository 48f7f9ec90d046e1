"""Downloads for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.outbound.origin import answer

if TYPE_CHECKING:
    from imagegateway.outbound.client import Outbound

    from tests.outbound.origin import Handler


async def fetch(
    outbound: Outbound,
    url: str,
    max_bytes: int = 1000,
    seconds: float = 20,
    *,
    tenant: str = "a",
    idle_seconds: float | None = None,
) -> bytes:
    body = bytearray()

    async def write(piece: bytes) -> None:
        body.extend(piece)

    await outbound.stream(url, write, tenant=tenant, max_bytes=max_bytes, seconds=seconds, idle_seconds=idle_seconds)
    return bytes(body)


def redirect(location: str, status: int = 302) -> Handler:
    return answer(status=status, location=location)
