"""API keys: random, shown once, stored only as a hash, in a JetStream bucket that every replica watches."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import secrets
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from nats.js.errors import KeyNotFoundError

from services.common.following import Follower, snapshot
from services.common.nats import bucket

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nats.aio.client import Client
    from nats.js import JetStreamContext
    from nats.js.kv import KeyValue

BUCKET: Final = "api_keys"
_PREFIX: Final = "igw_"
_UNKNOWN_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of a key. `id` is the first 12 hex digits of its hash: enough to name it, useless to guess it."""

    id: str
    tenant: str
    name: str
    created_at: int
    prefer: str = ""


def fingerprint(secret: str) -> str:
    """SHA-256 of a key, 64 hex digits: keys are random, so a slow hash would add nothing."""
    return hashlib.sha256(secret.encode()).hexdigest()


class KeyStore:
    """Makes, lists and revokes keys. One per process that administers keys."""

    def __init__(self, js: JetStreamContext, kv: KeyValue) -> None:
        self._js = js
        self._kv = kv

    @classmethod
    async def open(cls, client: Client, replicas: int) -> KeyStore:
        """Raises nats.errors.Error when JetStream can't be reached."""
        js = client.jetstream()
        return cls(js, await bucket(js, BUCKET, replicas))

    async def create(self, tenant: str, name: str = "", prefer: str = "") -> tuple[str, Key]:
        """Make a key; the secret is in the answer and nowhere else."""
        secret = _PREFIX + secrets.token_urlsafe(32)
        return secret, await self._put(secret, tenant, name, prefer)

    async def adopt(self, secret: str, tenant: str, name: str) -> Key:
        """Accept a secret that the operator chose. Harmless to repeat."""
        digest = fingerprint(secret)
        with contextlib.suppress(KeyNotFoundError):
            entry = await self._kv.get(digest)
            return _read(digest, entry.value or b"{}")
        return await self._put(secret, tenant, name, "")

    async def list(self) -> list[Key]:
        """All keys, oldest first."""
        keys = (_read(digest, value) for digest, value in (await snapshot(self._js, BUCKET)).items())
        return sorted(keys, key=lambda key: (key.created_at, key.id))

    async def revoke(self, key_id: str) -> Key | None:
        """Forget a key by its id; None when there is none of that id."""
        for digest, value in (await snapshot(self._js, BUCKET)).items():
            key = _read(digest, value)
            if key.id == key_id:
                await self._kv.delete(digest)
                return key
        return None

    async def _put(self, secret: str, tenant: str, name: str, prefer: str) -> Key:
        digest = fingerprint(secret)
        key = Key(id=digest[:12], tenant=tenant, name=name, created_at=int(time.time()), prefer=prefer)
        await self._kv.put(digest, json.dumps(asdict(key)).encode())
        return key


def _read(digest: str, value: bytes) -> Key:
    data: Mapping[str, str] = json.loads(value)
    return Key(
        id=digest[:12],
        tenant=data["tenant"],
        name=data.get("name", ""),
        created_at=int(data.get("created_at", 0)),
        prefer=data.get("prefer", ""),
    )


class KeyRing:
    """This process's view of the keys: follows the bucket, answers from memory.

    While NATS can't be reached the last view serves on.
    """

    def __init__(self, js: JetStreamContext) -> None:
        self._follower = Follower(js, BUCKET, self._took)
        self._keys: dict[str, Key] = {}
        self._looked = float("-inf")
        self._looking = asyncio.Lock()

    async def find(self, secret: str) -> Key | None:
        """The key of a secret; None when it is unknown or revoked.

        An unknown one is looked for in the bucket, so that a new key serves at once; guessers cause one such
        look in half a second at most, for which all of them wait.
        """
        digest = fingerprint(secret)
        if digest not in self._keys:
            asked = time.monotonic()
            async with self._looking:
                if self._looked < asked:  # no look has begun since: an earlier one may have missed the key
                    await asyncio.sleep(self._looked + _UNKNOWN_SECONDS - time.monotonic())
                    self._looked = time.monotonic()
                    await self._follower.refresh()
        return self._keys.get(digest)

    async def start(self) -> None:
        """Read all keys, then follow changes. Raises nats.errors.Error or OSError."""
        await self._follower.start()

    async def close(self) -> None:
        await self._follower.close()

    def _took(self, values: Mapping[str, bytes]) -> None:
        self._keys = {digest: _read(digest, value) for digest, value in values.items()}
