"""Tenants: limits for all keys of a tenant together, and its retention, in a JetStream bucket."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from imagegateway.keys.api_keys import check_tenant, quota_fields, read_quota
from imagegateway.keys.policy import NO_LIMITS, PolicyError, Quota, tenant_account
from imagegateway.platform.kv_mirror import Follower, snapshot
from imagegateway.platform.nats import bucket, repeated_reads
from imagegateway.platform.settings import MAX_DAYS
from imagegateway.platform.shared_documents import ByteDocuments
from imagegateway.platform.stored_values import Decoder, StoredObject

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping

    from imagegateway.platform.supervision import Supervisor
    from nats.aio.client import Client
    from nats.js import JetStreamContext
    from nats.js.kv import KeyValue

BUCKET: Final = "tenants"


@dataclass(frozen=True, slots=True)
class TenantPolicy:
    """Policy of one tenant. None: the gateway's setting applies."""

    name: str
    quota: Quota = NO_LIMITS
    """Limits of all keys of the tenant together."""
    media_days: int | None = None
    """Days after a job's end until its media are deleted."""
    record_days: int | None = None
    """Days after a job's end until its record is deleted."""
    usage_days: int | None = None
    """Days until usage is deleted."""

    def check(self) -> None:
        """Raise PolicyError for a field that is out of range."""
        check_tenant(self.name)
        self.quota.check()
        for name in ("media_days", "record_days", "usage_days"):
            days = getattr(self, name)
            if days is not None and not 1 <= days <= MAX_DAYS:
                raise PolicyError(name, f"{name} must be from 1 to {MAX_DAYS}, not {days}.")


class TenantStore:
    """Administration of tenants. Methods wait for an election, and raise UnavailableError."""

    def __init__(self, js: JetStreamContext, kv: KeyValue, outage: asyncio.Event | None = None) -> None:
        """`outage` as in SharedDocuments."""
        self._js = js
        self._documents = ByteDocuments(kv, outage)
        self._outage = outage

    @classmethod
    async def open(cls, client: Client, replicas: int, outage: asyncio.Event | None = None) -> TenantStore:
        """Open the bucket. Raises nats.errors.Error without a connection to JetStream."""
        kv = await bucket(client.jetstream(), BUCKET, replicas)
        return cls(repeated_reads(client), kv, outage)

    async def list(self) -> list[TenantPolicy]:
        """Return the stored policies, sorted by name."""
        decoder = Decoder(BUCKET)
        values = (await snapshot(self._js, BUCKET, self._outage)).items()
        found = (decoder.decode(account, value, _decode) for account, value in values)
        return sorted((each for each in found if each is not None), key=lambda each: each.name)

    async def update(self, name: str, change: Callable[[TenantPolicy], TenantPolicy]) -> TenantPolicy:
        """Replace a tenant's policy by `change(policy)`, and return the new one. Raises PolicyError.

        `change` is idempotent: it runs again after a conflict, and after a write without an acknowledgement.
        """
        check_tenant(name)
        account = tenant_account(name)

        def step(stored: bytes | None) -> tuple[bytes, TenantPolicy]:
            before = None if stored is None else Decoder(BUCKET).decode(account, stored, _decode)
            after = change(before or TenantPolicy(name))
            after.check()
            return _encode(after), after

        return await self._documents.change(account, step)


class Tenants:
    """Policies of tenants in the memory of this process. Without a connection to NATS the last known ones apply."""

    def __init__(self, js: JetStreamContext) -> None:
        self._follower = Follower(js, BUCKET, _decode, self._on_change)
        self._policies: Mapping[str, TenantPolicy] = {}

    @classmethod
    async def open(cls, client: Client, replicas: int) -> Tenants:
        """Open the bucket. Raises nats.errors.Error without a connection to JetStream."""
        js = client.jetstream()
        await bucket(js, BUCKET, replicas)
        return cls(js)

    async def start(self, supervisor: Supervisor) -> None:
        """Read all policies, then follow changes. Raises nats.errors.Error or OSError."""
        await self._follower.start(supervisor)

    def policy(self, name: str) -> TenantPolicy:
        """Return a tenant's policy: without limits if none is stored."""
        return self._policies.get(name) or TenantPolicy(name)

    def quota(self, name: str) -> Quota:
        """Return the limits of all keys of a tenant together."""
        policy = self._policies.get(name)
        return policy.quota if policy else NO_LIMITS

    def concurrent_jobs(self, name: str) -> int | None:
        """Return a tenant's limit of concurrent jobs; None: no limit."""
        return self.quota(name).concurrent_jobs

    def _on_change(self, values: Mapping[str, TenantPolicy]) -> None:
        self._policies = {policy.name: policy for policy in values.values()}


def _encode(policy: TenantPolicy) -> bytes:
    return json.dumps(
        {
            "name": policy.name,
            "quota": quota_fields(policy.quota),
            "media_days": policy.media_days or 0,
            "record_days": policy.record_days or 0,
            "usage_days": policy.usage_days or 0,
        }
    ).encode()


def _decode(account: str, value: bytes) -> TenantPolicy:
    """Return a stored policy. Raises ValueError for a malformed one."""
    data = StoredObject.parse(value)
    name = data.text("name")
    if tenant_account(name) != account:
        raise ValueError("the policy of another tenant")
    return TenantPolicy(
        name=name,
        quota=read_quota(data.object("quota")),
        media_days=data.integer("media_days", 0) or None,
        record_days=data.integer("record_days", 0) or None,
        usage_days=data.integer("usage_days", 0) or None,
    )
