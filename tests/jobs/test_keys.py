"""API keys in their bucket: revocation is final, adopted keys belong to their gateways, sessions end separately."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from imagegateway.keys import last_use
from imagegateway.keys.api_keys import BUCKET, RevokedKeyError
from imagegateway.keys.key_ring import KeyRing
from imagegateway.keys.key_store import KeyStore
from imagegateway.keys.last_use import LastUse
from imagegateway.keys.policy import PolicyError, Quota
from imagegateway.platform.nats import bucket

from tests.jobs.key_stores import FIRST, ROOT, SECOND, Accepted, rotated
from tests.jobs.server import until

if TYPE_CHECKING:
    from imagegateway.platform.nats_client import Client


@pytest.fixture
async def store(client: Client) -> KeyStore:
    return await KeyStore.open(client, 1, ROOT)


@pytest.fixture
def accepted(client: Client) -> Accepted:
    return Accepted(client)


@pytest.mark.parametrize(
    ("tenant", "name", "prefer", "named"),
    [
        ("", "", "", "tenant must not be empty"),
        ("two\nlines", "", "", "tenant must be one line"),
        (" acme", "", "", "tenant must be one line"),
        ("\x1b[31macme", "", "", "tenant must be one line"),
        ("a" * 101, "", "", "tenant must have at most 100 characters, not 101"),
        ("acme", "two\r\nlines", "", "name must be one line"),
        ("acme", "n" * 201, "", "name must have at most 200 characters"),
        ("acme", "", "wait=5\n", "default Prefer header must be one line"),
    ],
)
async def test_key_that_is_no_short_line_of_text_is_refused(
    store: KeyStore, tenant: str, name: str, prefer: str, named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        await store.create(tenant, name, prefer)
    assert await store.list() == []


async def test_key_that_ends_ends_only_its_own_calls(store: KeyStore, client: Client) -> None:
    ring = KeyRing(client.jetstream())
    begun: set[str] = set()

    async def work(secret: str) -> None:
        key = await ring.find(secret)
        assert key
        async with ring.hold(key):
            begun.add(secret)
            await asyncio.Event().wait()

    revoked, key = await store.create("acme")
    deleted, _ = await store.create("acme", session_of="gateway")
    kept, valid = await store.create("acme")
    await store.adopt(FIRST, "gateway")
    await ring._follower.refresh()
    tasks = {secret: asyncio.create_task(work(secret)) for secret in (revoked, deleted, FIRST, kept)}
    await until(lambda: begun == tasks.keys())
    await store.revoke(key.id)
    await store.delete_session_keys("gateway")
    await store.adopt(SECOND, "gateway")
    await ring._follower.refresh()
    for secret in (revoked, deleted, FIRST):
        with pytest.raises(RevokedKeyError):
            await tasks[secret]
    with pytest.raises(RevokedKeyError):
        async with ring.hold(key):
            raise AssertionError("a revoked key holds nothing")
    with pytest.raises(TimeoutError):  # raised by the body
        async with ring.hold(valid):
            raise TimeoutError
    assert not tasks[kept].done()
    tasks[kept].cancel()
    await asyncio.gather(tasks[kept], return_exceptions=True)
    assert ring._waits.keys() == {valid.digest}


async def test_gateway_is_shared_while_keys_of_two_tenants_are_in_force(store: KeyStore, client: Client) -> None:
    ring = KeyRing(client.jetstream())

    async def shared() -> bool:
        await ring._follower.refresh()
        return ring.is_shared()

    for _ in range(2):
        await store.create("acme")
    assert not await shared()
    _, other = await store.create("other")
    assert await shared()
    await store.revoke(other.id)
    assert not await shared()


async def test_session_keys_end_with_their_own_gateway_alone(store: KeyStore, accepted: Accepted) -> None:
    lasting, _ = await store.create("default")
    one, _ = await store.create("default", session_of="one")
    two, _ = await store.create("default", session_of="two")
    await store.delete_session_keys("three")
    assert await accepted(lasting, one, two) == [True, True, True]
    await store.delete_session_keys("two")
    assert await accepted(lasting, one, two) == [True, True, False]


async def test_update_changes_the_given_fields_of_every_secret(store: KeyStore, client: Client) -> None:
    secret, key = await store.create("acme", "name", models=("openai/*",))
    second, _ = await rotated(store, key.id, overlap=60)
    updated = await store.update(key.id, lambda key: replace(key, quota=Quota(requests_per_minute=5)))
    assert updated
    assert (updated.name, updated.models) == ("name", ("openai/*",))
    ring = KeyRing(client.jetstream())
    for each in (secret, second):
        found = await ring.find(each)
        assert found
        assert (found.id, found.quota.requests_per_minute) == (key.id, 5)
    assert await store.update("absent", lambda key: key) is None


async def test_update_out_of_range_changes_nothing(store: KeyStore) -> None:
    _, key = await store.create("acme")
    with pytest.raises(PolicyError):
        await store.update(key.id, lambda key: replace(key, quota=Quota(requests_per_minute=0)))
    assert await store.get(key.id) == key


async def test_rotated_key_keeps_its_id_and_its_old_secret_for_the_overlap(client: Client) -> None:
    now = 1_780_000_000.0
    store = KeyStore(client.jetstream(), await bucket(client.jetstream(), BUCKET, 1), ROOT, lambda: now)
    ring = KeyRing(client.jetstream(), lambda: now)
    first, key = await store.create("acme", quota=Quota(budget=Decimal(5)))
    second, new = await rotated(store, key.id, overlap=60)
    third, _ = await rotated(store, key.id, overlap=30)
    assert (new.id, new.quota) == (key.id, key.quota)
    ends = []
    for secret in (first, second, third):
        found = await ring.find(secret)
        assert found
        ends.append(found.ends_at)
    assert ends == [now + 30, now + 30, 0]
    assert [each.id for each in await store.list()] == [key.id]
    await store.revoke(key.id)
    await ring._follower.refresh()
    assert [await ring.find(secret) for secret in (first, second, third)] == [None, None, None]


async def test_rotation_without_overlap_ends_the_old_secret_at_once(store: KeyStore, client: Client) -> None:
    secret, key = await store.create("acme")
    await rotated(store, key.id, overlap=0)
    found = await KeyRing(client.jetstream()).find(secret)
    assert found
    assert found.is_over(time.time())
    assert await store.rotate("absent", 0) is None


async def test_key_that_expires_ends_its_running_calls(store: KeyStore, client: Client) -> None:
    now = 1_780_000_000.0
    ring = KeyRing(client.jetstream(), lambda: now)
    secret, key = await store.create("acme")
    found = await ring.find(secret)
    assert found
    begun = asyncio.Event()

    async def work() -> None:
        async with ring.hold(found):
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await begun.wait()
    await store.update(key.id, lambda key: replace(key, expires_at=int(now)))
    await ring._follower.refresh()
    with pytest.raises(RevokedKeyError):
        await task


async def test_last_use_is_stored_to_the_minute_and_never_decreases(client: Client) -> None:
    now = 1_780_000_030.0
    kv = await bucket(client.jetstream(), last_use.BUCKET, 1)
    early = LastUse(client.jetstream(), kv, lambda: now - 120)
    late = LastUse(client.jetstream(), kv, lambda: now)
    for each in (late, early):
        each.note("key")
        await each.write()
    assert await late.all() == {"key": now // 60 * 60}
