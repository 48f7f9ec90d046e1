"""Tenancy of one process: its copies of API keys, tenants' policies and provider keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imagegateway.keys.key_ring import KeyRing
from imagegateway.keys.last_use import LastUse
from imagegateway.keys.operator_tokens import OperatorTokens
from imagegateway.keys.provider_keys import ProviderKeys
from imagegateway.keys.rate_limits import RateLimiter
from imagegateway.keys.tenants import Tenants

if TYPE_CHECKING:
    import asyncio

    from imagegateway.keys.root_secret import RootSecret
    from imagegateway.platform.supervision import Supervisor
    from nats.aio.client import Client


@dataclass(frozen=True, slots=True)
class Tenancy:
    """Records of tenants and keys that each call reads, and the rate limits of all replicas."""

    ring: KeyRing
    tenants: Tenants
    provider_keys: ProviderKeys
    rates: RateLimiter
    last_use: LastUse

    @classmethod
    async def open(cls, client: Client, replicas: int, root: RootSecret, outage: asyncio.Event) -> Tenancy:
        """Open the buckets. While `outage` is set, calls do not wait for NATS.

        Raises nats.errors.Error without a connection to JetStream.
        """
        last_use = await LastUse.open(client, replicas, outage)
        tenants = await Tenants.open(client, replicas)
        return cls(
            ring=KeyRing(client.jetstream(), note_use=last_use.note, tokens=OperatorTokens(root)),
            tenants=tenants,
            provider_keys=await ProviderKeys.open(client, replicas, root, outage),
            rates=await RateLimiter.open(client, replicas, tenants, outage),
            last_use=last_use,
        )

    async def start(self, supervisor: Supervisor) -> None:
        """Read all records, then follow changes. Raises nats.errors.Error or OSError."""
        await self.ring.start(supervisor)
        await self.tenants.start(supervisor)
        await self.provider_keys.start(supervisor)
        self.last_use.start(supervisor)
