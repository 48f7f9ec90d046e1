"""API keys of settings: adopted, rotated with their policy, and ended with the gateways that have them."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from imagegateway.keys import gateway_keys
from imagegateway.keys.adopted_key import AdoptedKey
from imagegateway.keys.api_keys import ApiKey, RevokedKeyError, encode, fingerprint
from imagegateway.keys.audit_log import SUCCEEDED, AuditLog
from imagegateway.keys.gateway_keys import GatewayKeys
from imagegateway.keys.key_ring import KeyRing
from imagegateway.keys.key_store import KeyStore
from imagegateway.keys.policy import Quota
from imagegateway.platform import kv_mirror
from imagegateway.platform.nats import connect
from imagegateway.platform.secret import Secret
from imagegateway.platform.supervision import Supervisor

from tests.jobs.key_stores import FIRST, ROOT, SECOND, Accepted, rotated
from tests.jobs.server import until

if TYPE_CHECKING:
    from pathlib import Path

    from imagegateway.platform.nats_client import Client
    from imagegateway.platform.settings import Settings
    from nats.js.kv import KeyValue

    from tests.jobs.server import Nats


@pytest.fixture
async def store(client: Client) -> KeyStore:
    return await KeyStore.open(client, 1, ROOT)


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
    assert await accepted(FIRST, SECOND) == [True, True]  # before the other router reads the new key
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


class Gateway:
    """A router's part that adopts a key from its settings, with a separate connection."""

    def __init__(self, name: str, secret: str, settings: Settings, folder: Path) -> None:
        self._name = name
        self._secret = secret
        self._settings = settings
        self._folder = folder
        self._resources = AsyncExitStack()

    async def __aenter__(self) -> Gateway:
        client = await connect(self._settings, self._name)
        self._resources.push_async_callback(client.close)
        store = await KeyStore.open(client, 1, ROOT)
        self.keys = GatewayKeys(client, store, await AuditLog.open(client, self._settings), self._name)
        await self.keys.announce(self._folder)
        adopted = AdoptedKey(Secret(self._secret), self.keys)
        await adopted.adopt()
        supervisor = Supervisor()
        self._resources.push_async_callback(supervisor.close)
        self.ring = KeyRing(client.jetstream())
        await self.ring.start(supervisor)
        supervisor.spawn("adopted key", adopted.follow(self.ring.adopted, seconds=0.05))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._resources.aclose()

    async def accepts(self, secret: str) -> bool:
        key = await self.ring.find(secret)
        return key is not None and not key.is_over(time.time())

    async def until(self, secret: str, *, accepted: bool) -> None:
        async with asyncio.timeout(20):
            while await self.accepts(secret) is not accepted:  # noqa: ASYNC110  the condition is in NATS
                await asyncio.sleep(0.05)


async def test_key_ends_when_all_of_its_gateways_are_replaced_at_once_and_returns_with_one(
    nats: Nats, store: KeyStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway_keys, "_GONE_SECONDS", 0.2)
    monkeypatch.setattr(kv_mirror, "RESYNC_SECONDS", 0.05)
    one, two = (Gateway(name, FIRST, nats.settings, tmp_path) for name in ("one", "two"))
    new = Gateway("new", SECOND, nats.settings, tmp_path)
    async with one, two:
        (key,) = await store.list()
        await store.update(key.id, limited)
    async with new:
        await new.until(FIRST, accepted=False)
        assert await new.accepts(SECOND)
        async with Gateway("one", FIRST, nats.settings, tmp_path) as back:
            await new.until(FIRST, accepted=True)
            assert await back.accepts(FIRST)
            assert (await store.adopted_by("one"))[0].quota == LIMITS
            await asyncio.sleep(0.5)
            assert await new.accepts(FIRST), "a gateway that runs keeps its key"


async def test_gateway_that_did_not_answer_for_a_while_has_its_key_again(
    nats: Nats, store: KeyStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kv_mirror, "RESYNC_SECONDS", 0.05)
    async with Gateway("one", FIRST, nats.settings, tmp_path) as gateway:
        await store.suspend(fingerprint(FIRST), ("another",), "event")
        assert not (await store.adopted_by("one"))[0].left_at
        await store.suspend(fingerprint(FIRST), ("one",), "event")
        await until(lambda: any(key.left_at for key in gateway.ring.adopted()))
        await gateway.until(FIRST, accepted=True)


async def test_suspension_by_several_gateways_is_one_audit_event(
    nats: Nats, client: Client, store: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway_keys, "_GONE_SECONDS", 0.0)
    audit = await AuditLog.open(client, nats.settings)
    gone, *others = [GatewayKeys(client, store, audit, gateway) for gateway in ("gone", "one", "two", "three")]
    await gone.adopt(FIRST)
    records = await store.adopted_by("gone")
    await asyncio.gather(*(keys.suspend_left(records) for keys in others))
    assert (await store.adopted_by("gone"))[0].left_at
    events = (await audit.page(lambda event: event.method == "SuspendKey", 10)).events
    assert [(event.target, event.outcome) for event in events] == [(records[0].id, SUCCEEDED)]


async def test_gateway_of_an_earlier_version_is_never_taken_for_gone(
    nats: Nats, client: Client, store: KeyStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Versions up to 0.2 do not answer probes of their presence."""
    monkeypatch.setattr(gateway_keys, "_GONE_SECONDS", 0.0)
    audit = await AuditLog.open(client, nats.settings)
    earlier, other, new = [GatewayKeys(client, store, audit, gateway) for gateway in ("earlier", "other", "new")]
    await other.announce(tmp_path)
    await earlier.adopt(FIRST)
    await store._change(fingerprint(FIRST), lambda key: key and replace(key, announced_by=()))
    await new.suspend_left(await store.adopted_by("earlier"))
    assert not (await store.adopted_by("earlier"))[0].left_at
    await other.adopt(FIRST)
    await other.adopt(SECOND)
    assert await Accepted(client)(FIRST, SECOND) == [True, True]
    await earlier.adopt(FIRST)  # by its present version
    await new.suspend_left(await store.adopted_by("earlier"))
    assert (await store.adopted_by("earlier"))[0].left_at


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
    for secret in (FIRST, SECOND):  # before the other gateway reads the new key
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
    kv = store._documents._kv
    write: Any = kv.update

    async def overtaken(*given: Any, **named: Any) -> int:
        monkeypatch.undo()
        if moment == "before":
            await store.update(key.id, limited)
        revision: int = await write(*given, **named)
        if moment == "after":
            old = await kv.get(key.digest)
            await kv.update(key.digest, encode(limited(key)), last=old.revision)
        return revision

    monkeypatch.setattr(kv, "update", overtaken)
    new = await store.adopt(SECOND, "gateway") if by == "setting" else (await rotated(store, key.id, 60))[1]
    found = await store.get(key.id)
    assert found
    assert found.digest == new.digest != key.digest
    assert (found.quota, found.models) == (LIMITS, ("openai/*",))


async def test_update_that_a_rotation_overtakes_is_made_again(
    store: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await store.adopt(FIRST, "gateway")
    kv = store._documents._kv
    get = kv.get

    async def overtaken(name: str) -> KeyValue.Entry:
        monkeypatch.undo()
        await store.adopt(SECOND, "gateway")
        return await get(name)

    monkeypatch.setattr(kv, "get", overtaken)
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
