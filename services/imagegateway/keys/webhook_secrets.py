"""Webhook secrets of tenants: random, encrypted at rest. For a day after a rotation, two secrets sign."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from cryptography.fernet import InvalidToken
from imagegateway.platform.nats import bucket
from imagegateway.platform.stored_values import StoredObject
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError

if TYPE_CHECKING:
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

    def __init__(self, kv: KeyValue, root: RootSecret, clock: Callable[[], float] = time.time) -> None:
        self._kv = kv
        self._sealer = root.sealer(PURPOSE)
        self._clock = clock

    @classmethod
    async def open(cls, client: Client, replicas: int, root: RootSecret) -> WebhookSecrets:
        """Open the bucket. Raises nats.errors.Error without a connection to JetStream."""
        return cls(await bucket(client.jetstream(), BUCKET, replicas), root)

    async def get(self, tenant: str) -> WebhookSecret:
        """Return the tenant's secret. Create it if absent. Raises UnreadableSecretError or nats.errors.Error."""
        while True:
            stored, revision = await self._read(tenant)
            if stored is not None:
                return self._open(stored)
            fresh = WebhookSecret(_new(), int(self._clock()))
            if await self._write(tenant, fresh, revision):
                return fresh

    async def rotate(self, tenant: str) -> WebhookSecret:
        """Replace the tenant's secret, readable or not. Each of several concurrent rotations takes effect.

        Raises nats.errors.Error.
        """
        while True:
            stored, revision = await self._read(tenant)
            now = int(self._clock())
            fresh = WebhookSecret(_new(), now)
            if stored is not None:
                with suppress(UnreadableSecretError):
                    fresh = replace(
                        fresh, previous=self._open(stored).secret, previous_expires_at=now + OVERLAP_SECONDS
                    )
            if await self._write(tenant, fresh, revision):
                return fresh

    async def _read(self, tenant: str) -> tuple[bytes | None, int]:
        """Return the encrypted entry and its revision. A deleted entry is None with its revision."""
        try:
            entry = await self._kv.get(_key(tenant))
        except KeyNotFoundError as error:
            return None, (error.entry.revision or 0) if error.entry else 0
        return entry.value or b"", entry.revision or 0

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

    async def _write(self, tenant: str, secret: WebhookSecret, revision: int) -> bool:
        value = json.dumps(
            {
                "secret": secret.secret,
                "created_at": secret.created_at,
                "previous": secret.previous,
                "previous_expires_at": secret.previous_expires_at,
            }
        )
        try:
            await self._kv.update(_key(tenant), self._sealer.seal(value.encode()), last=revision)
        except KeyWrongLastSequenceError:
            return False
        return True


def _key(tenant: str) -> str:
    return hashlib.sha256(tenant.encode()).hexdigest()


def _new() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
