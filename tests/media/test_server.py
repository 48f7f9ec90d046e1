"""Media server without downloads: errors, log lines, health, description, sweeper, process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import stat
import sys
from typing import TYPE_CHECKING, Any

import aiohttp
import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from imagegateway.media import sweeper
from imagegateway.media.directory import Directory
from imagegateway.media.store import MediaStore, StoreUnavailable
from imagegateway.media.web import openapi
from imagegateway.platform import http_server, ids, readiness, sockets
from imagegateway.platform import logs as structured
from structlog.testing import capture_logs

from tests.media.media_gateway import NOON, PUBLIC, error_of, gateway, settings
from tests.support.clock import Clock
from tests.support.media import OWNER

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from imagegateway.platform.settings import Settings

    from tests.media.media_gateway import Gateway

__all__ = ["gateway", "settings"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_other_methods_are_refused(gateway: Gateway, method: str) -> None:
    answer, body = await gateway.send(method, await gateway.link(b"content"))
    assert answer.status == 405
    assert answer.headers["Allow"] == "GET, HEAD"
    assert error_of(body)["type"] == "invalid_request_error"


@pytest.mark.parametrize("path", ["/media/", "/media/a/b", "/nothing", "/media/a/b/c/d"])
async def test_unknown_path_is_404(gateway: Gateway, path: str) -> None:
    answer, body = await gateway.get(path)
    assert answer.status == 404
    assert error_of(body)["code"] == "unknown_url"


async def test_unreachable_store_is_503(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(_self: MediaStore, _key: str) -> int:
        raise StoreUnavailable("host 10.0.0.1 refused")

    url = await gateway.link(b"content")
    monkeypatch.setattr(MediaStore, "size", broken)
    answer, body = await gateway.get(url)
    assert answer.status == 503
    assert answer.headers["Retry-After"] == "2"
    assert error_of(body)["code"] == "service_unavailable"
    assert b"10.0.0.1" not in body


async def test_a_crash_is_a_plain_500_with_the_request_id_and_a_logged_traceback(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_self: MediaStore, _key: str) -> int:
        raise RuntimeError("secret detail")

    url = await gateway.link(b"content")
    monkeypatch.setattr(MediaStore, "size", broken)
    with capture_logs() as logs:
        answer, body = await gateway.get(url, x_request_id="req-7")
    assert answer.status == 500
    assert answer.headers["X-Request-Id"] == "req-7"
    error = error_of(body)
    assert error["code"] == "internal"
    assert "req-7" in error["message"]
    assert b"secret detail" not in body
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [
        ("request_failed", "error"),
        ("request_finished", "error"),
    ]
    assert logs[0]["exc_info"] is True


async def test_request_is_logged_once_without_query_except_health_checks(gateway: Gateway) -> None:
    url = await gateway.link(b"content")
    with capture_logs() as logs:
        await gateway.get(url)
        await gateway.get("/healthz")
        await gateway.get("/readyz")
    (line,) = logs
    assert line.pop("duration_ms") >= 0
    assert line == {
        "event": "request_finished",
        "log_level": "info",
        "module": "media.web.responses",
        "client": "local",
        "method": "GET",
        "path": url.path,
        "status": 200,
        "bytes": 7,
    }
    assert url.query["sig"] not in str(logs)


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "<script>"])
async def test_malformed_request_id_is_replaced(gateway: Gateway, given: str) -> None:
    answer, _ = await gateway.get("/healthz", x_request_id=given)
    made = answer.headers["X-Request-Id"]
    assert made != given
    assert ids.request_id(made) == made


@contextlib.asynccontextmanager
async def router(path: Path, *, serving: bool) -> AsyncIterator[None]:
    grpc_server = grpc.aio.server()
    servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, grpc_server)
    grpc_server.add_insecure_port(f"unix:{path}")
    statuses = health_pb2.HealthCheckResponse
    await servicer.set("", statuses.SERVING if serving else statuses.NOT_SERVING)
    await grpc_server.start()
    try:
        yield
    finally:
        await grpc_server.stop(None)


async def test_readiness_requires_every_router_and_health_requires_none(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, body = await gateway.get("/healthz")
    assert (answer.status, json.loads(body)) == (200, {"status": "ok"})

    answer, body = await gateway.get("/readyz")
    assert answer.status == 503
    assert json.loads(body) == {"status": "not_ready", "not_ready": ["router-0", "router-1"]}

    first, second = (gateway.settings.socket(f"router-{number}") for number in range(2))
    async with router(first, serving=True), router(second, serving=False):
        answer, body = await gateway.get("/readyz")
        assert json.loads(body)["not_ready"] == ["router-1"]
    async with router(first, serving=True), router(second, serving=True):
        answer, body = await gateway.get("/readyz")
        assert (answer.status, json.loads(body)) == (200, {"status": "ready"})

        async def broken(_self: Directory) -> None:
            raise OSError("host 10.0.0.1 refused")

        monkeypatch.setattr(Directory, "check", broken)
        monkeypatch.setattr(readiness, "PERIOD", 0.0)
        answer, body = await gateway.get("/readyz")
        assert (answer.status, json.loads(body)["not_ready"]) == (503, ["media-store"])


async def test_description_names_the_gateway_and_all_of_its_paths(gateway: Gateway) -> None:
    answer, body = await gateway.get("/openapi.json")
    assert answer.headers["Content-Type"] == "application/json"
    document = json.loads(body)
    assert document["servers"][0]["url"] == PUBLIC
    assert document["paths"] == openapi.load()["paths"]


def test_description_without_administration_has_no_part_of_it() -> None:
    document = json.loads(openapi.describe(PUBLIC, administration=False))
    assert "/v1/images/generations" in document["paths"]
    assert not [path for path in document["paths"] if path.startswith("/v1/admin/")]
    assert not [name for named in document["components"].values() for name in named if name.startswith("Admin")]
    assert "not_found" not in document["components"]["examples"]


async def test_socket_is_private_to_its_owner_and_replaces_a_stale_one(gateway: Gateway) -> None:
    assert stat.S_IMODE(gateway.settings.socket("media").lstat().st_mode) == 0o600
    stale = gateway.settings.socket("stale")
    for _ in range(2):  # closing a socket leaves its file, as a killed process does
        http_server._bound(stale).close()
        assert stat.S_IMODE(stale.lstat().st_mode) == 0o600
    sockets.unlink(stale)


class StopSweeperError(Exception):
    """Stop the sweeper."""


async def test_sweeper_sweeps_at_start_and_every_hour_after_failures_too(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(NOON)
    store = MediaStore.open(settings.media_url, clock)
    await store.put_result(b"content", OWNER)
    sweep = MediaStore.sweep
    pauses: list[float] = []

    async def failing(_self: MediaStore) -> int:
        raise StoreUnavailable("gone")

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        clock.now += 8 * 86_400
        monkeypatch.setattr(MediaStore, "sweep", failing if len(pauses) == 1 else sweep)
        if len(pauses) == 3:
            raise StopSweeperError

    monkeypatch.setattr(sweeper, "_log", structured.get("imagegateway.media.sweeper"))
    with capture_logs() as logs, pytest.raises(StopSweeperError):
        await sweeper.sweep_forever(store, sleep)
    assert pauses == [3600.0] * 3
    assert [(entry["event"], entry.get("objects")) for entry in logs] == [
        ("media_swept", 0),
        ("media_sweep_failed", None),
        ("media_swept", 1),
    ]


@pytest.mark.processes
async def test_the_process_starts_and_ends_in_order(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "imagegateway.media",
        env={"IMAGEGATEWAY_DATA_DIR": str(tmp_path), "IMAGEGATEWAY_LOG_FORMAT": "json"},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    lines: list[dict[str, Any]] = []
    while not lines or lines[-1]["event"] != "media_swept":
        lines.append(json.loads(await asyncio.wait_for(process.stdout.readline(), 30)))
    path = sockets.folder(tmp_path / "run") / "media.sock"
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as client,
        client.get("http://media/healthz") as answer,
    ):
        assert answer.status == 200
    process.send_signal(signal.SIGTERM)
    output, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0
    assert [json.loads(line)["event"] for line in output.splitlines()] == ["process_stopped"]
    assert not path.exists()
