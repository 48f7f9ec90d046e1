"""Frame of a process: phases, checks, lame duck, side server, exit status."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import sys
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import pytest
from imagegateway.platform import side_server
from imagegateway.platform.process import Process
from imagegateway.platform.supervision import BackgroundTaskError

from tests.jobs.server import settings_for
from tests.support.stack import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

WAITING: Final = """
from imagegateway.platform.process import run
async def main(process):
    await process.until_stopped()
run(main, "router-0", alone=True)
"""
"""Process that serves alone until it must stop."""
STARTING: Final = """
import asyncio
from imagegateway.platform.process import run
async def main(process):
    print('{"event": "waiting"}', flush=True)
    await asyncio.Event().wait()
run(main, "router-0")
"""
"""Process whose start waits without end, as for a NATS server that does not respond."""
FAILING: Final = """
from imagegateway.platform.process import run
async def crash():
    raise ZeroDivisionError("the reason")
async def main(process):
    process.supervisor.spawn("feed", crash())
    await process.until_stopped()
run(main, "router-0")
"""


async def states(process: Process, count: int) -> list[bool]:
    """Return the next reports of readiness."""
    reports: asyncio.Queue[bool] = asyncio.Queue()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        reporter = group.create_task(process.report_readiness(reports.put))
        found = [await reports.get() for _ in range(count)]
        reporter.cancel()
    return found


async def get(client: aiohttp.ClientSession, url: str) -> tuple[int, Any]:
    async with client.get(url) as answer:
        return answer.status, await answer.json()


@contextlib.asynccontextmanager
async def program(code: str, folder: Path, **values: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a program with settings. Kill it at the end if it still runs."""
    named = {f"IMAGEGATEWAY_{name}": value for name, value in values.items()}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        code,
        env={"IMAGEGATEWAY_DATA_DIR": str(folder), "IMAGEGATEWAY_LOG_FORMAT": "json", **named},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def event(process: asyncio.subprocess.Process, name: str) -> dict[str, Any]:
    """Return the next log line with an event."""
    assert process.stdout
    async with asyncio.timeout(30):
        async for line in process.stdout:
            found: dict[str, Any] = json.loads(line)
            if found["event"] == name:
                return found
    raise AssertionError(f"the process ended without the line {name}")


async def test_process_is_ready_from_its_start_until_its_stop() -> None:
    process = Process("router-0")
    assert (process.is_started, await process.not_ready()) == (False, ["starting"])
    process.start_complete()
    assert (process.is_started, await process.not_ready()) == (True, [])
    process.request_stop()
    assert process.stopping.is_set()
    assert await process.not_ready() == ["stopping"]


async def test_stop_during_the_start_stays_a_stop() -> None:
    process = Process("router-0", lame_duck=60)
    process.request_stop()
    await process.until_stopped()
    assert await process.not_ready() == ["stopping"]


async def test_lame_duck_reports_unready_before_the_stop() -> None:
    process = Process("router-0", lame_duck=0.01)
    process.start_complete()
    process.request_stop()
    assert not process.stopping.is_set()
    assert await process.not_ready() == ["lame_duck"]
    await asyncio.wait_for(process.stopping.wait(), 10)


async def test_second_request_ends_the_lame_duck() -> None:
    process = Process("router-0", lame_duck=3600)
    process.start_complete()
    process.request_stop()
    process.request_stop()
    assert process.stopping.is_set()


async def test_lame_duck_is_reported_at_once() -> None:
    process = Process("router-0", lame_duck=3600)
    process.start_complete()
    asyncio.get_running_loop().call_soon(process.request_stop)
    assert await states(process, 1) == [False]


async def test_failed_check_is_reported_by_its_name_until_it_succeeds() -> None:
    process, serves = Process("router-0"), False

    async def check() -> bool:
        return serves

    process.add_check("media-store", check)
    process.start_complete()
    assert await process.not_ready() == ["media-store"]
    assert await states(process, 1) == [False]
    serves = True
    assert await process.not_ready() == []


async def test_dead_background_task_is_reported_by_its_name() -> None:
    async def crash() -> None:
        raise ZeroDivisionError("the reason")

    process = Process("router-0")
    process.supervisor.spawn("job feed", crash())
    with pytest.raises(BackgroundTaskError, match=r"job feed: .*the reason"):
        await process.until_stopped()
    assert await process.not_ready() == ["job feed"]


async def test_side_server_reports_life_start_and_readiness(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    process = Process("router-0", lame_duck=3600)
    path = settings.socket("router-0-side")
    async with (
        side_server.serving(process.side, path, settings),
        aiohttp.ClientSession("http://side", connector=aiohttp.UnixConnector(str(path))) as client,
    ):

        async def statuses() -> list[int]:
            return [(await get(client, url))[0] for url in ("/healthz", "/startupz", "/readyz")]

        assert await statuses() == [200, 503, 503]
        process.start_complete()
        assert await statuses() == [200, 200, 200]
        process.request_stop()
        assert await statuses() == [200, 200, 503]
        assert await get(client, "/readyz") == (503, {"status": "not_ready", "not_ready": ["lame_duck"]})
    assert not path.exists()


@pytest.mark.processes
async def test_process_alone_serves_through_its_lame_duck_until_a_second_signal(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/readyz"
    async with program(WAITING, tmp_path, METRICS_PORT=str(port), LAME_DUCK="3600") as process:
        await event(process, "process_started")
        async with aiohttp.ClientSession() as client:
            async with asyncio.timeout(30):
                while True:
                    with contextlib.suppress(aiohttp.ClientConnectionError):
                        if (await get(client, url))[0] == 200:
                            break
                    await asyncio.sleep(0.01)
            process.send_signal(signal.SIGTERM)
            assert (await event(process, "process_lame_duck"))["seconds"] == 3600
            assert (await get(client, url))[1]["not_ready"] == ["lame_duck"]
        process.send_signal(signal.SIGTERM)
        await event(process, "process_stopped")
        assert await process.wait() == 0


@pytest.mark.processes
async def test_busy_port_stops_the_start_only_where_it_was_set(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        async with program(WAITING, tmp_path, METRICS_PORT=port) as process:
            refusal = await event(process, "setting_refused")
            assert await process.wait() == 1
    assert f"IMAGEGATEWAY_METRICS_PORT: can't listen on 127.0.0.1:{port}" in refusal["error"]


@pytest.mark.processes
async def test_busy_default_port_is_a_warning(tmp_path: Path) -> None:
    with contextlib.ExitStack() as held:
        with contextlib.suppress(OSError):  # another process may hold the port, which serves as well
            held.enter_context(socket.create_server(("127.0.0.1", 9464)))
        async with program(WAITING, tmp_path) as process:
            assert (await event(process, "metrics_port_unavailable"))["port"] == 9464
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGTERM)
            await event(process, "process_stopped")


@pytest.mark.processes
async def test_failed_process_logs_the_cause_and_exits_with_status_1(tmp_path: Path) -> None:
    async with program(FAILING, tmp_path) as process:
        failure = await event(process, "process_failed")
        assert await process.wait() == 1
    assert failure["name"] == "router-0"
    assert "feed: ZeroDivisionError('the reason')" in failure["reason"]


@pytest.mark.processes
async def test_signal_during_the_start_ends_the_process(tmp_path: Path) -> None:
    async with program(STARTING, tmp_path) as process:
        await event(process, "waiting")
        process.send_signal(signal.SIGTERM)
        await event(process, "process_stopped")
        assert await process.wait() == 0
