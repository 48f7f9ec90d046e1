"""Connection to NATS: settings that can't serve, and the log of a server that can't be reached."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from imagegateway.platform import nats as module
from imagegateway.platform.nats import connect
from imagegateway.platform.setting_source import SettingError, Source
from imagegateway.platform.settings import load
from imagegateway.platform.supervision import cancel
from structlog.testing import capture_logs

from tests.jobs.server import until
from tests.support.ports import free_port

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", ["NATS_CA", "NATS_CREDENTIALS"])
async def test_file_that_cannot_be_read_is_refused_by_the_name_of_its_setting(tmp_path: Path, name: str) -> None:
    values = {"IMAGEGATEWAY_NATS_URL": "nats://127.0.0.1:1", f"IMAGEGATEWAY_{name}": str(tmp_path / "absent")}
    with pytest.raises(SettingError, match=f"^IMAGEGATEWAY_{name}: .*absent"):
        await connect(load(Source(values)), "test")


async def test_reason_of_an_unreachable_server_is_logged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE_SECONDS", 0.3)
    current = load(Source({"IMAGEGATEWAY_NATS_URL": f"nats://user:password@127.0.0.1:{free_port()}"}))
    with capture_logs() as lines:
        waiting = asyncio.create_task(connect(current, "test"))
        await until(lambda: "nats_unreachable" in [line["event"] for line in lines[:-2]])  # two attempts follow it
        await cancel(waiting)
    found = [line for line in lines if line["event"] == "nats_unreachable"]
    assert len(found) == 1
    assert "ConnectionRefusedError" in found[0]["reason"]
    assert "password" not in str(found)
