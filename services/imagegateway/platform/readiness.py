"""Readiness: real small writes to the parts that new work needs, repeated every few seconds."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from imagegateway.platform import logs
from imagegateway.platform.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    Check = Callable[[], Awaitable[None]]
    """Makes a small write. Raises UnavailableError."""

PERIOD: Final = 3.0
"""Seconds that a result counts for."""
CHECK_SECONDS: Final = 6.0
"""Longest that a check may take."""
LASTING_SECONDS: Final = 6.0
"""From here on trouble is no restart any more: calls that wait for their images are answered."""
_log = logs.get(__name__)


class Readiness:
    """The last result of each part's check. `clock` gives monotonic seconds."""

    def __init__(self, checks: Mapping[str, Check], clock: Callable[[], float] = time.monotonic) -> None:
        self._checks = checks
        self._clock = clock
        self._looked: float | None = None
        self._since: float | None = None
        self._lasting = asyncio.Event()
        self._looking = asyncio.Lock()
        self.problems: dict[str, UnavailableError] = {}
        """The parts that do not serve, and why."""

    async def run(self) -> None:
        """Check all parts every `PERIOD` seconds, without end."""
        while True:
            await asyncio.sleep(PERIOD)
            async with self._looking:
                await self._look()

    async def refresh(self) -> None:
        """Check all parts, unless that was done in the last `PERIOD` seconds."""
        async with self._looking:
            if self._looked is not None and self._clock() - self._looked < PERIOD:
                return
            await self._look()

    async def _look(self) -> None:
        results = await asyncio.gather(*(_result(name, check) for name, check in self._checks.items()))
        for name, error in zip(self._checks, results, strict=True):
            self._note(name, error)
        self._looked = self._clock()
        self._measure(self._looked)

    def _measure(self, now: float) -> None:
        if not self.problems:
            self._since = None
            self._lasting.clear()
            return
        self._since = now if self._since is None else self._since
        if now - self._since >= LASTING_SECONDS:
            self._lasting.set()

    def require(self) -> None:
        """Raise the UnavailableError of a part that does not serve, by the last results."""
        for error in self.problems.values():
            raise UnavailableError(str(error))

    async def trouble(self) -> UnavailableError:
        """Wait until a part has not served for `LASTING_SECONDS`, and return why."""
        await self._lasting.wait()
        return next(iter(self.problems.values()))

    def in_trouble(self) -> bool:
        """Return whether a part has not served for `LASTING_SECONDS`."""
        return self._lasting.is_set()

    def _note(self, name: str, error: UnavailableError | None) -> None:
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
