"""Route pauses: all calls with one key of a route wait for the time that the provider requests."""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class RoutePauses:
    """Pauses by route and key. A key is held as a fingerprint, and only during its pause."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` returns seconds."""
        self._clock = clock
        self._salt = secrets.token_bytes(16)
        self._until: dict[tuple[str, bytes], float] = {}

    def __len__(self) -> int:
        """Return the number of pauses that are held."""
        return len(self._until)

    def remaining(self, route: str, key: str) -> float:
        """Return the seconds until calls may go on; 0 or less: now."""
        return self._until.get(self._entry(route, key), 0.0) - self._clock()

    def extend(self, route: str, key: str, seconds: float) -> None:
        """Pause calls for at least `seconds` from now, and delete the pauses that are over."""
        now, entry = self._clock(), self._entry(route, key)
        until = max(self._until.get(entry, 0.0), now + seconds)
        self._until = {known: end for known, end in self._until.items() if end > now}
        self._until[entry] = until

    def _entry(self, route: str, key: str) -> tuple[str, bytes]:
        return route, hashlib.blake2b(key.encode(), key=self._salt, digest_size=16).digest()
