"""API key of the printed examples: the settings' key, or the reason why that key is not accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from imagegateway.keys.key_store import KeyStore
from imagegateway.keys.root_secret import RootSecret
from imagegateway.platform.nats import connect
from imagegateway.stack.example_key import example_key

from tests.jobs.server import settings_for, single

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SECRET = "key-" + "x" * 32


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[KeyStore]:
    with single(tmp_path) as server:
        client = await connect(server.settings, "test")
        yield await KeyStore.open(client, 1, RootSecret("root secret of the tests"))
        await client.close()


async def test_key_of_the_settings_is_adopted_and_not_shown(store: KeyStore, tmp_path: Path) -> None:
    shown = await example_key(settings_for(tmp_path, API_KEY=SECRET), store, "gateway", create=True)
    assert shown
    assert (shown.secret, shown.shown) == (SECRET, "$IMAGEGATEWAY_API_KEY")
    assert [key.adopted_by for key in await store.list()] == [("gateway",)]


async def test_revoked_key_of_the_settings_is_reported_without_its_text(
    store: KeyStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = settings_for(tmp_path, API_KEY=SECRET)
    await example_key(given, store, "gateway", create=True)
    (key,) = await store.list()
    await store.revoke(key.id)
    assert await example_key(given, store, "gateway", create=True) is None
    printed = capsys.readouterr()
    assert "IMAGEGATEWAY_API_KEY holds a revoked key" in printed.err
    assert SECRET not in printed.out + printed.err
