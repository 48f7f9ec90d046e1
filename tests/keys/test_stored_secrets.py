"""Webhook secrets and provider keys on a bucket with faults: elections, and writes without an acknowledgement."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from imagegateway.keys.provider_keys import ProviderKeys
from imagegateway.keys.root_secret import RootSecret
from imagegateway.keys.webhook_secrets import OVERLAP_SECONDS, WebhookSecret, WebhookSecrets
from imagegateway.platform.errors import UnavailableError

from tests.platform.key_values import MemoryBucket, MemoryKeyValue

ROOT = RootSecret("a root secret of tests")
NO_STREAM: Any = None


def secrets_of(bucket: MemoryBucket, outage: asyncio.Event | None = None) -> WebhookSecrets:
    return WebhookSecrets(MemoryKeyValue(bucket), ROOT, lambda: 1_000_000, outage)


def keys_of(bucket: MemoryBucket, outage: asyncio.Event | None = None) -> ProviderKeys:
    return ProviderKeys(NO_STREAM, MemoryKeyValue(bucket), ROOT, lambda: 1_000_000, outage)


async def test_rotation_without_an_acknowledgement_happens_once(bucket: MemoryBucket) -> None:
    secrets = secrets_of(bucket)
    old = await secrets.get("acme")
    bucket.losing, writes = 1, bucket.writes
    new = await secrets.rotate("acme")
    assert (new.previous, new.previous_expires_at) == (old.secret, 1_000_000 + OVERLAP_SECONDS)
    assert bucket.writes == writes + 1
    assert await secrets.get("acme") == new


async def test_rotation_that_another_one_follows_unseen_is_not_repeated(bucket: MemoryBucket) -> None:
    secrets, others = secrets_of(bucket), secrets_of(bucket)
    old = await secrets.get("acme")
    later: list[WebhookSecret] = []
    bucket.losing = 1

    async def overtake(step: str) -> None:
        if step == "read" and not bucket.losing:
            bucket.gate = at_once
            later.append(await others.rotate("acme"))

    at_once, bucket.gate = bucket.gate, overtake
    new = await secrets.rotate("acme")
    assert new.previous == old.secret
    assert (await secrets.get("acme")).signing(1_000_000) == [later[0].secret, new.secret]


async def test_first_secret_without_an_acknowledgement_is_the_one_that_is_returned(bucket: MemoryBucket) -> None:
    bucket.losing = 1
    secrets = secrets_of(bucket)
    assert await secrets.get("acme") == await secrets.get("acme")
    assert bucket.writes == 1


async def test_provider_key_without_an_acknowledgement_is_stored_and_deleted_once(bucket: MemoryBucket) -> None:
    keys = keys_of(bucket)
    bucket.losing = 1
    stored = await keys.set("acme", "fal", "a provider's key of acme")
    assert await keys.list("acme", ["bfl", "fal"]) == [stored]
    bucket.losing = 1
    assert await keys.delete("acme", "fal")
    assert not await keys.delete("acme", "fal")
    assert await keys.list("acme", ["fal"]) == []
    assert bucket.writes == 2


async def test_calls_wait_for_the_election_of_a_leader(bucket: MemoryBucket) -> None:
    secrets, keys = secrets_of(bucket), keys_of(bucket)
    bucket.failing = 5
    first = await secrets.get("acme")
    bucket.failing = 5
    assert (await secrets.rotate("acme")).previous == first.secret
    bucket.failing = 5
    stored = await keys.set("acme", "fal", "a provider's key of acme")
    bucket.failing = 5
    assert await keys.list("acme", ["fal"]) == [stored]
    bucket.failing = 5
    assert await keys.delete("acme", "fal")
    assert bucket.failing == 0


async def test_outage_fails_calls_at_once(bucket: MemoryBucket) -> None:
    outage = asyncio.Event()
    outage.set()
    bucket.failing = 1_000_000
    secrets, keys = secrets_of(bucket, outage), keys_of(bucket, outage)
    for call in (
        secrets.get("acme"),
        secrets.rotate("acme"),
        keys.set("acme", "fal", "key"),
        keys.list("acme", ["fal"]),
        keys.delete("acme", "fal"),
    ):
        with pytest.raises(UnavailableError):
            await call
    assert 1_000_000 - bucket.failing <= 5
