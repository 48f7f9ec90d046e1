"""Sweeper: deletes expired media."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from imagegateway.media.store import StoreError
from imagegateway.platform import logs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from imagegateway.media.store import MediaStore

PERIOD: Final = 3600.0
"""Seconds between sweeps."""
_log = logs.get(__name__)


async def sweep_forever(store: MediaStore, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
    """Sweep now and every hour, until cancelled. A failed sweep is repeated in the next hour."""
    while True:
        try:
            count = await store.sweep()
        except StoreError:
            _log.warning("media_sweep_failed", exc_info=True)
        else:
            _log.info("media_swept", objects=count)
        await sleep(PERIOD)
