"""The secrets that sign tenants' webhooks: random, encrypted at rest, two of them for a day after a rotation."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError

from services.common.nats import bucket
from services.common.secrets import fernet

if TYPE_CHECKING:
    from collections.abc import Callable

    from nats.aio.client import Client
    from nats.js.kv import KeyValue

BUCKET: Final = "webhook_secrets"
PURPOSE: Final = "webhook secrets"
OVERLAP_SECONDS: Final = 86_400


@dataclass(frozen=True, slots=True)
class WebhookSecret:
    """A tenant's secret, and the one before it while that still signs. Times are Unix seconds."""

    secret: str
    created_at: int
    previous: str = ""
    previous_expires_at: int = 0

    def signing(self, now: float) -> list[str]:
        """Secrets that sign now, the present one first."""
        return [self.secret, self.previous] if self.previous and now < self.previous_expires_at else [self.secret]


class WebhookSecrets:
    """Reads, makes and rotates secrets. `key`: 32 bytes of the gateway's own, which encrypt them."""

    def __init__(self, kv: KeyValue, key: bytes, clock: Callable[[], float] = time.time) -> None:
        self._kv = kv
        self._box = fernet(key)
        self._clock = clock

    @classmethod
    async def open(cls, client: Client, replicas: int, key: bytes) -> WebhookSecrets:
        """Raises nats.errors.Error when JetStream can't be reached."""
        return cls(await bucket(client.jetstream(), BUCKET, replicas), key)

    async def get(self, tenant: str) -> WebhookSecret:
        """The tenant's secret, made at first. Raises nats.errors.Error."""
        while True:
            found = await self._read(tenant)
            if found:
                return found[0]
            await self._write(tenant, WebhookSecret(_new(), int(self._clock())), revision=0)

    async def rotate(self, tenant: str) -> WebhookSecret:
        """Replace the tenant's secret; of concurrent rotations each takes effect. Raises nats.errors.Error."""
        while True:
            found = await self._read(tenant)
            now = int(self._clock())
            if found is None:
                fresh, revision = WebhookSecret(_new(), now), 0
            else:
                fresh, revision = WebhookSecret(_new(), now, found[0].secret, now + OVERLAP_SECONDS), found[1]
            if await self._write(tenant, fresh, revision):
                return fresh

    async def _read(self, tenant: str) -> tuple[WebhookSecret, int] | None:
        try:
            entry = await self._kv.get(_key(tenant))
        except KeyNotFoundError:
            return None
        return WebhookSecret(**json.loads(self._box.decrypt(entry.value or b""))), entry.revision or 0

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
            await self._kv.update(_key(tenant), self._box.encrypt(value.encode()), last=revision)
        except KeyWrongLastSequenceError:
            return False
        return True


def _key(tenant: str) -> str:
    return hashlib.sha256(tenant.encode()).hexdigest()


def _new() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
