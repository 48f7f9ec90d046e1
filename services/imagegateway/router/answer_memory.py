"""The memory of answers with images in them: calls wait for room, and no tenant can have all of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from imagegateway.platform.tenant_slots import TenantSlots
from imagegateway.router.unrepeatable_errors import crowded

if TYPE_CHECKING:
    from collections.abc import Callable

    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.router.call_context import Call

WAIT_SECONDS: Final = 30.0
"""Longest that an answer waits for room."""
_PIECES: Final = 4 * 1024 * 1024
"""Bytes of the pieces of one answer that are on their way: 1 MiB in each of four copies."""
_MESSAGE_COPIES: Final = 3
"""Copies of an image in a gRPC answer: the message, its serialized bytes, and what is sent of them."""


class AnswerMemory:
    """Counts the bytes of images that stand in memory to be sent. A tenant may have half of `limit` bytes."""

    def __init__(self, limit: int, seconds: float = WAIT_SECONDS) -> None:
        self._bytes = TenantSlots(limit, limit // 2)
        self._seconds = seconds

    async def take(self, record: JobRecord, call: Call, size: int) -> Callable[[], None]:
        """Wait for the room that images of `size` bytes need in an answer, and return what gives the room back.

        Raises GatewayError OVERLOADED naming the job when there is no room within 30 s, INVALID_API_KEY.
        """
        cost = size + min(3 * size, _PIECES) if call.rest else _MESSAGE_COPIES * size
        async with call.authorized():
            try:
                async with asyncio.timeout(self._seconds):
                    return await self._bytes.take(record.tenant, cost)
            except TimeoutError:
                raise crowded(record) from None
