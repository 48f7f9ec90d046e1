"""Readiness: small real writes to the parts that new work needs, repeated every few seconds."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from imagegateway.platform import logs
from imagegateway.platform.ended_waits import EndedWaits
from imagegateway.platform.errors import ElectionError, UnansweredError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from imagegateway.platform.ended_waits import EndedWait

    Check = Callable[[], Awaitable[None]]
    """Check that makes a small write. Raises UnavailableError."""

PERIOD: Final = 3.0
"""Seconds for which a result is valid."""
CHECK_SECONDS: Final = 6.0
"""Timeout of a check in seconds."""
OUTAGE_SECONDS: Final = 10.0
"""Seconds of unavailability from which a part has an outage: longer than a restart. Waiting calls then end."""
ELECTION_SECONDS: Final = 25.0
"""Seconds from which the job store has an outage while its NATS servers can be reached, and do not answer.

The time outlasts two elections of a leader in a row: the servers replace a silent leader after 4 to 9 s, and its
return may cause the second election."""
_log = logs.get(__name__)


class Readiness:
    """Last result of each part's check. `clock` returns monotonic seconds. `outage` is set during an outage."""

    def __init__(
        self,
        checks: Mapping[str, Check],
        clock: Callable[[], float] = time.monotonic,
        outage: asyncio.Event | None = None,
    ) -> None:
        self._checks = checks
        self._clock = clock
        self._checked_at: float | None = None
        self._unavailable_since: float | None = None
        self._lost_since: float | None = None
        """Time from which a part is unavailable for another reason than an election."""
        self._outage = outage or asyncio.Event()
        self._checking = asyncio.Lock()
        self._waits = EndedWaits()
        """Waits that an outage ends."""
        self.problems: dict[str, UnavailableError] = {}
        """Unavailable parts with their errors."""

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of all parts."""
        return tuple(self._checks)

    async def serves(self, part: str) -> bool:
        """Return whether a part lets new work through, by the last results."""
        return not self._refuses(part)

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
            self._outage.clear()
        is_lost = any(not isinstance(error, ElectionError) for error in self.problems.values())
        self._unavailable_since = _since(self._unavailable_since, now) if self.problems else None
        self._lost_since = _since(self._lost_since, now) if is_lost else None
        if _has_passed(self._unavailable_since, ELECTION_SECONDS, now) or _has_passed(
            self._lost_since, OUTAGE_SECONDS, now
        ):
            self._outage.set()
            self._waits.end_at(asyncio.get_running_loop().time())

    def require(self) -> None:
        """Raise the UnavailableError of a part that refuses work by the last results, or has an outage.

        New work waits for a part that does not answer.
        """
        for part, error in self.problems.items():
            if self._refuses(part):
                raise UnavailableError(str(error))

    def _refuses(self, part: str) -> bool:
        error = self.problems.get(part)
        return error is not None and (self.has_outage() or not isinstance(error, UnansweredError))

    def unless_outage(self) -> EndedWait:
        """Return a context that ends in an outage, and raises its UnavailableError."""
        return self._waits.wait(0 if self.has_outage() else None, self._lasting_error)

    def _lasting_error(self) -> UnavailableError:
        return UnavailableError(str(next(iter(self.problems.values()), "a part was unavailable")))

    async def outage(self) -> UnavailableError:
        """Wait until a part has an outage, and return its error."""
        await self._outage.wait()
        return next(iter(self.problems.values()))

    def has_outage(self) -> bool:
        """Return True when a part is unavailable for too long for calls to wait."""
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


def _since(before: float | None, now: float) -> float:
    return now if before is None else before


def _has_passed(since: float | None, seconds: float, now: float) -> bool:
    return since is not None and now - since >= seconds


async def _result(name: str, check: Check) -> UnavailableError | None:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await check()
    except TimeoutError:
        return UnansweredError(f"the {name.replace('-', ' ')} does not answer in time")
    except UnavailableError as error:
        return error
    return None
