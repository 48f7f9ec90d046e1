"""Response spool: large responses of providers wait in files until there is memory for them.

A response is received at once, as an unread connection breaks. Then the response waits without limit, as it may be
paid for.
"""

from __future__ import annotations

from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from imagegateway.platform.tenant_slots import TenantSlots
from imagegateway.providers.kit.http_messages import HttpResponse
from imagegateway.providers.kit.spooled_content import SMALL_BYTES, SpooledContent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from imagegateway.outbound.client import StreamingResponse

_COPIES: Final = 3
"""Copies that reading makes of a response: its bytes, the texts in it, and the images that these encode."""


class ResponseSpool:
    """Spool of large responses, and the memory limit of those that are being read and stored.

    The limit is `limit` bytes, half of them for one tenant.
    """

    def __init__(self, limit: int, folder: Path) -> None:
        """`folder`: on a disk, for responses that wait; created if absent."""
        self._bytes = TenantSlots(limit, limit // 2)
        self._folder = folder
        with suppress(OSError):  # responses then stay in memory
            folder.mkdir(parents=True, exist_ok=True)

    async def receive(self, incoming: StreamingResponse) -> HttpResponse:
        """Return the whole response, a large one with content in `spooled`. Raises as `StreamingResponse.chunks`."""
        spooled = SpooledContent(self._folder)
        try:
            async with aclosing(incoming.chunks()) as chunks:
                async for chunk in chunks:
                    await spooled.write(chunk)
        except BaseException:
            spooled.close()
            raise
        if spooled.size > SMALL_BYTES:
            return HttpResponse(incoming.status, incoming.headers, b"", spooled)
        return HttpResponse(incoming.status, incoming.headers, await spooled.read())

    @asynccontextmanager
    async def load(self, response: HttpResponse, tenant: str) -> AsyncIterator[HttpResponse]:
        """Yield a response with its content, once there is memory for it; the memory is reserved within the block."""
        if response.spooled is None:
            yield response
            return
        try:
            async with self._bytes.hold(tenant, _COPIES * response.spooled.size):
                yield replace(response, content=await response.spooled.read(), spooled=None)
        finally:
            response.spooled.close()
