"""Waits out a media store that is away, so that bytes which are paid for are not lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from imagegateway.media.store import StoreUnavailable
from imagegateway.platform import backoff, logs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

INPUT_SECONDS: Final = 60.0
"""How long a start waits for the inputs, before anything is paid."""
RESULT_SECONDS: Final = 900.0
"""How long a start waits for the store to take its results, which are paid for and nowhere else."""
POLL_SECONDS: Final = 10.0
"""How long a poll does: the next one makes or fetches the results again."""
POLL_PAUSE: Final = 2.0
"""Seconds until then."""

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
                raise StoreUnavailable("the media store stayed away") from error
            _log.warning("media_store_away", waited_seconds=round(waited, 1), error=repr(error)[:200])
        pause = min(next(pauses), seconds - waited)
        await sleep(pause)
        waited += pause
