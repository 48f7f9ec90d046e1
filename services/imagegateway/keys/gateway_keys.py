"""Keys that the start of a gateway adopts, creates and deletes, with their audit events."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from imagegateway.admin.v1 import audit_event_pb2 as pb
from imagegateway.keys import gateway_presence
from imagegateway.keys.api_keys import FIRST_KEY_NAME, fingerprint, key_id
from imagegateway.keys.audit_log import GATEWAY_ACTOR, UnchangedError
from imagegateway.keys.policy import ALL_SCOPES

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from imagegateway.keys.api_keys import ApiKey
    from imagegateway.keys.audit_log import AuditLog
    from imagegateway.keys.key_store import KeyStore
    from nats.aio.client import Client

_TENANT: Final = "default"
_GONE_SECONDS: Final = 600.0
"""Absence after which a gateway does not run: longer than the loss of a host, whose jobs others finish meanwhile."""
_SESSION_NOTE: Final = "until this stack stops"


class GatewayKeys:
    """Keys of one gateway. `gateway`: its identity on the client's NATS server. Methods raise UnavailableError."""

    def __init__(self, client: Client, store: KeyStore, audit: AuditLog, gateway: str) -> None:
        self._client = client
        self._store = store
        self._audit = audit
        self._gateway = gateway
        self._gone_since: dict[str, float] = {}
        """Monotonic times from which all gateways of a secret did not answer, by its fingerprint."""

    async def announce(self, identity: Path) -> None:
        """Let other gateways know that this one, of an identity's file, runs while the client is connected."""
        await gateway_presence.announce(self._client, self._gateway, identity)

    async def adopt(self, secret: str) -> None:
        """Accept the secret in the gateway's settings, and release the key that it adopted before.

        The released key also loses gateways that are gone: their containers were replaced, or they do not run. Raises
        RevokedKeyError for a revoked key.
        """
        digest = fingerprint(secret)
        adopted = await self._store.adopted_by(self._gateway)
        if [key.digest for key in adopted] == [digest] and self._has_adopted(adopted[0]):
            return
        event = self._event("AdoptKey", target=key_id(digest))
        released = [key for key in adopted if key.digest != digest]
        if released:
            event.fields["released"] = ", ".join(key.id for key in released)
        others = {gateway for key in released for gateway in key.announced_by} - {self._gateway}
        gone = {gateway for gateway in others if await gateway_presence.is_gone(self._client, gateway)}
        async with self._audit.change(event):
            event.target = (await self._store.adopt(secret, self._gateway, gone)).id

    def _has_adopted(self, key: ApiKey) -> bool:
        """Return False for a suspended secret, and for one that an earlier version of the gateway adopted."""
        return not key.left_at and self._gateway in key.announced_by

    def has_left(self, secret: str, records: Iterable[ApiKey]) -> bool:
        """Return whether others have suspended the gateway's secret: this gateway did not answer for a while."""
        digest = fingerprint(secret)
        return any(key.digest == digest and key.left_at for key in records)

    async def suspend_left(self, records: Iterable[ApiKey]) -> None:
        """Suspend adopted secrets whose gateways have been gone for 10 minutes: all were replaced, or do not run.

        The secrets are valid again once a gateway adopts them. Of several processes that suspend a secret, one leaves
        an audit event. `records`: those of adopted secrets.
        """
        now = time.monotonic()
        others = [key for key in records if self._gateway not in key.adopted_by and not key.left_at]
        gone = [key for key in others if await self._are_gone(key)]
        self._gone_since = {key.digest: self._gone_since.get(key.digest, now) for key in gone}
        for key in gone:
            if now - self._gone_since[key.digest] >= _GONE_SECONDS:
                event = self._event("SuspendKey", target=key.id)
                async with self._audit.change(event):
                    if not await self._store.suspend(key.digest, key.adopted_by, event.id):
                        raise UnchangedError

    async def _are_gone(self, key: ApiKey) -> bool:
        """Return whether all gateways of an adopted secret are gone."""
        for gateway in key.adopted_by:
            if gateway not in key.announced_by or not await gateway_presence.is_gone(self._client, gateway):
                return False
        return True

    async def has_lasting_key(self) -> bool:
        """Return whether a key exists that outlives its stack."""
        return not all(key.session_of for key in await self._store.list())

    async def create_first(self) -> str:
        """Create the first, lasting key of the gateway. Return its secret."""
        event = self._event("CreateKey")
        async with self._audit.change(event):
            secret, key = await self._store.create(_TENANT, FIRST_KEY_NAME, scopes=ALL_SCOPES)
            event.target = key.id
        return secret

    async def create_session_key(self) -> str:
        """Create a key that ends with this stack. Return its secret."""
        event = self._event("CreateSessionKey")
        async with self._audit.change(event):
            secret, key = await self._store.create(
                _TENANT, _SESSION_NOTE, session_of=self._gateway, scopes=ALL_SCOPES
            )
            event.target = key.id
        return secret

    async def delete_session_keys(self) -> None:
        """Delete the keys of this gateway's runs."""
        keys = [key.id for key in await self._store.list() if key.session_of == self._gateway]
        if keys:
            async with self._audit.change(self._event("DeleteSessionKeys", target=", ".join(keys))):
                await self._store.delete_session_keys(self._gateway)

    def _event(self, method: str, target: str = "") -> pb.AuditEvent:
        actor = pb.AuditActor(type=GATEWAY_ACTOR, id=self._gateway)
        return self._audit.event(actor, method, target=target, tenant=_TENANT)
