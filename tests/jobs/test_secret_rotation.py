"""Root secret rotation over a real NATS server: earlier values stay readable and are encrypted again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from imagegateway.cli import secrets as command
from imagegateway.jobs.credentials import JobCredentials
from imagegateway.keys import provider_keys
from imagegateway.keys.provider_keys import ProviderKeys
from imagegateway.keys.reencryption import ReencryptionCounts, reencrypt
from imagegateway.keys.root_secret import RootSecret
from imagegateway.keys.webhook_secrets import UnreadableSecretError, WebhookSecrets
from imagegateway.platform.setting_source import Source
from imagegateway.platform.settings import load
from nats.js.kv import KeyValue

from tests.jobs import records

if TYPE_CHECKING:
    from imagegateway.platform.nats_client import Client
    from imagegateway.platform.settings import Settings

    from tests.jobs.server import Nats

OLD, NEW = "the old root secret", "the new root secret"
KEY = "sk-a-provider-key-of-acme-1234"


def rotated(nats: Nats, previous: str = OLD) -> Settings:
    """Return settings of the same gateway after a change of its root secret."""
    values = {
        "DATA_DIR": str(nats.settings.data_dir),
        "NATS_URL": nats.settings.nats_address(),
        "SECRET_KEY": NEW,
        "SECRET_KEY_PREVIOUS": previous,
    }
    return load(Source({f"IMAGEGATEWAY_{name}": value for name, value in values.items()}))


async def revealed(client: Client, root: RootSecret, tenant: str) -> str:
    keys = await ProviderKeys.open(client, 1, root)
    await keys.refresh()
    return keys.reveal(tenant, "fal", keys.of(tenant)["fal"])


async def test_rotation_reencrypts_all_stored_values(
    nats: Nats, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = RootSecret(OLD), RootSecret(NEW)
    keys = await ProviderKeys.open(client, 1, old)
    secrets = await WebhookSecrets.open(client, 1, old)
    await keys.set("acme", "fal", KEY)
    await keys.set("other", "fal", "the other's")
    shown = await secrets.get("acme")

    both = RootSecret(NEW, OLD)
    assert await revealed(client, both, "acme") == KEY
    assert await (await WebhookSecrets.open(client, 1, both)).get("acme") == shown
    await (await ProviderKeys.open(client, 1, both)).set("third", "fal", "made after")

    assert await command.rotated(rotated(nats), client) == 0
    said = capsys.readouterr().out
    assert "provider keys: 2 encrypted again, 1 up to date, 0 unreadable" in said
    assert "webhook secrets: 1 encrypted again, 0 up to date, 0 unreadable" in said
    assert await revealed(client, new, "acme") == KEY
    assert await revealed(client, new, "other") == "the other's"
    assert await (await WebhookSecrets.open(client, 1, new)).get("acme") == shown
    assert await command.rotated(rotated(nats, previous=""), client) == 0


async def test_rotation_without_the_previous_secret_fails_and_changes_nothing(
    nats: Nats, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    await (await ProviderKeys.open(client, 1, RootSecret(OLD))).set("acme", "fal", KEY)
    assert await command.rotated(rotated(nats, previous=""), client) == 1
    said = capsys.readouterr()
    assert "provider keys: 0 encrypted again, 0 up to date, 1 unreadable" in said.out
    assert "IMAGEGATEWAY_SECRET_KEY_PREVIOUS" in said.err
    assert await revealed(client, RootSecret(OLD), "acme") == KEY


async def test_value_stored_during_a_rotation_is_not_overwritten(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = await ProviderKeys.open(client, 1, RootSecret(OLD))
    await keys.set("acme", "fal", "replaced")
    get, reads = KeyValue.get, 0

    async def overtaken(kv: KeyValue, key: str) -> KeyValue.Entry:
        nonlocal reads
        entry = await get(kv, key)
        reads += 1
        if reads == 1:
            await keys.set("acme", "fal", KEY)  # reads the entry once
        return entry

    monkeypatch.setattr(KeyValue, "get", overtaken)
    sealer = RootSecret(NEW, OLD).sealer(provider_keys.PURPOSE)
    assert await reencrypt(client, provider_keys.BUCKET, 1, sealer) == ReencryptionCounts(reencrypted=1)
    assert reads == 3
    assert await revealed(client, RootSecret(NEW), "acme") == KEY


async def test_webhook_secret_without_the_previous_root_can_always_be_rotated(client: Client) -> None:
    await (await WebhookSecrets.open(client, 1, RootSecret(OLD))).get("acme")
    after = await WebhookSecrets.open(client, 1, RootSecret(NEW))
    with pytest.raises(UnreadableSecretError):
        await after.get("acme")
    fresh = await after.rotate("acme")
    assert not fresh.previous
    assert await after.get("acme") == fresh


def test_provider_key_of_a_job_under_way_is_read_after_a_rotation() -> None:
    record = records.job(route="bfl")
    record.sealed_credential = JobCredentials(RootSecret(OLD)).seal(KEY)
    assert JobCredentials(RootSecret(NEW, OLD)).open(record) == KEY
