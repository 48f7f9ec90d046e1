"""Admission control for image decoding: a limit on the decoded pixels in a process."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, TypeVar

from imagegateway.platform.cancellation import run_to_end
from imagegateway.platform.errors import GatewayError
from imagegateway.platform.tenant_slots import TenantSlots
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

RETRY_SECONDS: Final = 5.0
"""`Retry-After` of a refused call, in seconds."""
_BYTES_PER_PIXEL: Final = 4
"""Bytes of an encoded file that count as one pixel: a large file may contain a small image."""
_WEBP_WEIGHT: Final = 2
"""Weight of a WebP pixel: libwebp holds two canvases beside the pixels, 17 bytes a pixel against PNG's 6 to 9."""

T = TypeVar("T")


def decoding_cost(width: int, height: int, size: int, media_type: str) -> int:
    """Return the cost of decoding a file of `size` bytes, in pixels of the budget."""
    weight = _WEBP_WEIGHT if media_type == "image/webp" else 1
    return weight * width * height + size // _BYTES_PER_PIXEL


class DecodeBudget:
    """Pixel budget, fair between tenants, with one decoding thread per core.

    An image that costs more than the budget counts as the whole budget: it is decoded alone.
    """

    def __init__(self, pixels: int) -> None:
        self._pixels = TenantSlots(pixels, pixels)
        self._threads = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="decode")

    @asynccontextmanager
    async def admit(self, cost: int, *, tenant: str = "", seconds: float | None = None) -> AsyncIterator[None]:
        """Hold `cost` of the budget within the block, which may read the file and call `run`.

        Raises GatewayError OVERLOADED without room for `seconds`. None waits without limit.
        """
        try:
            async with asyncio.timeout(seconds):
                release = await self._pixels.acquire(tenant, cost)
        except TimeoutError:
            raise _overloaded() from None
        try:
            yield
        finally:
            release()

    async def run(self, work: Callable[[], T]) -> T:
        """Run `work` in a decoding thread. A cancelled caller waits for the thread."""
        return await run_to_end(asyncio.get_running_loop().run_in_executor(self._threads, work))


def _overloaded() -> GatewayError:
    return GatewayError(
        ErrorReason.ERROR_REASON_OVERLOADED,
        "The gateway is decoding as many images as it can hold.",
        retry_after=RETRY_SECONDS,
    )
