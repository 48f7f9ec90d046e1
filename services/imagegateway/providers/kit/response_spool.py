"""Response spool: large responses of providers wait in files until there is memory for them.

A response is received at once, as an unread connection breaks. Then the response waits without limit, as it may be
paid for.
"""

from __future__ import annotations

from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from imagegateway.platform.tenant_slots import TenantSlots
from imagegateway.providers.kit.http_messages import HttpResponse
from imagegateway.providers.kit.media_extractor import SHORTEST, MediaExtractor
from imagegateway.providers.kit.spooled_content import SMALL_BYTES, SpooledContent, SpoolMemory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from imagegateway.outbound.client import StreamingResponse

_COPIES: Final = 3
"""Copies that reading makes of a text: its bytes, the texts in it, and the images that these encode."""
_UNREAD_SHARE: Final = 8
"""Part of the limit, as its divisor, that unread responses may use instead of files."""


class ResponseSpool:
    """Spool of large responses, and the memory limit of those that are being read and stored.

    The limit is `limit` bytes, half of them for one tenant.
    """

    def __init__(self, limit: int, folder: Path) -> None:
        """`folder`: on a disk, for responses that wait; created if absent."""
        self._bytes = TenantSlots(limit, limit // 2)
        self._open = partial(SpooledContent, folder, SpoolMemory(limit // _UNREAD_SHARE))
        with suppress(OSError):  # responses then stay in memory
            folder.mkdir(parents=True, exist_ok=True)

    async def receive(self, incoming: StreamingResponse) -> HttpResponse:
        """Return the whole response, a large one with content in `spooled`. Raises as `StreamingResponse.chunks`."""
        if _is_short(incoming.headers):
            return HttpResponse(incoming.status, incoming.headers, await incoming.read())
        spooled = MediaExtractor(self._open)
        try:
            async with aclosing(incoming.chunks()) as chunks:
                async for chunk in chunks:
                    await spooled.write(chunk)
            await spooled.end()
        except BaseException:
            spooled.close()
            raise
        if spooled.media or spooled.text.size > SMALL_BYTES:
            return HttpResponse(incoming.status, incoming.headers, b"", spooled=spooled)
        return HttpResponse(incoming.status, incoming.headers, await spooled.text.read())

    @asynccontextmanager
    async def load(self, response: HttpResponse, tenant: str) -> AsyncIterator[HttpResponse]:
        """Yield a response with its content, once there is memory for it; the memory is reserved within the block."""
        spooled = response.spooled
        if spooled is None:
            yield response
            return
        size = _COPIES * spooled.text.size + sum(content.size for content in spooled.media.values())
        try:
            async with self._bytes.hold(tenant, size):
                media = {marker: await content.read() for marker, content in spooled.media.items()}
                yield replace(response, content=await spooled.text.read(), media=media, spooled=None)
        finally:
            spooled.close()


def _is_short(headers: Mapping[str, str]) -> bool:
    """Return whether a response states a length that leaves no room for media to take out."""
    length = headers.get("content-length", "")
    return length.isdecimal() and int(length) < SHORTEST and "content-encoding" not in headers
