"""Readiness: small real writes to the parts that new work needs, repeated every few seconds."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from imagegateway.platform import logs
from imagegateway.platform.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    Check = Callable[[], Awaitable[None]]
    """Check that makes a small write. Raises UnavailableError."""

PERIOD: Final = 3.0
"""Seconds for which a result is valid."""
CHECK_SECONDS: Final = 6.0
"""Timeout of a check in seconds."""
OUTAGE_SECONDS: Final = 6.0
"""Seconds of unavailability from which a part has an outage: longer than a restart. Waiting calls then end."""
_log = logs.get(__name__)


class Readiness:
    """Last result of each part's check. `clock` returns monotonic seconds."""

    def __init__(self, checks: Mapping[str, Check], clock: Callable[[], float] = time.monotonic) -> None:
        self._checks = checks
        self._clock = clock
        self._checked_at: float | None = None
        self._unavailable_since: float | None = None
        self._outage = asyncio.Event()
        self._checking = asyncio.Lock()
        self.problems: dict[str, UnavailableError] = {}
        """Unavailable parts with their errors."""

    async def run(self) -> None:
        """Check all parts every `PERIOD` seconds, until cancelled."""
        while True:
            await asyncio.sleep(PERIOD)
            async with self._checking:
                await self._check_all()

    async def refresh(self) -> None:
        """Check all parts, unless a check is less than `PERIOD` seconds old."""
        async with self._checking:
            if self._checked_at is not None and self._clock() - self._checked_at < PERIOD:
                return
            await self._check_all()

    async def _check_all(self) -> None:
        results = await asyncio.gather(*(_result(name, check) for name, check in self._checks.items()))
        for name, error in zip(self._checks, results, strict=True):
            self._record(name, error)
        self._checked_at = self._clock()
        self._update_outage(self._checked_at)

    def _update_outage(self, now: float) -> None:
        if not self.problems:
            self._unavailable_since = None
            self._outage.clear()
            return
        self._unavailable_since = now if self._unavailable_since is None else self._unavailable_since
        if now - self._unavailable_since >= OUTAGE_SECONDS:
            self._outage.set()

    def require(self) -> None:
        """Raise the UnavailableError of an unavailable part, by the last results."""
        for error in self.problems.values():
            raise UnavailableError(str(error))

    async def outage(self) -> UnavailableError:
        """Wait until a part is unavailable for `OUTAGE_SECONDS`, and return its error."""
        await self._outage.wait()
        return next(iter(self.problems.values()))

    def has_outage(self) -> bool:
        """Return True when a part is unavailable for `OUTAGE_SECONDS` or longer."""
        return self._outage.is_set()

    def _record(self, name: str, error: UnavailableError | None) -> None:
        before = self.problems.pop(name, None)
        if error is None:
            if before:
                _log.info("part_available", part=name)
            return
        self.problems[name] = error
        if before is None or str(before) != str(error):
            _log.error("part_unavailable", part=name, reason=str(error), exc_info=error)


async def _result(name: str, check: Check) -> UnavailableError | None:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await check()
    except TimeoutError:
        return UnavailableError(f"the {name.replace('-', ' ')} does not answer in time")
    except UnavailableError as error:
        return error
    return None
