"""API keys: random, shown once, stored only as a hash, in a JetStream bucket that every replica watches.

Keys that are made here carry a tag (`key_tags`), by which Envoy refuses strangers.
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
"""Name of the key that a gateway adopts from its settings."""
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_UNKNOWN_SECONDS: Final = 0.5
_WRONG_SEQUENCE: Final = frozenset({10071, 10164})
_log = logs.get(__name__)


MAX_TENANT: Final = 100
"""Characters of a tenant's name."""
MAX_NOTE: Final = 200
"""Characters of a key's name, and of its default Prefer header."""


class RevokedKeyError(Exception):
    """A key was revoked: it can't be adopted again, and ends what it has begun."""


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of a key. `id` is the first 12 hex digits of its hash: enough to name it, useless to guess it."""

    id: str
    tenant: str
    name: str
    created_at: int
    """Unix seconds."""
    prefer: str = ""
    revoked_at: int = 0
    """Unix seconds; 0: it is valid. A revoked key stays on record, so that no later start adopts it again."""
    adopted_by: tuple[str, ...] = ()
    """Gateways whose setting holds this key; empty for a key that was made by a command."""
    session_of: str = ""
    """The gateway whose run this key was made for, and ends with; empty for a lasting key."""
    root: str = ""
    """Key id of the root secret that its tag was made with; empty for an adopted key, which has none."""


def fingerprint(secret: str) -> str:
    """SHA-256 of a key, 64 hex digits: keys are random, so a slow hash would add nothing."""
    return hashlib.sha256(secret.encode()).hexdigest()


def check_tenant(tenant: str) -> None:
    """Raise ValueError for what can't name a tenant."""
    if not tenant:
        raise ValueError("the tenant must not be empty")
    _check_line("tenant", tenant, MAX_TENANT)


def _check_line(what: str, text: str, longest: int) -> None:
    """Raise ValueError for a text that is long, has several lines, control characters or blanks around it."""
    if len(text) > longest:
        raise ValueError(f"the {what} must have at most {longest} characters, not {len(text)}")
    if not text.isprintable() or text != text.strip():
        raise ValueError(f"the {what} must be one line of printable characters, without a blank at either end")


class KeyStore:
    """Makes, lists and revokes keys. One per process that administers keys. `root` tags new keys."""

    def __init__(self, js: JetStreamContext, kv: KeyValue, root: RootSecret) -> None:
        self._js = js
        self._kv = kv
        self._root = root

    @classmethod
    async def open(cls, client: Client, replicas: int, root: RootSecret) -> KeyStore:
        """Raises nats.errors.Error when JetStream can't be reached."""
        js = client.jetstream()
        return cls(js, await bucket(js, BUCKET, replicas), root)

    async def create(self, tenant: str, name: str = "", prefer: str = "", *, session_of: str = "") -> tuple[str, Key]:
        """Make a key; the secret is in the answer and nowhere else.

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
        """Accept the secret that a gateway's operator chose, in place of the one that it adopted before.

        A key that another gateway has adopted as well stays valid for that one. Harmless to repeat. Raises
        RevokedKeyError for a key that was revoked.
        """
        chosen = fingerprint(secret)

        def accept(key: Key | None) -> Key | None:
            if key is None:
                return replace(_new(chosen, "default", API_KEY_NAME), adopted_by=(gateway,))
            if key.revoked_at or not key.adopted_by or gateway in key.adopted_by:
                return key  # revoked, made by a command, or adopted already
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
        """All valid keys, oldest first."""
        keys = (key for key in (await self._all()).values() if not key.revoked_at)
        return sorted(keys, key=lambda key: (key.created_at, key.id))

    async def list_with_previous_roots(self) -> tuple[Key, ...]:
        """Return the valid keys whose tags end with a previous root secret, oldest first."""
        return tuple(key for key in await self.list() if key.root not in {"", self._root.id})

    async def revoke(self, key_id: str) -> Key | None:
        """End a key by its id; None when there is no valid one of that id."""
        for digest, found in (await self._all()).items():
            if found.id == key_id and not found.revoked_at:
                return await self._change(digest, lambda key: key and replace(key, revoked_at=int(time.time())))
        return None

    async def delete_session_keys(self, gateway: str) -> None:
        """Delete the keys that were made for runs of a gateway."""
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
        """Replace a key by what `change` makes of it, whoever else writes; None deletes it. A value that can't be
        read counts as none.
        """
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
            except BadRequestError as error:  # a deletion's refusal has no class of its own
                if error.err_code not in _WRONG_SEQUENCE:
                    raise
                continue
            return after


def _new(digest: str, tenant: str, name: str) -> Key:
    return Key(id=digest[:12], tenant=tenant, name=name, created_at=int(time.time()))


def _encode(key: Key) -> bytes:
    return json.dumps(asdict(key)).encode()


def _read(digest: str, value: bytes) -> Key:
    """Raises ValueError for what is no key."""
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
    """This process's view of the keys: follows the bucket, answers from memory.

    While NATS can't be reached the last view serves on.
    """

    def __init__(self, js: JetStreamContext) -> None:
        self._follower = Follower(js, BUCKET, _read, self._on_change)
        self._keys: dict[str, Key] = {}
        self._tenants: set[str] = set()
        self._valid: frozenset[str] = frozenset()
        self._holds: dict[str, set[asyncio.Timeout]] = {}
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
        key = self._keys.get(digest)
        return None if key is None or key.revoked_at else key

    def is_shared(self) -> bool:
        """Return whether the keys in force are of more than one tenant."""
        return len(self._tenants) > 1

    @asynccontextmanager
    async def hold(self, key: Key) -> AsyncIterator[None]:
        """Cancel the body and raise RevokedKeyError as soon as this process learns that the key has ended: revoked,
        deleted or replaced. The body must run in one task, without a yield.
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
