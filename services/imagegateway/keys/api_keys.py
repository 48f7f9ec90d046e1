"""API keys: random, shown once, stored as a hash in a JetStream bucket that every replica follows.

Created keys carry a tag (`key_tags`), by which Envoy refuses keys of other origin.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import time
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Final

from imagegateway.keys import key_tags
from imagegateway.platform import logs
from imagegateway.platform.kv_mirror import Follower, snapshot
from imagegateway.platform.nats import bucket
from imagegateway.platform.stored_values import Decoder, StoredObject
from nats.js.errors import BadRequestError, KeyNotFoundError, KeyWrongLastSequenceError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from imagegateway.keys.root_secret import RootSecret
    from imagegateway.platform.supervision import Supervisor
    from nats.aio.client import Client
    from nats.js import JetStreamContext
    from nats.js.kv import KeyValue

BUCKET: Final = "api_keys"
API_KEY_NAME: Final = "IMAGEGATEWAY_API_KEY"
"""Name of a key that a gateway adopts from its settings."""
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_REFRESH_SECONDS: Final = 0.5
"""Shortest time between refreshes for unknown keys."""
_WRONG_SEQUENCE: Final = frozenset({10071, 10164})
_log = logs.get(__name__)


MAX_TENANT: Final = 100
"""Longest name of a tenant, in characters."""
MAX_NOTE: Final = 200
"""Longest name of a key, and longest default Prefer header, in characters."""


class RevokedKeyError(Exception):
    """The key is revoked: it can't be adopted again, and its running calls end."""


@dataclass(frozen=True, slots=True)
class Key:
    """Record of a key. `id` is the first 12 hex digits of the hash: enough as a name, useless for guesses."""

    id: str
    tenant: str
    name: str
    created_at: int
    """Unix seconds."""
    prefer: str = ""
    revoked_at: int = 0
    """Unix seconds; 0: valid. The record of a revoked key remains, so no later start adopts the key again."""
    adopted_by: tuple[str, ...] = ()
    """Gateways whose setting contains the key. Empty for a created key."""
    session_of: str = ""
    """Gateway whose run the key belongs to, and ends with. Empty for a lasting key."""
    root: str = ""
    """Key id of the tag's root secret. Empty for an adopted key, which has no tag."""


def fingerprint(secret: str) -> str:
    """Return the SHA-256 of a key as 64 hex digits. Keys are random, so a slow hash adds nothing."""
    return hashlib.sha256(secret.encode()).hexdigest()


def check_tenant(tenant: str) -> None:
    """Raise ValueError for a malformed tenant name."""
    if not tenant:
        raise ValueError("the tenant must not be empty")
    _check_line("tenant", tenant, MAX_TENANT)


def _check_line(field: str, text: str, longest: int) -> None:
    """Raise ValueError for a text that is too long, not printable, or has blanks around it."""
    if len(text) > longest:
        raise ValueError(f"the {field} must have at most {longest} characters, not {len(text)}")
    if not text.isprintable() or text != text.strip():
        raise ValueError(f"the {field} must be one line of printable characters, without a blank at either end")


class KeyStore:
    """Administration of API keys. `root` tags new keys."""

    def __init__(self, js: JetStreamContext, kv: KeyValue, root: RootSecret) -> None:
        self._js = js
        self._kv = kv
        self._root = root

    @classmethod
    async def open(cls, client: Client, replicas: int, root: RootSecret) -> KeyStore:
        """Open the bucket. Raises nats.errors.Error without a connection to JetStream."""
        js = client.jetstream()
        return cls(js, await bucket(js, BUCKET, replicas), root)

    async def create(self, tenant: str, name: str = "", prefer: str = "", *, session_of: str = "") -> tuple[str, Key]:
        """Create a key, and return its secret, which is not stored, and its record.

        Raises ValueError for a tenant, name or default Prefer header that is no short line of text.
        """
        check_tenant(tenant)
        _check_line("name", name, MAX_NOTE)
        _check_line("default Prefer header", prefer, MAX_NOTE)
        secret = key_tags.make_secret(self._root)
        digest = fingerprint(secret)
        key = replace(_new(digest, tenant, name), prefer=prefer, session_of=session_of, root=self._root.id)
        await self._kv.put(digest, _encode(key))
        return secret, key

    async def adopt(self, secret: str, gateway: str) -> Key:
        """Accept the secret in a gateway's settings, and release the key that the gateway adopted before.

        A released key stays valid while other gateways have adopted it. Idempotent. Raises RevokedKeyError for a
        revoked key.
        """
        chosen = fingerprint(secret)

        def accept(key: Key | None) -> Key | None:
            if key is None:
                return replace(_new(chosen, "default", API_KEY_NAME), adopted_by=(gateway,))
            if key.revoked_at or not key.adopted_by or gateway in key.adopted_by:
                return key  # revoked, created, or adopted already
            return replace(key, adopted_by=(*key.adopted_by, gateway))

        def release(key: Key | None) -> Key | None:
            if key is None or gateway not in key.adopted_by:
                return key
            left = tuple(other for other in key.adopted_by if other != gateway)
            return replace(key, adopted_by=left) if left else None

        adopted = await self._change(chosen, accept)
        if adopted is None or adopted.revoked_at:
            raise RevokedKeyError
        for digest, key in (await self._all()).items():
            if digest != chosen and gateway in key.adopted_by and not key.revoked_at:
                await self._change(digest, release)
                _log.info("adopted_key_replaced", key_id=key.id, by=adopted.id)
        return adopted

    async def list(self) -> list[Key]:
        """Return all valid keys, oldest first."""
        keys = (key for key in (await self._all()).values() if not key.revoked_at)
        return sorted(keys, key=lambda key: (key.created_at, key.id))

    async def list_with_previous_roots(self) -> tuple[Key, ...]:
        """Return the valid keys whose tags need a previous root secret, oldest first."""
        return tuple(key for key in await self.list() if key.root not in {"", self._root.id})

    async def revoke(self, key_id: str) -> Key | None:
        """Revoke a key by its id, and return it. None: no valid key has this id."""
        for digest, found in (await self._all()).items():
            if found.id == key_id and not found.revoked_at:
                return await self._change(digest, lambda key: key and replace(key, revoked_at=int(time.time())))
        return None

    async def delete_session_keys(self, gateway: str) -> None:
        """Delete the keys of a gateway's runs."""
        for digest, key in (await self._all()).items():
            if key.session_of == gateway:
                await self._kv.delete(digest)

    async def _all(self) -> dict[str, Key]:
        decoder, found = Decoder(BUCKET), {}
        for digest, value in (await snapshot(self._js, BUCKET)).items():
            key = decoder.decode(digest, value, _read)
            if key is not None:
                found[digest] = key
        return found

    async def _change(self, digest: str, change: Callable[[Key | None], Key | None]) -> Key | None:
        """Replace a key by `change(key)`, with compare-and-set. None deletes the key, an unreadable value is None."""
        while True:
            try:
                entry = await self._kv.get(digest)
            except KeyNotFoundError as error:
                value, revision = None, (error.entry.revision or 0) if error.entry else 0
            else:
                value, revision = entry.value or b"", entry.revision or 0
            before = None if value is None else Decoder(BUCKET).decode(digest, value, _read)
            after = change(before)
            if after == before:
                return after
            try:
                if after is None:
                    await self._kv.delete(digest, last=revision)
                else:
                    await self._kv.update(digest, _encode(after), last=revision)
            except KeyWrongLastSequenceError:
                continue
            except BadRequestError as error:  # a refused deletion has no error class
                if error.err_code not in _WRONG_SEQUENCE:
                    raise
                continue
            return after


def _new(digest: str, tenant: str, name: str) -> Key:
    return Key(id=digest[:12], tenant=tenant, name=name, created_at=int(time.time()))


def _encode(key: Key) -> bytes:
    return json.dumps(asdict(key)).encode()


def _read(digest: str, value: bytes) -> Key:
    """Return a stored key. Raises ValueError for a malformed one."""
    if not _DIGEST.fullmatch(digest):
        raise ValueError("no fingerprint")
    data = StoredObject(value)
    return Key(
        id=digest[:12],
        tenant=data.text("tenant"),
        name=data.text("name", ""),
        created_at=data.integer("created_at", 0),
        prefer=data.text("prefer", ""),
        revoked_at=data.integer("revoked_at", 0),
        adopted_by=data.texts("adopted_by"),
        session_of=data.text("session_of", ""),
        root=data.text("root", ""),
    )


class KeyRing:
    """Keys in the memory of this process, by a follower of the bucket.

    Without a connection to NATS, the last known keys remain in use.
    """

    def __init__(self, js: JetStreamContext) -> None:
        self._follower = Follower(js, BUCKET, _read, self._on_change)
        self._keys: dict[str, Key] = {}
        self._tenants: set[str] = set()
        self._valid: frozenset[str] = frozenset()
        self._holds: dict[str, set[asyncio.Timeout]] = {}
        self._refreshed_at = float("-inf")
        self._refreshing = asyncio.Lock()

    async def find(self, secret: str) -> Key | None:
        """Return the key of a secret. None: unknown or revoked.

        An unknown secret causes a refresh from the bucket, so that a new key works at once. Refreshes are at least
        half a second apart, and concurrent callers share one.
        """
        digest = fingerprint(secret)
        if digest not in self._keys:
            asked = time.monotonic()
            async with self._refreshing:
                if self._refreshed_at < asked:  # an earlier refresh may have missed the key
                    await asyncio.sleep(self._refreshed_at + _REFRESH_SECONDS - time.monotonic())
                    self._refreshed_at = time.monotonic()
                    await self._follower.refresh()
        key = self._keys.get(digest)
        return None if key is None or key.revoked_at else key

    def is_shared(self) -> bool:
        """Return True when valid keys belong to more than one tenant."""
        return len(self._tenants) > 1

    @asynccontextmanager
    async def hold(self, key: Key) -> AsyncIterator[None]:
        """Cancel the body and raise RevokedKeyError when the key is revoked, deleted or replaced.

        The body must run in one task, without a yield.
        """
        if key.id not in self._valid:
            raise RevokedKeyError
        holds = self._holds.setdefault(key.id, set())
        limit = asyncio.timeout(None)
        try:
            async with limit:
                holds.add(limit)
                try:
                    yield
                finally:
                    holds.discard(limit)
                    if not holds and self._holds.get(key.id) is holds:
                        del self._holds[key.id]
        except TimeoutError:
            if not limit.expired():
                raise
            raise RevokedKeyError from None

    async def start(self, supervisor: Supervisor) -> None:
        """Read all keys, then follow changes. Raises nats.errors.Error or OSError."""
        await self._follower.start(supervisor)

    def _on_change(self, values: Mapping[str, Key]) -> None:
        self._keys = dict(values)
        self._tenants = {key.tenant for key in values.values() if not key.revoked_at}
        self._valid = frozenset(key.id for key in self._keys.values() if not key.revoked_at)
        now = asyncio.get_running_loop().time()
        for key_id in self._holds.keys() - self._valid:
            for limit in self._holds.pop(key_id):
                limit.reschedule(now)
