"""Invalid data in the stream and the buckets: skipped, logged by key, and harmless to other entries."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from imagegateway.jobs import membership, states
from imagegateway.jobs.list_query import Query
from imagegateway.keys import api_keys as keys_module
from imagegateway.keys import provider_keys, webhook_secrets
from imagegateway.keys.api_keys import fingerprint
from imagegateway.keys.key_ring import KeyRing
from imagegateway.keys.key_store import KeyStore
from imagegateway.keys.provider_keys import ProviderKeys
from imagegateway.keys.root_secret import RootSecret
from imagegateway.keys.webhook_secrets import UnreadableSecretError, WebhookSecrets
from imagegateway.platform import logs, stored_values
from imagegateway.platform.errors import GatewayError
from imagegateway.platform.nats import bucket
from imagegateway.platform.supervision import Supervisor
from structlog.testing import capture_logs

from tests.jobs import records
from tests.jobs.replica import ROOT, serving
from tests.jobs.scripted_providers import ScriptedProviders
from tests.jobs.server import settings_for, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from imagegateway.jobs.idempotency import IdempotencyKeys
    from imagegateway.platform.nats_client import Client
    from imagegateway.platform.settings import Settings

    from tests.jobs.server import Nats

OF_ANOTHER_JOB = records.job(job_id="job_another").SerializeToString()
GARBAGE = [b"", b"\xff\xfe\x00", b"null", b"[]", b'"text"', b"{}", b"[" * 100_000, b"\x0a\xff\xff\xff\xff\x0f"]
FIELDS: list[dict[str, Any]] = [
    {"tenant": None},
    {"tenant": ["acme"]},
    {"tenant": "acme", "created_at": "today"},
    {"tenant": "acme", "created_at": 10**30},
    {"tenant": "acme", "created_at": True},
    {"tenant": "acme", "name": {}},
    {"tenant": "acme", "adopted_by": "all"},
    {"tenant": "acme", "revoked_at": -1},
]


@pytest.fixture(autouse=True)
def _fresh_logger(monkeypatch: pytest.MonkeyPatch) -> None:
    # A used logger keeps its earlier configuration, which may be another test's.
    monkeypatch.setattr(stored_values, "_log", logs.get("imagegateway.platform.stored_values"))


@pytest.fixture
def settings(nats: Nats) -> Settings:
    return settings_for(nats.settings.data_dir, NATS_URL=nats.settings.nats_address())


@pytest.fixture
async def supervisor() -> AsyncIterator[Supervisor]:
    """Run the test under a supervisor. Fail if a supervised task ends."""
    made = Supervisor()
    yield made
    assert made.failure is None
    await made.close()


async def poison(client: Client) -> list[str]:
    """Write garbage on subjects of jobs. Return the subjects."""
    js = client.jetstream()
    subjects = []
    for number, data in enumerate([*GARBAGE, OF_ANOTHER_JOB]):
        subjects.append(f"j.job_bad{number}.local.queued")
        await js.publish(subjects[-1], data)
    unknown = records.job(job_id="job_unknown")
    unknown.state = 99  # type: ignore[assignment]  # of a later version
    subjects.append("j.job_unknown.local.99")
    await js.publish(subjects[-1], unknown.SerializeToString())
    return subjects


async def test_unreadable_job_message_is_skipped_and_logged(settings: Settings, client: Client) -> None:
    with capture_logs() as lines:
        async with serving(settings, ScriptedProviders()) as up:
            subjects = await poison(client)
            good = await up.submit(records.job())
            assert (await up.ended(good.record.id)).record.state == states.COMPLETED
            await up.engine.feed.catch_up()
            assert (await up.engine.index.page(Query("acme"))).ids == [good.record.id]
            assert not up.engine.feed.live
            await up.engine.execution.reconciler.reconcile()
        # The next incarnation finds the same in the stream.
        async with serving(settings, ScriptedProviders()) as up:
            good = await up.submit(records.job())
            assert (await up.ended(good.record.id)).record.state == states.COMPLETED
            assert await up.stream.last("job_bad0") is None
            assert [entry async for entry in up.stream.history("job_bad1", 0)] == []
    skipped = [line for line in lines if line["event"] == "stored_value_skipped"]
    assert {line["key"] for line in skipped} >= set(subjects)
    assert max(line["skipped"] for line in skipped) >= len(subjects)
    assert not [line for line in lines if line["event"] == "background_task_ended"]


@pytest.mark.parametrize("value", [*GARBAGE, b'{"job_id": 1, "request": "r"}', b'{"job_id": "j"}'])
async def test_unreadable_idempotency_claim_counts_as_absent(
    idempotency: IdempotencyKeys, client: Client, value: bytes
) -> None:
    await idempotency.claim("acme", "key", "job_first", "request")
    subject = (await client.jetstream().get_msg("JOBS", subject="k.*", seq=1, next=True)).subject
    assert subject
    await client.jetstream().publish(subject, value)
    claim = await idempotency.claim("acme", "key", "job_second", "request")
    assert (claim.job_id, claim.mine) == ("job_second", True)
    claim = await idempotency.claim("acme", "key", "job_third", "request")
    assert (claim.job_id, claim.mine) == ("job_second", False)


async def test_unreadable_api_key_entry_does_not_end_revocation(client: Client, supervisor: Supervisor) -> None:
    store, ring = await KeyStore.open(client, 1, RootSecret(ROOT)), KeyRing(client.jetstream())
    secret, key = await store.create("acme")
    kv = await client.jetstream().key_value(keys_module.BUCKET)
    await kv.put("garbage", b"x")
    for number, value in enumerate([*GARBAGE, *(json.dumps(fields).encode() for fields in FIELDS)]):
        await kv.put(fingerprint(f"bad {number}"), value)
    await ring.start(supervisor)
    assert await ring.find(secret) == key
    assert await store.list() == [key]
    await kv.put("more-garbage", b"null")
    assert await store.revoke(key.id)
    await ring._follower.refresh()
    assert await ring.find(secret) is None
    assert await ring.find("bad 0") is None
    # A damaged key is no longer valid.
    damaged, _ = await store.create("acme")
    assert await ring.find(damaged)
    await kv.put(fingerprint(damaged), b"{")
    await ring._follower.refresh()
    assert await ring.find(damaged) is None


async def test_unreadable_provider_key_affects_its_own_entry_only(client: Client, supervisor: Supervisor) -> None:
    root = RootSecret(ROOT)
    stored_keys = await ProviderKeys.open(client, 1, root)
    sealer = root.sealer(provider_keys.PURPOSE)
    kv = await client.jetstream().key_value(provider_keys.BUCKET)
    await stored_keys.set("acme", "fal", "the key")
    for name in ("garbage", "a.b.c", "x" * 64 + ".fal"):
        await kv.put(name, b"\xff")
    await stored_keys.start(supervisor)
    for value in (*GARBAGE, *map(sealer.seal, GARBAGE), sealer.seal(b'{"tenant": "acme", "route": 1}')):
        await kv.put(provider_keys._name("acme", "bfl"), value)
        await stored_keys.refresh()
        of_tenant = stored_keys.of("acme")
        with pytest.raises(GatewayError):
            stored_keys.reveal("acme", "bfl", of_tenant["bfl"])
        assert stored_keys.reveal("acme", "fal", of_tenant["fal"]) == "the key"
        bad, good = await stored_keys.list("acme", ["bfl", "fal"])
        assert (bad.created_at, bool(good.created_at)) == (0, True)


async def test_unreadable_webhook_secret_is_reported_and_replaced_by_a_rotation(client: Client) -> None:
    root = RootSecret(ROOT)
    opened = await WebhookSecrets.open(client, 1, root)
    kv = await client.jetstream().key_value(webhook_secrets.BUCKET)
    for value in (*GARBAGE, *map(root.sealer(webhook_secrets.PURPOSE).seal, GARBAGE)):
        await kv.put(webhook_secrets._key("acme"), value)
        with pytest.raises(UnreadableSecretError):
            await opened.get("acme")
        assert not (await opened.rotate("acme")).previous
        await opened.get("acme")


async def test_unreadable_membership_entry_ends_no_replica(
    settings: Settings, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(membership, "HEARTBEAT_SECONDS", 0.02)
    kv = await bucket(client.jetstream(), membership.BUCKET, 1, ttl=membership.LEASE_SECONDS)
    async with serving(settings, ScriptedProviders()) as up, serving(settings, ScriptedProviders(), 1) as other:
        for number, value in enumerate(GARBAGE):
            await kv.put(f"bad{number}", value)
        beats = up.engine.membership._revision
        await until(lambda: up.engine.membership._revision > beats + 20)
        assert not up.engine.membership.is_expired(other.engine.membership.owner)
        assert up._supervisor.failure is None
        # The replica restores its own entry, which no live replica overwrote.
        await kv.put(up.engine.membership.name, b"\xff\xff")
        beats = up.engine.membership._revision
        await until(lambda: up.engine.membership._revision > beats + 20)
        assert up._supervisor.failure is None
        await asyncio.sleep(0)
