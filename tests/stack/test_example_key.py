"""API key of the printed examples: the settings' key, or the reason why that key is not accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from imagegateway.keys.audit_log import AuditLog
from imagegateway.keys.gateway_keys import GatewayKeys
from imagegateway.keys.key_store import KeyStore
from imagegateway.keys.root_secret import RootSecret
from imagegateway.platform.nats import connect
from imagegateway.stack.example_key import example_key

from tests.jobs.server import settings_for, single

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from nats.aio.client import Client

pytestmark = pytest.mark.processes

SECRET = "key-" + "x" * 32


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    with single(tmp_path) as server:
        client = await connect(server.settings, "test")
        yield client
        await client.close()


@pytest.fixture
async def store(client: Client) -> KeyStore:
    return await KeyStore.open(client, 1, RootSecret("root secret of the tests"))


@pytest.fixture
async def keys(client: Client, store: KeyStore, tmp_path: Path) -> GatewayKeys:
    return GatewayKeys(client, store, await AuditLog.open(client, settings_for(tmp_path)), "gateway")


async def test_key_of_the_settings_is_adopted_and_not_shown(
    store: KeyStore, keys: GatewayKeys, tmp_path: Path
) -> None:
    shown = await example_key(settings_for(tmp_path, API_KEY=SECRET), keys, create=True)
    assert shown
    assert (shown.secret, shown.shown) == (SECRET, "$IMAGEGATEWAY_API_KEY")
    assert [key.adopted_by for key in await store.list()] == [("gateway",)]


async def test_revoked_key_of_the_settings_is_reported_without_its_text(
    store: KeyStore, keys: GatewayKeys, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = settings_for(tmp_path, API_KEY=SECRET)
    await example_key(given, keys, create=True)
    (key,) = await store.list()
    await store.revoke(key.id)
    assert await example_key(given, keys, create=True) is None
    printed = capsys.readouterr()
    assert "IMAGEGATEWAY_API_KEY holds a revoked key" in printed.err
    assert SECRET not in printed.out + printed.err
