"""Administration of API keys.

Created keys carry a tag (`key_tags`), by which Envoy refuses keys of other origin.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from imagegateway.keys import key_tags
from imagegateway.keys.api_keys import (
    API_KEY_NAME,
    BUCKET,
    POLICY,
    ApiKey,
    RevokedKeyError,
    current_records,
    decode,
    encode,
    fingerprint,
    key_id,
    revoked_records,
)
from imagegateway.keys.policy import ALL_SCOPES, ANY_MODEL, DEFAULT_SCOPES, NO_LIMITS
from imagegateway.platform import logs
from imagegateway.platform.kv_mirror import snapshot
from imagegateway.platform.nats import bucket, repeated_reads
from imagegateway.platform.shared_documents import ByteDocuments
from imagegateway.platform.stored_values import Decoder

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping
    from collections.abc import Set as AbstractSet

    from imagegateway.keys.policy import Quota, Scope
    from imagegateway.keys.root_secret import RootSecret
    from nats.aio.client import Client
    from nats.js import JetStreamContext
    from nats.js.kv import KeyValue

_log = logs.get(__name__)


class KeyStore:
    """Store of API keys. `root` tags new keys. `clock` returns Unix seconds.

    Methods wait for an election, and raise UnavailableError. A change that NATS did not acknowledge is found again.
    """

    def __init__(
        self,
        js: JetStreamContext,
        kv: KeyValue,
        root: RootSecret,
        clock: Callable[[], float] = time.time,
        outage: asyncio.Event | None = None,
    ) -> None:
        """`outage` as in SharedDocuments."""
        self._js = js
        self._documents = ByteDocuments(kv, outage)
        self._outage = outage
        self._root = root
        self._clock = clock

    @classmethod
    async def open(
        cls, client: Client, replicas: int, root: RootSecret, outage: asyncio.Event | None = None
    ) -> KeyStore:
        """Open the bucket. Raises nats.errors.Error without a connection to JetStream."""
        kv = await bucket(client.jetstream(), BUCKET, replicas)
        return cls(repeated_reads(client), kv, root, outage=outage)

    async def create(
        self,
        tenant: str,
        name: str = "",
        prefer: str = "",
        *,
        session_of: str = "",
        scopes: frozenset[Scope] = DEFAULT_SCOPES,
        models: tuple[str, ...] = ANY_MODEL,
        quota: Quota = NO_LIMITS,
        expires_at: int = 0,
        response_format: str = "",
    ) -> tuple[str, ApiKey]:
        """Create a key, and return its secret, which is not stored, and its record. Raises PolicyError."""
        secret = key_tags.make_secret(self._root)
        key = replace(
            self._new(fingerprint(secret), tenant, name),
            prefer=prefer,
            response_format=response_format,
            scopes=scopes,
            models=models,
            quota=quota,
            expires_at=expires_at,
            session_of=session_of,
            root=self._root.id,
        )
        key.check()
        await self._change(key.digest, lambda stored: stored or key)
        return secret, key

    async def get(self, key_id: str) -> ApiKey | None:
        """Return the record of a key's newest secret; None for an unknown or revoked key."""
        return current_records((await self._all()).values()).get(key_id)

    async def list(self, *, revoked: bool = False) -> list[ApiKey]:
        """Return all keys that are not revoked, expired ones too, oldest first. `revoked`: those that are, too."""
        records = (await self._all()).values()
        keys = [*current_records(records).values(), *(revoked_records(records).values() if revoked else ())]
        return sorted(keys, key=lambda key: (key.created_at, key.id))

    async def adopted_by(self, gateway: str) -> tuple[ApiKey, ...]:
        """Return the records of the secrets that a gateway has adopted, without those of revoked keys."""
        return tuple(_adopted_secrets(await self._all(), gateway))

    async def list_with_previous_roots(self) -> tuple[ApiKey, ...]:
        """Return the keys whose tags need a previous root secret, oldest first."""
        return tuple(key for key in await self.list() if key.root not in {"", self._root.id})

    async def update(self, key_id: str, change: Callable[[ApiKey], ApiKey]) -> ApiKey | None:
        """Replace a key by `change(key)`, and return the new record. None: no such key. Raises PolicyError.

        The change applies to every secret of the key. `change` is idempotent: it runs again after a conflict, and
        after a write without an acknowledgement.
        """

        def checked(key: ApiKey | None) -> ApiKey | None:
            if key is None or key.revoked_at:
                return key
            changed = change(key)
            changed.check()
            return changed

        found = await self.get(key_id)
        while found:
            changed = await self._change(found.digest, checked)
            newest = await self.get(key_id)
            if newest is None or newest.digest == found.digest:
                return None if changed is None or changed.revoked_at else changed
            found = newest  # a rotation meanwhile
        return None

    async def rotate(self, key_id: str, overlap: int) -> tuple[str, ApiKey] | None:
        """Issue a new secret of a key, and return the secret and its record. None: no such key.

        Earlier secrets are valid for `overlap` more seconds; 0: they end now. The new secret is written first: after
        a crash between the writes the earlier secrets are still valid, and the next rotation ends them. The newest
        secret of several concurrent rotations ends the others: a caller may have repeated one that still waits.
        """
        found = await self.get(key_id)
        if found is None:
            return None
        secret, now = key_tags.make_secret(self._root), int(self._clock())
        issued_at = max(now, found.issued_at + 1)
        new = replace(
            found,
            digest=fingerprint(secret),
            issued_at=issued_at,
            retired_at=0,
            left_at=0,
            adopted_by=(),
            announced_by=(),
            root=self._root.id,
        )
        await self._change(new.digest, lambda stored: stored or new)
        # The snapshot may lack the write of just now: a NATS server may not know yet that another one leads.
        records = {new.digest: new, **await self._all()}
        newest = current_records(records.values()).get(key_id, new)
        new = await self._carry_over(found, new, records)

        def retire(key: ApiKey | None) -> ApiKey | None:
            end = now + overlap
            return key and replace(key, retired_at=min(key.retired_at or end, end))

        for digest, key in records.items():
            if key.id == key_id and digest != newest.digest and not key.revoked_at:
                await self._change(digest, retire)
        return secret, new

    async def revoke(self, key_id: str) -> ApiKey | None:
        """Revoke a key, all its secrets, by its id. Return its record; None: no such key."""
        records, now = await self._all(), self._now()

        def revoked(key: ApiKey | None) -> ApiKey | None:
            return key and replace(key, revoked_at=key.revoked_at or now)

        for digest, key in records.items():
            if key.id == key_id and not key.revoked_at:
                await self._change(digest, revoked)
        found = current_records(records.values()).get(key_id)
        return found and replace(found, revoked_at=now)

    async def adopt(self, secret: str, gateway: str, gone: AbstractSet[str] = frozenset()) -> ApiKey:
        """Accept the secret in the settings of a gateway that answers probes, and release the one before.

        The first one has every scope. Each further one is a secret of the same key, with its id and policy, as
        after a rotation. A released secret stays valid while other gateways, except those that are `gone`, have
        adopted it. Idempotent. Raises RevokedKeyError for a revoked key.
        """
        chosen = fingerprint(secret)
        before = _adopted_key(await self._all(), gateway)

        def accept(key: ApiKey | None) -> ApiKey | None:
            if key is None:
                return self._adopted(chosen, gateway, before)
            if key.revoked_at or not key.adopted_by:
                return key  # revoked or created
            others, announced = ((), ()) if key.left_at else (key.adopted_by, key.announced_by)
            return replace(key, adopted_by=_with(others, gateway), announced_by=_with(announced, gateway), left_at=0)

        def release(key: ApiKey | None) -> ApiKey | None:
            if key is None or gateway not in key.adopted_by:
                return key
            left = tuple(other for other in key.adopted_by if other != gateway and other not in gone)
            announced = tuple(other for other in key.announced_by if other in left)
            return replace(key, adopted_by=left, announced_by=announced) if left else None

        adopted = await self._change(chosen, accept)
        if adopted is None or adopted.revoked_at:
            raise RevokedKeyError
        records = await self._all()
        if before and before.id == adopted.id and before.digest != chosen:
            adopted = await self._carry_over(before, adopted, records)
        for digest, key in records.items():
            if digest != chosen and gateway in key.adopted_by and not key.revoked_at:
                await self._change(digest, release)
                _log.info("adopted_key_replaced", key_id=key.id, by=adopted.id)
        return adopted

    async def suspend(self, digest: str, adopted_by: tuple[str, ...], event: str) -> bool:
        """Refuse an adopted secret until a gateway adopts it again, and return True.

        `adopted_by`: its gateways, all of them gone. `event`: id of the audit event. False: another process has
        suspended the secret, or another gateway has adopted it meanwhile, which keeps it valid.
        """
        now = self._now()

        def leave(key: ApiKey | None) -> ApiKey | None:
            if key is None or key.suspension == event or key.adopted_by != adopted_by or key.left_at:
                return key
            return replace(key, left_at=now, suspension=event)

        key = await self._change(digest, leave)
        return key is not None and key.suspension == event

    async def delete_session_keys(self, gateway: str) -> None:
        """Delete the keys of a gateway's runs."""
        for digest, key in (await self._all()).items():
            if key.session_of == gateway:
                await self._change(digest, lambda _: None)

    def _now(self) -> int:
        return int(self._clock())

    def _new(self, digest: str, tenant: str, name: str) -> ApiKey:
        now = self._now()
        return ApiKey(id=key_id(digest), tenant=tenant, name=name, created_at=now, issued_at=now, digest=digest)

    def _adopted(self, digest: str, gateway: str, before: ApiKey | None) -> ApiKey:
        """Return a new record of an adopted secret. `before`: record of the key that the secret continues."""
        if before is None:
            new = replace(self._new(digest, "default", API_KEY_NAME), scopes=ALL_SCOPES)
        else:
            issued_at = max(self._now(), before.issued_at + 1)
            new = replace(before, digest=digest, issued_at=issued_at, retired_at=0, left_at=0, root="")
        return replace(new, adopted_by=(gateway,), announced_by=(gateway,))

    async def _carry_over(self, before: ApiKey, new: ApiKey, records: Mapping[str, ApiKey]) -> ApiKey:
        """Return the record of a key's new secret, with updates that the record before has had meanwhile.

        `before`: the record as the new one was made from it; `records`: those after the new one was written.
        """
        latest = records.get(before.digest, before)
        changes = {name: getattr(latest, name) for name in POLICY if getattr(latest, name) != getattr(before, name)}
        if not changes:
            return new
        return await self._change(new.digest, lambda key: key and replace(key, **changes)) or new

    async def _all(self) -> dict[str, ApiKey]:
        decoder, found = Decoder(BUCKET), {}
        for digest, value in (await snapshot(self._js, BUCKET, self._outage)).items():
            key = decoder.decode(digest, value, decode)
            if key is not None:
                found[digest] = key
        return found

    async def _change(self, digest: str, change: Callable[[ApiKey | None], ApiKey | None]) -> ApiKey | None:
        """Replace a record by `change(record)`, which is idempotent, with compare-and-set.

        None deletes the record. An unreadable one counts as None.
        """

        def step(stored: bytes | None) -> tuple[bytes | None, ApiKey | None]:
            before = None if stored is None else Decoder(BUCKET).decode(digest, stored, decode)
            after = change(before)
            if after == before:
                return stored, after
            return (None if after is None else encode(after)), after

        return await self._documents.change(digest, step)


def _with(gateways: tuple[str, ...], gateway: str) -> tuple[str, ...]:
    return gateways if gateway in gateways else (*gateways, gateway)


def _adopted_key(records: Mapping[str, ApiKey], gateway: str) -> ApiKey | None:
    """Return the newest record of the key that a gateway adopted last; None: no key, or a revoked one."""
    adopted = _adopted_secrets(records, gateway)
    return current_records(records.values())[adopted[-1].id] if adopted else None


def _adopted_secrets(records: Mapping[str, ApiKey], gateway: str) -> list[ApiKey]:
    """Return the records of the secrets that a gateway has adopted, newest last, without those of revoked keys."""
    current = current_records(records.values())
    found = (key for key in records.values() if gateway in key.adopted_by and key.id in current)
    return sorted(found, key=lambda key: key.issued_at)
