"""Response memory: limits the memory of images in responses, in all and for each tenant."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from imagegateway.platform.tenant_slots import TenantSlots
from imagegateway.router.job_errors import response_memory_exhausted

if TYPE_CHECKING:
    from collections.abc import Callable

    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.router.call_context import Call

WAIT_SECONDS: Final = 30.0
"""Timeout of the wait for memory, in seconds."""
_PIECES: Final = 4 * 1024 * 1024
"""Memory of the pieces of one response in transit: 1 MiB in each of four copies."""
_MESSAGE_COPIES: Final = 3
"""Copies of an image in a gRPC response: the message, its serialized bytes, and the bytes being sent."""


class ResponseMemory:
    """Limit of the images in responses of this process: `limit` bytes in all, half of them for one tenant."""

    def __init__(self, limit: int, seconds: float = WAIT_SECONDS) -> None:
        self._bytes = TenantSlots(limit, limit // 2)
        self._seconds = seconds

    async def reserve(self, record: JobRecord, call: Call, size: int) -> Callable[[], None]:
        """Wait for the memory of images of `size` bytes, and return the function that releases it.

        Raises GatewayError: OVERLOADED naming the job after 30 s, INVALID_API_KEY.
        """
        cost = size + min(3 * size, _PIECES) if call.rest else _MESSAGE_COPIES * size
        async with call.key_guard():
            try:
                async with asyncio.timeout(self._seconds):
                    return await self._bytes.acquire(record.tenant, cost)
            except TimeoutError:
                raise response_memory_exhausted(record.id) from None
