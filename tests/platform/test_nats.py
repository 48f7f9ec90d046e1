"""Connection to NATS: settings that can't serve, and the log of a server that can't be reached."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from imagegateway.platform import nats as module
from imagegateway.platform.nats import connect
from imagegateway.platform.setting_source import SettingError, Source
from imagegateway.platform.settings import load
from imagegateway.platform.supervision import cancel
from structlog.testing import capture_logs

from tests.jobs.server import until

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from pathlib import Path


@pytest.mark.parametrize("name", ["NATS_CA", "NATS_CREDENTIALS"])
async def test_file_that_cannot_be_read_is_refused_by_the_name_of_its_setting(tmp_path: Path, name: str) -> None:
    values = {"IMAGEGATEWAY_NATS_URL": "nats://127.0.0.1:1", f"IMAGEGATEWAY_{name}": str(tmp_path / "absent")}
    with pytest.raises(SettingError, match=f"^IMAGEGATEWAY_{name}: .*absent"):
        await connect(load(Source(values)), "test")


async def test_reason_of_an_unreachable_server_is_logged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE_SECONDS", 0.3)
    attempts = 0

    async def end(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal attempts
        attempts += 1
        writer.close()

    server = await asyncio.start_server(end, "127.0.0.1", 0)
    url = f"nats://user:password@127.0.0.1:{server.sockets[0].getsockname()[1]}"
    with capture_logs() as lines:

        def found() -> list[MutableMapping[str, Any]]:
            return [line for line in lines if line["event"] == "nats_unreachable"]

        waiting = asyncio.create_task(connect(load(Source({"IMAGEGATEWAY_NATS_URL": url})), "test"))
        await until(found)
        before = attempts
        await until(lambda: attempts >= before + 2)  # the first of them has failed
        await cancel(waiting)
    server.close()
    assert len(found()) == 1
    assert "empty response from server" in found()[0]["reason"]
    assert "password" not in str(found())
