"""API keys, tenants and audit events on a bucket with faults: elections, and writes without an acknowledgement."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest
from imagegateway.admin.v1.audit_event_pb2 import AuditActor
from imagegateway.keys.api_keys import ApiKey, fingerprint
from imagegateway.keys.audit_log import FAILED, STARTED, SUCCEEDED, AuditLog
from imagegateway.keys.key_store import KeyStore
from imagegateway.keys.last_use import LastUse
from imagegateway.keys.policy import Quota
from imagegateway.keys.root_secret import RootSecret
from imagegateway.keys.tenants import TenantPolicy, TenantStore
from imagegateway.platform.errors import UnavailableError

from tests.platform.key_values import MemoryBucket, MemoryKeyValue, MemoryStream

ROOT = RootSecret("a root secret of tests")
FIRST, SECOND = "first-" + "x" * 20, "second-" + "x" * 20
LIMITS = Quota(requests_per_minute=5)
ELECTION = 5
"""Requests that fail during an election."""


def keys_of(bucket: MemoryBucket, outage: asyncio.Event | None = None) -> KeyStore:
    js: Any = MemoryStream(bucket)
    return KeyStore(js, MemoryKeyValue(bucket), ROOT, outage=outage)


def tenants_of(bucket: MemoryBucket, outage: asyncio.Event | None = None) -> TenantStore:
    js: Any = MemoryStream(bucket)
    return TenantStore(js, MemoryKeyValue(bucket), outage)


def audit_of(bucket: MemoryBucket, outage: asyncio.Event | None = None) -> AuditLog:
    js: Any = MemoryStream(bucket)
    return AuditLog(js, MemoryKeyValue(bucket), outage=outage)


def limited(key: ApiKey) -> ApiKey:
    return replace(key, quota=LIMITS)


async def test_created_key_without_an_acknowledgement_exists_once(bucket: MemoryBucket) -> None:
    store = keys_of(bucket)
    bucket.losing = 1
    secret, key = await store.create("acme")
    assert key.digest == fingerprint(secret)
    assert await store.list() == [key]
    assert bucket.writes == 1


async def test_created_key_is_not_written_again_over_an_update(bucket: MemoryBucket) -> None:
    store, others = keys_of(bucket), keys_of(bucket)
    bucket.losing = 1

    async def overtake(step: str) -> None:
        if step == "read" and not bucket.losing:
            bucket.gate = at_once
            (key,) = await others.list()
            await others.update(key.id, limited)

    at_once, bucket.gate = bucket.gate, overtake
    await store.create("acme")
    assert [key.quota for key in await store.list()] == [LIMITS]


async def test_rotation_without_acknowledgements_issues_one_secret(bucket: MemoryBucket) -> None:
    store = keys_of(bucket)
    _, key = await store.create("acme")
    bucket.losing, writes = 2, bucket.writes
    _, new = await store.rotate(key.id, 0) or ("", None)
    assert new
    old, current = (await store._all())[key.digest], await store.get(key.id)
    assert current == new
    assert 0 < old.retired_at <= time.time()
    assert bucket.writes == writes + 2


async def test_rotation_ends_the_secrets_before_although_a_read_lacks_its_own_write(
    bucket: MemoryBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A NATS server that leads no more, and does not know it yet, answers by an earlier state."""
    store = keys_of(bucket)
    _, key = await store.create("acme")
    before = await store._all()

    async def stale() -> dict[str, ApiKey]:
        return before

    with monkeypatch.context() as patch:
        patch.setattr(store, "_all", stale)
        _, new = await store.rotate(key.id, 0) or ("", None)
    assert new
    secrets = await store._all()
    assert {digest for digest, each in secrets.items() if not each.is_over(time.time())} == {new.digest}


async def test_rotation_that_is_repeated_while_it_waits_does_not_end_the_secret_of_the_repetition(
    bucket: MemoryBucket,
) -> None:
    store, others = keys_of(bucket), keys_of(bucket)
    _, key = await store.create("acme")
    repeated: list[ApiKey] = []

    async def overtake(step: str) -> None:
        if step == "write":
            bucket.gate = at_once
            now = others._clock
            others._clock = lambda: now() + 5
            _, new = await others.rotate(key.id, 0) or ("", None)
            assert new
            repeated.append(new)

    at_once, bucket.gate = bucket.gate, overtake
    _, late = await store.rotate(key.id, 0) or ("", None)
    assert late
    assert await store.get(key.id) == repeated[0]
    records = await store._all()
    assert records[repeated[0].digest].retired_at == 0
    for digest in (key.digest, late.digest):
        assert records[digest].is_over(time.time())


async def test_update_and_revocation_without_an_acknowledgement_happen_once(bucket: MemoryBucket) -> None:
    store = keys_of(bucket)
    _, key = await store.create("acme")
    bucket.losing, writes = 1, bucket.writes
    assert await store.update(key.id, limited) == limited(key)
    bucket.losing = 1
    revoked = await store.revoke(key.id)
    assert revoked
    assert await store.list(revoked=True) == [revoked]
    assert bucket.writes == writes + 2


async def test_adoption_without_acknowledgements_happens_once(bucket: MemoryBucket) -> None:
    store = keys_of(bucket)
    first = await store.adopt(FIRST, "gateway")
    bucket.losing = 2
    second = await store.adopt(SECOND, "gateway")
    assert second.id == first.id
    assert await store.adopted_by("gateway") == (second,)
    assert bucket.writes == 3  # with the deletion of the first secret


async def test_suspension_without_an_acknowledgement_is_that_of_one_process(bucket: MemoryBucket) -> None:
    store, others = keys_of(bucket), keys_of(bucket)
    key = await store.adopt(FIRST, "gateway")
    bucket.losing, writes = 1, bucket.writes
    assert await store.suspend(key.digest, key.adopted_by, "one event")
    assert not await others.suspend(key.digest, key.adopted_by, "another event")
    assert bucket.writes == writes + 1


async def test_tenant_without_an_acknowledgement_is_updated_once(bucket: MemoryBucket) -> None:
    store = tenants_of(bucket)
    bucket.losing = 1
    updated = await store.update("acme", lambda policy: replace(policy, quota=LIMITS))
    assert updated == TenantPolicy("acme", quota=LIMITS)
    assert await store.list() == [updated]
    assert bucket.writes == 1


async def test_audit_event_without_an_acknowledgement_is_written_once_and_keeps_its_outcome(
    bucket: MemoryBucket,
) -> None:
    log = audit_of(bucket)
    event = log.event(AuditActor(type="gateway"), "CreateKey")
    bucket.losing = 1
    async with log.change(event):
        bucket.losing = 1
        (during,) = (await log.page(lambda _: True, 5)).events
    assert during.outcome == STARTED
    assert [each.outcome for each in (await log.page(lambda _: True, 5)).events] == [SUCCEEDED]
    assert bucket.writes == 2


async def test_calls_wait_for_the_election_of_a_leader(bucket: MemoryBucket) -> None:
    store = keys_of(bucket)
    bucket.failing = ELECTION
    secret, key = await store.create("acme")
    for change in (store.update(key.id, limited), store.rotate(key.id, 60), store.list(), store.revoke(key.id)):
        bucket.failing = ELECTION
        assert await change
        assert bucket.failing == 0
    bucket.failing = ELECTION
    adopted = await store.adopt(FIRST, "gateway")
    bucket.failing = ELECTION
    assert await store.adopted_by("gateway") == (adopted,)
    assert fingerprint(secret) in await store._all()


async def test_tenants_and_audit_events_wait_for_the_election_of_a_leader(bucket: MemoryBucket) -> None:
    tenants, log = tenants_of(MemoryBucket(failing=ELECTION)), audit_of(bucket)
    policy = await tenants.update("acme", lambda policy: replace(policy, media_days=3))
    assert await tenants.list() == [policy]
    bucket.failing = ELECTION
    event = log.event(AuditActor(type="gateway"), "CreateKey")
    event.outcome = FAILED
    await log.write(event)
    bucket.failing = ELECTION
    assert (await log.page(lambda _: True, 5)).events == [event]
    assert bucket.failing == 0


async def test_outage_fails_calls_at_once(bucket: MemoryBucket) -> None:
    outage = asyncio.Event()
    outage.set()
    bucket.failing = 1_000_000
    keys, tenants, log = keys_of(bucket, outage), tenants_of(bucket, outage), audit_of(bucket, outage)
    js: Any = MemoryStream(bucket)
    for call in (
        keys.create("acme"),
        keys.list(),
        keys.update("id", limited),
        keys.rotate("id", 0),
        keys.revoke("id"),
        keys.adopt(FIRST, "gateway"),
        tenants.list(),
        tenants.update("acme", lambda policy: policy),
        log.write(log.event(AuditActor(), "CreateKey")),
        log.page(lambda _: True, 5),
        LastUse(js, MemoryKeyValue(bucket), outage=outage).all(),
    ):
        with pytest.raises(UnavailableError):
            await call
    assert 1_000_000 - bucket.failing <= 11
