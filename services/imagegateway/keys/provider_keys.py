"""Stored provider keys of tenants: encrypted at rest, one entry of a JetStream bucket for each tenant and route.

A value is decrypted only for use or listing. It contains its tenant and route, so a value in another entry is
unreadable.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import time
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from cryptography.fernet import InvalidToken
from imagegateway.platform import logs
from imagegateway.platform.errors import GatewayError, invalid, missing
from imagegateway.platform.kv_mirror import Follower
from imagegateway.platform.nats import bucket
from imagegateway.platform.shared_documents import ByteDocuments
from imagegateway.platform.stored_values import StoredObject
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from imagegateway.keys.root_secret import RootSecret
    from imagegateway.platform.supervision import Supervisor
    from nats.aio.client import Client
    from nats.js import JetStreamContext
    from nats.js.kv import KeyValue

BUCKET: Final = "provider_keys"
PURPOSE: Final = "stored provider keys"
MAX_LENGTH: Final = 4096
_PRINTABLE: Final = re.compile(r"[!-~]([ -~]*[!-~])?")
_SHOWABLE_LENGTH: Final = 20
_NAME: Final = re.compile(r"([0-9a-f]{64})\.([a-z0-9_-]+)")
_log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class ProviderKey:
    """Public facts about a stored key. `created_at` is in Unix seconds, 0 for an unreadable value."""

    route: str
    created_at: int = 0
    last_four: str = ""
    """Last four characters. Empty for a key under 20 characters, of which they reveal too much."""


def check(key: str, param: str = "key") -> None:
    """Raise GatewayError naming `param` for a key that no HTTP header can carry."""
    if not key:
        raise missing(param, f"{param} is required: the provider's own key.")
    if len(key) > MAX_LENGTH:
        raise invalid(param, f"{param} has {len(key)} characters; a provider's key has at most {MAX_LENGTH}.")
    if not _PRINTABLE.fullmatch(key):
        raise invalid(param, f"{param} must be printable ASCII, without a space at either end.")


class ProviderKeys:
    """Store of provider keys. One per process."""

    def __init__(
        self,
        js: JetStreamContext,
        kv: KeyValue,
        root: RootSecret,
        clock: Callable[[], float] = time.time,
        outage: asyncio.Event | None = None,
    ) -> None:
        """`outage` as in SharedDocuments."""
        self._documents = ByteDocuments(kv, outage)
        self._sealer = root.sealer(PURPOSE)
        self._clock = clock
        self._follower = Follower(js, BUCKET, _read, self._on_change)
        self._sealed: dict[str, Mapping[str, bytes]] = {}

    @classmethod
    async def open(
        cls, client: Client, replicas: int, root: RootSecret, outage: asyncio.Event | None = None
    ) -> ProviderKeys:
        """Open the bucket. Raises nats.errors.Error without a connection to JetStream."""
        js = client.jetstream()
        return cls(js, await bucket(js, BUCKET, replicas), root, outage=outage)

    # ---- administration: reads and writes the bucket

    async def set(self, tenant: str, route: str, key: str) -> ProviderKey:
        """Store a key, replacing the previous one. Raises GatewayError as `check`, or UnavailableError."""
        check(key)
        made = int(self._clock())
        value = {"tenant": tenant, "route": route, "key": key, "created_at": made}
        sealed, name = self._sealer.seal(json.dumps(value).encode()), _name(tenant, route)
        await self._documents.change(name, lambda _: (sealed, None))
        return ProviderKey(route, made, _last_four(key))

    async def list(self, tenant: str, routes: Collection[str]) -> list[ProviderKey]:
        """Return a tenant's stored keys for these routes, in their order. Raises UnavailableError."""
        # Single reads go to the leader, which has the latest writes.
        found = await asyncio.gather(*(self._documents.read(_name(tenant, route)) for route in routes))
        return [
            self._describe(tenant, route, sealed)
            for route, sealed in zip(routes, found, strict=True)
            if sealed is not None
        ]

    async def delete(self, tenant: str, route: str) -> bool:
        """Delete a key. Return True if it existed. Raises UnavailableError."""
        existed = False

        def step(stored: bytes | None) -> tuple[None, None]:
            nonlocal existed
            existed = existed or stored is not None  # a deletion without an acknowledgement runs again
            return None, None

        await self._documents.change(_name(tenant, route), step)
        return existed

    # ---- use: answers from memory

    async def start(self, supervisor: Supervisor) -> None:
        """Read all keys, then follow changes. Raises nats.errors.Error or OSError."""
        await self._follower.start(supervisor)

    async def refresh(self) -> None:
        """Read changes now."""
        await self._follower.refresh()

    def of(self, tenant: str) -> Mapping[str, bytes]:
        """Return an immutable snapshot of a tenant's encrypted keys by route."""
        return self._sealed.get(_digest(tenant), _NONE)

    def reveal(self, tenant: str, route: str, sealed: bytes) -> str:
        """Return the decrypted key. Raises GatewayError PROVIDER_CREDENTIALS for an unreadable one."""
        value = self._open(tenant, route, sealed)
        if value is None:
            raise GatewayError(
                ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS,
                f"The stored key of route {route} can't be read any more: store it again with "
                f"PUT /v1/provider-keys/{route}, or delete it.",
                details={"route": route},
            )
        return value.key

    def _on_change(self, values: Mapping[str, _Sealed]) -> None:
        tenants: dict[str, dict[str, bytes]] = {}
        for entry in values.values():
            tenants.setdefault(entry.tenant_digest, {})[entry.route] = entry.key
        self._sealed = {digest: MappingProxyType(keys) for digest, keys in tenants.items()}

    def _describe(self, tenant: str, route: str, sealed: bytes) -> ProviderKey:
        value = self._open(tenant, route, sealed)
        if value is None:
            return ProviderKey(route)
        return ProviderKey(route, value.created_at, _last_four(value.key))

    def _open(self, tenant: str, route: str, sealed: bytes) -> _Opened | None:
        try:
            value = StoredObject.parse(self._sealer.open(sealed))
            opened = _Opened(value.text("key"), value.integer("created_at"))
            owner = (value.text("tenant"), value.text("route"))
        except (InvalidToken, ValueError):
            _log.error("provider_key_unreadable", tenant=tenant, route=route)
            return None
        if owner != (tenant, route):
            _log.error("provider_key_misplaced", tenant=tenant, route=route)
            return None
        return opened


@dataclass(frozen=True, slots=True)
class _Sealed:
    """Entry of the bucket: an encrypted key with its owner."""

    tenant_digest: str
    route: str
    key: bytes


@dataclass(frozen=True, slots=True)
class _Opened:
    """Decrypted key. `created_at` is in Unix seconds."""

    key: str
    created_at: int


_NONE: Final[Mapping[str, bytes]] = MappingProxyType({})


def _read(name: str, value: bytes) -> _Sealed:
    """Return a bucket entry. Raises ValueError for a malformed name."""
    found = _NAME.fullmatch(name)
    if not found:
        raise ValueError("no tenant and route")
    return _Sealed(found[1], found[2], value)


def _last_four(key: str) -> str:
    return key[-4:] if len(key) >= _SHOWABLE_LENGTH else ""


def _digest(tenant: str) -> str:
    return hashlib.sha256(tenant.encode()).hexdigest()


def _name(tenant: str, route: str) -> str:
    return f"{_digest(tenant)}.{route}"
