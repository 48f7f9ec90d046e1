"""API keys in their bucket: revocation is final, adopted keys belong to their gateways, sessions end separately."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from imagegateway.keys import last_use
from imagegateway.keys.api_keys import BUCKET, ApiKey, RevokedKeyError, encode, fingerprint
from imagegateway.keys.audit_log import AuditLog
from imagegateway.keys.gateway_keys import GatewayKeys
from imagegateway.keys.key_ring import KeyRing
from imagegateway.keys.key_store import KeyStore
from imagegateway.keys.last_use import LastUse
from imagegateway.keys.policy import PolicyError, Quota
from imagegateway.keys.root_secret import RootSecret
from imagegateway.platform.nats import bucket, connect

from tests.jobs.server import until

if TYPE_CHECKING:
    from pathlib import Path

    from imagegateway.platform.nats_client import Client
    from nats.js.kv import KeyValue

    from tests.jobs.server import Nats

ROOT = RootSecret("root secret of the tests")
FIRST, SECOND = "first-" + "x" * 20, "second-" + "x" * 20


@pytest.fixture
async def store(client: Client) -> KeyStore:
    return await KeyStore.open(client, 1, ROOT)


class Accepted:
    """Key lookup by a new key ring each time, as in a router that starts now."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def __call__(self, *secrets: str) -> list[bool]:
        ring = KeyRing(self._client.jetstream())
        await ring._follower.refresh()
        return [fingerprint(secret) in ring._secrets for secret in secrets]


@pytest.fixture
def accepted(client: Client) -> Accepted:
    return Accepted(client)


async def test_revoked_key_is_not_adopted_again(store: KeyStore, accepted: Accepted) -> None:
    key = await store.adopt(FIRST, "gateway")
    assert await accepted(FIRST) == [True]
    assert await store.revoke(key.id)
    assert await accepted(FIRST) == [False]
    for gateway in ("gateway", "another"):
        with pytest.raises(RevokedKeyError):
            await store.adopt(FIRST, gateway)
    assert await accepted(FIRST) == [False]
    assert await store.list() == []
    assert await store.revoke(key.id) is None


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


async def test_revoked_key_of_a_command_is_not_adopted(store: KeyStore, accepted: Accepted) -> None:
    secret, key = await store.create("acme")
    await store.revoke(key.id)
    with pytest.raises(RevokedKeyError):
        await store.adopt(secret, "gateway")
    assert await accepted(secret) == [False]


async def test_another_adopted_key_replaces_the_one_before(store: KeyStore, accepted: Accepted) -> None:
    made, _ = await store.create("acme")
    await store.adopt(FIRST, "gateway")
    await store.adopt(FIRST, "gateway")
    await store.adopt(SECOND, "gateway")
    assert await accepted(FIRST, SECOND, made) == [False, True, True]
    await store.adopt(FIRST, "gateway")  # replaced, not revoked: the key may be adopted again
    assert await accepted(FIRST, SECOND) == [True, False]


async def test_key_adopted_by_two_gateways_is_valid_until_both_replace_it(
    store: KeyStore, accepted: Accepted
) -> None:
    await store.adopt(FIRST, "one")
    await store.adopt(FIRST, "two")
    await store.adopt(SECOND, "one")
    assert await accepted(FIRST, SECOND) == [True, True]
    await store.adopt(SECOND, "two")
    assert await accepted(FIRST, SECOND) == [False, True]


async def test_rotated_key_ends_although_a_replaced_container_had_adopted_it(
    nats: Nats, client: Client, store: KeyStore, accepted: Accepted, tmp_path: Path
) -> None:
    audit = await AuditLog.open(client, nats.settings)
    gone, *running = [GatewayKeys(client, store, audit, gateway) for gateway in ("gone", "one", "two")]
    for keys in running:
        await keys.announce(tmp_path)
    for keys in (gone, *running):
        await keys.adopt(FIRST)
    await running[0].adopt(SECOND)
    assert await accepted(FIRST, SECOND) == [True, True]  # the other router has not read the new key yet
    await running[1].adopt(SECOND)
    assert await accepted(FIRST, SECOND) == [False, True]


async def test_rotated_key_ends_although_a_container_has_gone_during_the_rotation(
    nats: Nats, client: Client, store: KeyStore, accepted: Accepted, tmp_path: Path
) -> None:
    audit = await AuditLog.open(client, nats.settings)
    leaving = await connect(nats.settings, "leaving")
    clients = {"one": client, "leaving": leaving, "two": client}
    gateways = {name: GatewayKeys(each, store, audit, name) for name, each in clients.items()}
    for keys in gateways.values():
        await keys.announce(tmp_path)
        await keys.adopt(FIRST)
    await gateways["one"].adopt(SECOND)
    await leaving.close()
    await gateways["two"].adopt(SECOND)
    assert await accepted(FIRST, SECOND) == [False, True]


LIMITS = Quota(requests_per_minute=5, budget=Decimal(3))


def limited(key: ApiKey) -> ApiKey:
    return replace(key, quota=LIMITS, models=("openai/*",))


async def test_rotated_setting_keeps_the_id_and_the_policy_of_its_key(store: KeyStore, client: Client) -> None:
    first = await store.adopt(FIRST, "one")
    await store.adopt(FIRST, "two")
    assert await store.update(first.id, limited)
    second = await store.adopt(SECOND, "one")
    assert (second.id, second.created_at, second.quota, second.models) == (
        first.id,
        first.created_at,
        LIMITS,
        ("openai/*",),
    )
    assert second.adopted_by == ("one",)
    assert await store.update(first.id, lambda key: replace(key, quota=Quota(concurrent_jobs=2)))
    for secret in (FIRST, SECOND):  # the other gateway has not read the new key yet
        found = await KeyRing(client.jetstream()).find(secret)
        assert found
        assert (found.id, found.quota, found.models) == (first.id, Quota(concurrent_jobs=2), ("openai/*",))
    await store.adopt(SECOND, "two")
    (key,) = await store.list()
    assert (key.id, key.quota, key.adopted_by) == (first.id, Quota(concurrent_jobs=2), ("one", "two"))
    again = await store.adopt(FIRST, "one")
    assert (again.id, again.quota) == (first.id, Quota(concurrent_jobs=2))


async def test_setting_after_a_rotation_by_command_continues_the_key(store: KeyStore, accepted: Accepted) -> None:
    first = await store.adopt(FIRST, "gateway")
    await store.update(first.id, limited)
    issued, _ = await rotated(store, first.id, overlap=60)
    second = await store.adopt(SECOND, "gateway")
    assert (second.id, second.quota, second.retired_at, second.root) == (first.id, LIMITS, 0, "")
    assert await accepted(FIRST, issued, SECOND) == [False, True, True]


async def test_key_after_a_revoked_one_of_the_setting_is_another_key(store: KeyStore) -> None:
    first = await store.adopt(FIRST, "gateway")
    await store.update(first.id, limited)
    await store.revoke(first.id)
    second = await store.adopt(SECOND, "gateway")
    assert second.id != first.id
    assert second.quota == Quota()


@pytest.mark.parametrize("by", ["setting", "command"])
@pytest.mark.parametrize("moment", ["before", "after"])
async def test_update_during_a_rotation_is_kept(
    store: KeyStore, monkeypatch: pytest.MonkeyPatch, by: str, moment: str
) -> None:
    """The update is written before or after the record of the new secret, which has the policy from before."""
    key = await store.adopt(FIRST, "gateway")
    if by == "command":
        _, key = await store.create("acme")
    write: Any = store._kv.update if by == "setting" else store._kv.put

    async def overtaken(*given: Any, **named: Any) -> int:
        monkeypatch.undo()
        if moment == "before":
            await store.update(key.id, limited)
        revision: int = await write(*given, **named)
        if moment == "after":
            old = await store._kv.get(key.digest)
            await store._kv.update(key.digest, encode(limited(key)), last=old.revision)
        return revision

    monkeypatch.setattr(store._kv, write.__name__, overtaken)
    new = await store.adopt(SECOND, "gateway") if by == "setting" else (await rotated(store, key.id, 60))[1]
    found = await store.get(key.id)
    assert found
    assert found.digest == new.digest != key.digest
    assert (found.quota, found.models) == (LIMITS, ("openai/*",))


async def test_update_that_a_rotation_overtakes_is_made_again(
    store: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await store.adopt(FIRST, "gateway")
    get = store._kv.get

    async def overtaken(name: str) -> KeyValue.Entry:
        monkeypatch.undo()
        await store.adopt(SECOND, "gateway")
        return await get(name)

    monkeypatch.setattr(store._kv, "get", overtaken)
    updated = await store.update(key.id, limited)
    assert updated
    assert (updated.digest, updated.quota) == (fingerprint(SECOND), LIMITS)
    assert await store.list() == [updated]


async def test_setting_that_names_a_key_of_a_command_never_ends_it(store: KeyStore, accepted: Accepted) -> None:
    secret, key = await store.create("acme", prefer="wait=5")
    assert await store.adopt(secret, "gateway") == key
    await store.adopt(SECOND, "gateway")
    assert await accepted(secret) == [True]


async def test_routers_that_start_together_adopt_one_key(nats: Nats, accepted: Accepted) -> None:
    clients = [await connect(nats.settings, f"router-{index}") for index in range(4)]
    stores = [await KeyStore.open(client, 1, ROOT) for client in clients]
    await stores[0].adopt(FIRST, "a")
    await asyncio.gather(*(each.adopt(SECOND, "ab"[index % 2]) for index, each in enumerate(stores)))
    (key,) = await stores[0].list()
    assert set(key.adopted_by) == {"a", "b"}
    assert await accepted(FIRST, SECOND) == [False, True]
    await asyncio.gather(*(client.close() for client in clients))


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


async def rotated(store: KeyStore, key_id: str, overlap: int) -> tuple[str, ApiKey]:
    result = await store.rotate(key_id, overlap)
    assert result
    return result


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
