"""Key ring: the API keys in the memory of this process."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from imagegateway.keys.api_keys import (
    BUCKET,
    RevokedKeyError,
    current_records,
    decode,
    fingerprint,
    revoked_records,
    with_policy_of,
)
from imagegateway.platform.ended_waits import EndedWaits
from imagegateway.platform.kv_mirror import Follower

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from imagegateway.keys.api_keys import ApiKey
    from imagegateway.keys.operator_tokens import OperatorTokens
    from imagegateway.platform.ended_waits import EndedWait
    from imagegateway.platform.supervision import Supervisor
    from nats.js import JetStreamContext

_REFRESH_SECONDS: Final = 0.5
"""Shortest time between refreshes for unknown keys."""


def _note_nothing(_key_id: str) -> None:
    pass


class KeyRing:
    """Keys by their secrets, from a follower of the bucket. `clock` returns Unix seconds.

    Without a connection to NATS, the last known keys remain in use.
    """

    def __init__(
        self,
        js: JetStreamContext,
        clock: Callable[[], float] = time.time,
        note_use: Callable[[str], None] = _note_nothing,
        tokens: OperatorTokens | None = None,
    ) -> None:
        """`note_use` is called with the id of each stored key that a call uses. `tokens`: reader of other keys."""
        self._follower = Follower(js, BUCKET, decode, self._on_change)
        self._clock = clock
        self._note_use = note_use
        self._tokens = tokens
        self._secrets: dict[str, ApiKey] = {}
        """Keys that are not revoked, by the fingerprint of each of their secrets."""
        self._known: frozenset[str] = frozenset()
        """Fingerprints of all records, also of revoked keys."""
        self._keys: dict[str, ApiKey] = {}
        self._revoked: dict[str, ApiKey] = {}
        self._adopted: tuple[ApiKey, ...] = ()
        self._tenants: set[str] = set()
        self._waits: defaultdict[str, EndedWaits] = defaultdict(EndedWaits)
        """Waits of calls, by the fingerprint of their secret."""
        self._refreshed_at = float("-inf")
        self._refreshing = asyncio.Lock()

    async def find(self, secret: str) -> ApiKey | None:
        """Return the key of a secret, with the policy of its newest secret. None: unknown or revoked.

        The key may have expired. An unknown secret causes a refresh from the bucket, so that a new key works at once.
        Refreshes are at least half a second apart, and concurrent callers share one.
        """
        if self._tokens and (operator := self._tokens.read(secret)):
            return operator
        digest = fingerprint(secret)
        if digest not in self._known:
            asked = time.monotonic()
            async with self._refreshing:
                if self._refreshed_at < asked:  # an earlier refresh may have missed the key
                    await asyncio.sleep(self._refreshed_at + _REFRESH_SECONDS - time.monotonic())
                    self._refreshed_at = time.monotonic()
                    await self._follower.refresh()
        return self._secrets.get(digest)

    def note_use(self, key: ApiKey) -> None:
        """Note that a call uses a key. Operator tokens are not stored, nor is their use."""
        if key.digest:
            self._note_use(key.id)

    def by_id(self, key_id: str) -> ApiKey | None:
        """Return the record of a key's newest secret; None for an unknown or revoked key."""
        return self._keys.get(key_id)

    def concurrent_jobs(self, key_id: str) -> int | None:
        """Return a key's limit of concurrent jobs, also of a revoked key, whose jobs go on. None: no limit."""
        record = self._keys.get(key_id) or self._revoked.get(key_id)
        return None if record is None else record.quota.concurrent_jobs

    def adopted(self) -> tuple[ApiKey, ...]:
        """Return the records of the secrets that gateways have adopted from their settings."""
        return self._adopted

    def is_shared(self) -> bool:
        """Return True when valid keys belong to more than one tenant."""
        return len(self._tenants) > 1

    def hold(self, key: ApiKey, error: Callable[[], Exception] = RevokedKeyError) -> EndedWait:
        """Return a context that ends when the key is revoked, deleted or replaced, or expires, and raises the error.

        Raises the error at once for a key that is no longer valid.
        """
        held = self._secrets.get(key.digest)
        if held is None or held.is_over(self._clock()):
            raise error()
        return self._waits[key.digest].wait(self._end(held), error)

    async def start(self, supervisor: Supervisor) -> None:
        """Read all keys, then follow changes. Raises nats.errors.Error or OSError."""
        await self._follower.start(supervisor)

    def _on_change(self, values: Mapping[str, ApiKey]) -> None:
        self._revoked = revoked_records(values.values())
        self._keys = current_records(values.values())
        self._secrets = {
            digest: with_policy_of(record, self._keys[record.id])
            for digest, record in values.items()
            if record.id in self._keys
        }
        self._adopted = tuple(record for record in values.values() if record.adopted_by and record.id in self._keys)
        self._known = frozenset(values)
        self._tenants = {key.tenant for key in self._keys.values()}
        for digest in list(self._waits):
            key = self._secrets.get(digest)
            if key is None:
                self._waits.pop(digest).end_at(asyncio.get_running_loop().time())
            else:
                self._waits[digest].end_at(self._end(key))

    def _end(self, key: ApiKey) -> float | None:
        """Return the event loop's time at which a secret ends; None: never."""
        if not key.ends_at:
            return None
        return asyncio.get_running_loop().time() + max(0.0, key.ends_at - self._clock())
