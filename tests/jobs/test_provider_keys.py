"""Stored provider keys over a real server: encrypted, separate by tenant and route, followed by every process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from imagegateway.keys.provider_keys import BUCKET, ProviderKey, ProviderKeys
from imagegateway.keys.root_secret import RootSecret
from imagegateway.platform import kv_mirror
from imagegateway.platform.errors import GatewayError
from imagegateway.platform.nats import bucket, connect
from imagegateway.platform.supervision import Supervisor
from imagegateway.v1.error_reason_pb2 import ErrorReason

from tests.jobs.server import until

if TYPE_CHECKING:
    from imagegateway.platform.nats_client import Client

    from tests.jobs.server import Nats

ROOT = RootSecret("root secret of the tests")
KEY = "sk-a-provider-key-of-acme-1234"


def revealed(keys: ProviderKeys, tenant: str) -> dict[str, str]:
    """Return the keys that a process would use."""
    return {route: keys.reveal(tenant, route, sealed) for route, sealed in keys.of(tenant).items()}


async def test_a_key_is_encrypted_at_rest(nats: Nats, client: Client) -> None:
    keys = await ProviderKeys.open(client, 1, ROOT)
    await keys.set("acme", "fal", KEY)
    kv = await client.jetstream().key_value(BUCKET)
    names = await kv.keys()
    assert len(names) == 1
    assert "acme" not in names[0]
    stored = b"".join(path.read_bytes() for path in (nats.settings.data_dir / "nats").rglob("*.blk"))
    for raw in ((await kv.get(names[0])).value or b"", stored):
        assert raw
        for text in (KEY, "acme", KEY[-4:] + '"'):
            assert text.encode() not in raw


async def test_keys_are_separate_by_tenant_and_route_and_replaced(client: Client) -> None:
    time = [1_000_000.0]
    js = client.jetstream()
    keys = ProviderKeys(js, await bucket(js, BUCKET, 1), ROOT, clock=lambda: time[0])
    routes = ["bfl", "fal", "openai"]
    assert await keys.set("acme", "openai", "acme's first key of openai") == ProviderKey("openai", 1_000_000, "enai")
    time[0] = 2_000_000.5
    await keys.set("acme", "openai", KEY)
    await keys.set("acme", "bfl", "too short")
    await keys.set("other", "openai", "other's key of openai")
    assert await keys.list("acme", routes) == [
        ProviderKey("bfl", 2_000_000),
        ProviderKey("openai", 2_000_000, KEY[-4:]),
    ]
    assert [key.route for key in await keys.list("other", routes)] == ["openai"]
    assert await keys.list("unknown", routes) == []
    assert await keys.delete("other", "openai")
    assert not await keys.delete("other", "openai")
    assert not await keys.delete("unknown", "fal")
    assert [key.route for key in await keys.list("acme", routes)] == ["bfl", "openai"]


async def test_reader_follows_the_keys_of_another_process(
    nats: Nats, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kv_mirror, "RESYNC_SECONDS", 0.01)
    writer = await ProviderKeys.open(client, 1, ROOT)
    await writer.set("acme", "fal", "before it was there")
    connection = await connect(nats.settings, "follower")
    reader = await ProviderKeys.open(connection, 1, ROOT)
    supervisor = Supervisor()
    await reader.start(supervisor)
    try:
        assert revealed(reader, "acme") == {"fal": "before it was there"}
        taken = reader.of("acme")
        await writer.set("acme", "fal", KEY)
        await until(lambda: revealed(reader, "acme") == {"fal": KEY})
        assert reader.reveal("acme", "fal", taken["fal"]) == "before it was there"
        await writer.set("acme", "bfl", KEY)
        await until(lambda: set(reader.of("acme")) == {"bfl", "fal"})
        await writer.delete("acme", "fal")
        await until(lambda: set(reader.of("acme")) == {"bfl"})
        assert reader.of("other") == {}
        nats.kill()
        await until(lambda: not connection.is_connected)
        assert revealed(reader, "acme") == {"bfl": KEY}  # the last view stays in use
        nats.start()
        await until(lambda: client.is_connected and connection.is_connected)
        await writer.set("acme", "openai", KEY)
        await until(lambda: set(reader.of("acme")) == {"bfl", "openai"})
    finally:
        await supervisor.close()
        await connection.close()


async def test_refresh_reads_the_newest_write(client: Client) -> None:
    keys = await ProviderKeys.open(client, 1, ROOT)
    supervisor = Supervisor()
    await keys.start(supervisor)
    try:
        for index in range(5):
            await keys.set("acme", "fal", f"key {index}")
            await keys.refresh()
            assert revealed(keys, "acme") == {"fal": f"key {index}"}
        await keys.delete("acme", "fal")
        await keys.refresh()
        assert keys.of("acme") == {}
    finally:
        await supervisor.close()


async def test_value_moved_to_another_entry_can_not_be_used(client: Client) -> None:
    keys = await ProviderKeys.open(client, 1, ROOT)
    await keys.set("acme", "fal", KEY)
    await keys.set("thief", "fal", "the thief's own")
    kv = await client.jetstream().key_value(BUCKET)
    stored = await kv_mirror.snapshot(client.jetstream(), BUCKET)
    for name, value in stored.items():  # each one's value in the other's entry, and under another route
        await kv.put(name.replace(".fal", ".bfl"), value)
    await keys.refresh()
    for tenant in ("acme", "thief"):
        assert keys.reveal(tenant, "fal", keys.of(tenant)["fal"])
        with pytest.raises(GatewayError):
            keys.reveal(tenant, "bfl", keys.of(tenant)["bfl"])
    with pytest.raises(GatewayError) as raised:
        keys.reveal("thief", "fal", keys.of("acme")["fal"])
    assert raised.value.reason == ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS
    assert KEY not in raised.value.message
    assert await keys.list("acme", ["bfl"]) == [ProviderKey("bfl")]


async def test_another_root_secret_reads_nothing_and_can_replace(client: Client) -> None:
    keys = await ProviderKeys.open(client, 1, ROOT)
    await keys.set("acme", "fal", KEY)
    other = await ProviderKeys.open(client, 1, RootSecret("another root secret"))
    await other.refresh()
    assert await other.list("acme", ["fal"]) == [ProviderKey("fal")]
    with pytest.raises(GatewayError) as raised:
        revealed(other, "acme")
    assert "PUT /v1/provider-keys/fal" in raised.value.message
    await other.set("acme", "fal", "stored again")
    await other.refresh()
    assert revealed(other, "acme") == {"fal": "stored again"}
    assert await keys.delete("acme", "fal")


async def test_keys_survive_a_crash_of_the_server(nats: Nats, client: Client) -> None:
    keys = await ProviderKeys.open(client, 1, ROOT)
    await keys.set("acme", "fal", "replaced")
    await keys.set("acme", "fal", KEY)
    nats.kill()
    nats.start()
    again = await connect(nats.settings, "again")
    try:
        keys = await ProviderKeys.open(again, 1, ROOT)
        await keys.refresh()
        assert revealed(keys, "acme") == {"fal": KEY}
    finally:
        await again.close()


async def test_refreshes_leave_nothing_in_the_server_and_each_is_complete(client: Client) -> None:
    """Many refreshes in a row: none leaves state in the server or misses an earlier write."""
    js = client.jetstream()
    keys = await ProviderKeys.open(client, 1, ROOT)
    for index in range(60):
        await keys.set(f"tenant {index % 3}", "fal", f"key {index}")
        await keys.refresh()
        assert revealed(keys, f"tenant {index % 3}") == {"fal": f"key {index}"}
        assert len(await kv_mirror.snapshot(js, BUCKET)) == min(index + 1, 3)
    assert (await js.stream_info(f"KV_{BUCKET}")).state.consumer_count == 0


async def test_recreated_bucket_is_read_again(client: Client) -> None:
    js = client.jetstream()
    keys = await ProviderKeys.open(client, 1, ROOT)
    for key in ("replaced", "also replaced", KEY):
        await keys.set("acme", "fal", key)
    await keys.refresh()
    await js.delete_key_value(BUCKET)
    again = await ProviderKeys.open(client, 1, ROOT)
    await again.set("other", "bfl", KEY)
    await keys.refresh()
    assert keys.of("acme") == {}
    assert revealed(keys, "other") == {"bfl": KEY}
