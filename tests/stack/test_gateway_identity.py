"""Identity of a gateway: a copied data directory gets a new one while the original runs."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from imagegateway.keys import gateway_presence
from imagegateway.platform.identity import GATEWAY, load_identity
from imagegateway.platform.nats import connect
from imagegateway.stack import gateway_identity

from tests.jobs.server import settings_for, single

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.processes


async def test_copy_of_a_running_routers_directory_gets_a_new_identity(tmp_path: Path) -> None:
    for name in ("nats", "original"):
        (tmp_path / name).mkdir()
    with single(tmp_path / "nats") as nats:
        url = nats.settings.nats_address()
        original = settings_for(tmp_path / "original", NATS_URL=url)
        identity = load_identity(original.data_dir / GATEWAY)
        client = await connect(original, "router-0")
        await gateway_presence.announce(client, identity, original.data_dir / GATEWAY)
        await gateway_identity.renew_copied(original, "router")
        assert load_identity(original.data_dir / GATEWAY) == identity, "routers of one directory share it"
        copied = settings_for(shutil.copytree(original.data_dir, tmp_path / "copy"), NATS_URL=url)
        await gateway_identity.renew_copied(copied, "router")
        assert load_identity(copied.data_dir / GATEWAY) != identity
        assert load_identity(original.data_dir / GATEWAY) == identity
        await client.close()


async def test_copy_of_a_running_gateway_gets_a_new_identity(tmp_path: Path) -> None:
    for name in ("nats", "original"):
        (tmp_path / name).mkdir()
    with single(tmp_path / "nats") as nats:
        url = nats.settings.nats_address()
        original = settings_for(tmp_path / "original", NATS_URL=url)
        identity = load_identity(original.data_dir / GATEWAY)
        await gateway_identity.renew_copied(original, "up")
        assert load_identity(original.data_dir / GATEWAY) == identity, "a restart keeps it"

        client = await connect(original, "up")
        await gateway_presence.announce(client, identity, original.data_dir / GATEWAY)
        copied = settings_for(shutil.copytree(original.data_dir, tmp_path / "copy"), NATS_URL=url)
        await gateway_identity.renew_copied(copied, "up")
        assert load_identity(copied.data_dir / GATEWAY) != identity
        assert load_identity(original.data_dir / GATEWAY) == identity
        await client.close()
        await gateway_identity.renew_copied(original, "up")
        assert load_identity(original.data_dir / GATEWAY) == identity
