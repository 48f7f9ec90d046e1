"""Webhook secrets of tenants: random, encrypted at rest. For a day after a rotation, two secrets sign."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from cryptography.fernet import InvalidToken
from imagegateway.platform.nats import bucket
from imagegateway.platform.shared_documents import ByteDocuments
from imagegateway.platform.stored_values import StoredObject

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from imagegateway.keys.root_secret import RootSecret
    from nats.aio.client import Client
    from nats.js.kv import KeyValue

BUCKET: Final = "webhook_secrets"
PURPOSE: Final = "webhook secrets"
OVERLAP_SECONDS: Final = 86_400


class UnreadableSecretError(Exception):
    """A stored secret is damaged, or its root secret is unknown."""


@dataclass(frozen=True, slots=True)
class WebhookSecret:
    """Webhook secret of a tenant, with the previous one while it signs. Times are Unix seconds."""

    secret: str
    created_at: int
    previous: str = ""
    previous_expires_at: int = 0

    def signing(self, now: float) -> list[str]:
        """Return the secrets that sign at `now`, the present one first."""
        return [self.secret, self.previous] if self.previous and now < self.previous_expires_at else [self.secret]


class WebhookSecrets:
    """Store of webhook secrets in a JetStream bucket."""

    def __init__(
        self,
        kv: KeyValue,
        root: RootSecret,
        clock: Callable[[], float] = time.time,
        outage: asyncio.Event | None = None,
    ) -> None:
        """`outage` as in SharedDocuments."""
        self._documents = ByteDocuments(kv, outage)
        self._sealer = root.sealer(PURPOSE)
        self._clock = clock

    @classmethod
    async def open(
        cls, client: Client, replicas: int, root: RootSecret, outage: asyncio.Event | None = None
    ) -> WebhookSecrets:
        """Open the bucket. Raises nats.errors.Error without a connection to JetStream."""
        return cls(await bucket(client.jetstream(), BUCKET, replicas), root, outage=outage)

    async def get(self, tenant: str) -> WebhookSecret:
        """Return the tenant's secret. Create it if absent. Raises UnreadableSecretError or UnavailableError."""
        key = _key(tenant)
        stored = await self._documents.read(key)
        if stored is None:
            fresh = self._seal(WebhookSecret(_new(), int(self._clock())))
            stored = await self._documents.change(key, partial(_first, fresh))
        return self._open(stored)

    async def rotate(self, tenant: str) -> WebhookSecret:
        """Replace the tenant's secret, readable or not. Each of several concurrent rotations takes effect, once.

        Raises UnavailableError.
        """
        now = int(self._clock())
        fresh = WebhookSecret(_new(), now)

        def step(stored: bytes | None) -> tuple[bytes | None, WebhookSecret]:
            nonlocal fresh
            with suppress(UnreadableSecretError):
                before = self._open(stored or b"")
                if fresh.secret in {before.secret, before.previous}:  # by a write without an acknowledgement
                    return stored, fresh
                fresh = replace(fresh, previous=before.secret, previous_expires_at=now + OVERLAP_SECONDS)
            return self._seal(fresh), fresh

        return await self._documents.change(_key(tenant), step)

    def _open(self, stored: bytes) -> WebhookSecret:
        try:
            value = StoredObject.parse(self._sealer.open(stored))
            return WebhookSecret(
                secret=value.text("secret"),
                created_at=value.integer("created_at"),
                previous=value.text("previous"),
                previous_expires_at=value.integer("previous_expires_at"),
            )
        except (InvalidToken, ValueError):
            raise UnreadableSecretError from None

    def _seal(self, secret: WebhookSecret) -> bytes:
        return self._sealer.seal(json.dumps(asdict(secret)).encode())


def _first(fresh: bytes, stored: bytes | None) -> tuple[bytes, bytes]:
    """Return the stored entry, or a fresh one in place of none."""
    kept = fresh if stored is None else stored
    return kept, kept


def _key(tenant: str) -> str:
    return hashlib.sha256(tenant.encode()).hexdigest()


def _new() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
