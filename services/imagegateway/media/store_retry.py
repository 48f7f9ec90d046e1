"""Retries of store operations, so that an outage of the media store loses no paid results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from imagegateway.media.store import StoreUnavailable
from imagegateway.platform import backoff, logs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

INPUT_SECONDS: Final = 60.0
"""Wait of a submission for its input images, before the provider is paid."""
RESULT_SECONDS: Final = 900.0
"""Wait of a submission for the storage of its results, which are paid for and exist only in memory."""
POLL_SECONDS: Final = 10.0
"""Wait of a poll: the next poll makes or fetches the results again."""
POLL_PAUSE: Final = 2.0
"""Seconds until the next poll."""

_log = logs.get(__name__)


async def retry_until_available(
    operation: Callable[[], Awaitable[T]], *, seconds: float, sleep: Callable[[float], Any]
) -> T:
    """Run a store operation until it succeeds, with exponential backoff.

    Raises StoreUnavailable when the pauses add up to `seconds`.
    """
    pauses, waited = backoff.pauses(), 0.0
    while True:
        try:
            return await operation()
        except (StoreUnavailable, OSError) as error:
            if waited >= seconds:
                raise StoreUnavailable("the media store stayed unavailable") from error
            _log.warning("media_store_unavailable", waited_seconds=round(waited, 1), error=repr(error)[:200])
        pause = min(next(pauses), seconds - waited)
        await sleep(pause)
        waited += pause
