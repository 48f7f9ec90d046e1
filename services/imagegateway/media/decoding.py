"""Admission control for image decoding: bounds the pixels that a process holds decoded at once."""

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
"""Pause before a call that was refused may come again."""
_BYTES_PER_PIXEL: Final = 4
"""Bytes of an encoded file that count as one pixel: a small image may come in a large file."""
_WEBP_WEIGHT: Final = 2
"""libwebp's decoder holds two canvases beside the pixels: 17 bytes a pixel where PNG takes 6 to 9."""

T = TypeVar("T")


def decoding_cost(width: int, height: int, size: int, media_type: str) -> int:
    """Return the pixels that decoding a file of `size` bytes takes from the budget."""
    weight = _WEBP_WEIGHT if media_type == "image/webp" else 1
    return weight * width * height + size // _BYTES_PER_PIXEL


class DecodeGate:
    """A budget of pixels, shared between tenants in turn. Its threads do the decoding, one for each core.

    An image that costs more than the whole budget counts as the whole budget: it is decoded alone.
    """

    def __init__(self, pixels: int) -> None:
        self._pixels = TenantSlots(pixels, pixels)
        self._threads = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="decode")

    @asynccontextmanager
    async def admit(self, cost: int, *, tenant: str = "", seconds: float | None = None) -> AsyncIterator[None]:
        """Hold `cost` of the budget within the block, which may read the file and call `run`.

        Raises GatewayError OVERLOADED when no room comes up within `seconds`; None waits without limit.
        """
        try:
            async with asyncio.timeout(seconds):
                give_back = await self._pixels.acquire(tenant, cost)
        except TimeoutError:
            raise _overloaded() from None
        try:
            yield
        finally:
            give_back()

    async def run(self, work: Callable[[], T]) -> T:
        """Run `work` in one of the gate's threads. A cancelled caller goes on only when the thread has ended."""
        return await run_to_end(asyncio.get_running_loop().run_in_executor(self._threads, work))


def _overloaded() -> GatewayError:
    return GatewayError(
        ErrorReason.ERROR_REASON_OVERLOADED,
        "The gateway is decoding as many images as it can hold.",
        retry_after=RETRY_SECONDS,
    )
