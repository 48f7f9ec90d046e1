"""Previews of stored images, small enough for a chat."""

from __future__ import annotations

from functools import partial

from imagegateway.media import images
from imagegateway.media.decoding import DecodeBudget, decoding_cost
from imagegateway.platform.errors import GatewayError


class Previews:
    """Maker of previews within a budget of decoded pixels."""

    def __init__(self, pixels: int) -> None:
        self._budget = DecodeBudget(pixels)

    async def make(self, data: bytes, max_bytes: int) -> bytes | None:
        """Return an image as JPEG of at most `max_bytes`, or None for one that can't be decoded."""
        try:
            info = images.inspect(data, "image", images.RESULT_TYPES)
        except GatewayError:
            return None
        cost = decoding_cost(info.width, info.height, len(data), info.media_type)
        async with self._budget.admit(cost):
            return await self._budget.run(partial(images.preview, data, max_bytes))
