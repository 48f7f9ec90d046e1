"""Self-check of a start: retries while a provider server starts, and errors that end the start."""

from __future__ import annotations

import base64
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

import pytest
from aiohttp import web
from imagegateway.platform import setting_source, settings, sockets
from imagegateway.platform.http_server import listening
from imagegateway.platform.listener import Listener
from imagegateway.stack.errors import SelfCheckError, StackError
from imagegateway.stack.first_image import make_first_image
from imagegateway.stack.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from imagegateway.platform.settings import Settings
    from imagegateway.stack.forked import ForkedProcess


@asynccontextmanager
async def gateway(folder: Path, statuses: Sequence[int]) -> AsyncIterator[tuple[Settings, list[int]]]:
    """Serve the image API with these statuses, the last one repeatedly. Yield its settings and the statuses sent."""
    sent: list[int] = []

    async def generate(request: web.Request) -> web.Response:
        assert request.headers["prefer"] == "wait=30", "a short IMAGEGATEWAY_INLINE_WAIT does not apply"
        sent.append(statuses[min(len(sent), len(statuses) - 1)])
        if sent[-1] != 200:
            return web.json_response({"error": {"message": "The reason."}}, status=sent[-1])
        return web.json_response({"data": [{"b64_json": base64.b64encode(b"image").decode()}]})

    app = web.Application()
    app.router.add_post("/v1/images/generations", generate)
    current = settings.load(setting_source.Source({"IMAGEGATEWAY_DATA_DIR": str(folder)}))
    sockets.make_folder(current.socket("envoy-api").parent)
    async with listening(app, Listener.unix(current.socket("envoy-api")), grace=1):
        yield current, sent


async def test_self_check_retries_503_until_the_provider_server_runs(tmp_path: Path) -> None:
    async with gateway(tmp_path, [503, 503, 200]) as (current, sent):
        path = await make_first_image(current, "key", retry_seconds=30, pause_seconds=0)
    assert path.read_bytes() == b"image"
    assert sent == [503, 503, 200]


async def test_self_check_stops_on_503_after_the_retry_time(tmp_path: Path) -> None:
    async with gateway(tmp_path, [503]) as (current, sent):
        with pytest.raises(SelfCheckError, match=r"^no first image: The reason\.$"):
            await make_first_image(current, "key", retry_seconds=0, pause_seconds=0)
    assert sent == [503]


async def test_self_check_does_not_retry_other_errors(tmp_path: Path) -> None:
    async with gateway(tmp_path, [500]) as (current, sent):
        with pytest.raises(SelfCheckError, match=r"^no first image: The reason\.$"):
            await make_first_image(current, "key", retry_seconds=30, pause_seconds=0)
    assert sent == [500]


class RunningProcess:
    """A process that has not ended."""

    def poll(self) -> None:
        return None


def supervisor(log: Path) -> Supervisor:
    return Supervisor(cast("ForkedProcess", RunningProcess()), log)


def test_one_crash_explains_a_failed_self_check_but_does_not_stop_the_stack(tmp_path: Path) -> None:
    log = tmp_path / "supervisord.log"
    log.write_text("2026-11-29 WARN exited: providers (exit status 1; not expected)\n")
    watched = supervisor(log)
    watched.check()
    with pytest.raises(StackError, match=r"^providers can't be kept running"):
        watched.check_no_recent_crash()


@pytest.mark.parametrize("line", ["exited: media (exit status 0; expected)", "exited: media (terminated by SIGKILL)"])
def test_orderly_exit_and_kill_are_no_crashes(tmp_path: Path, line: str) -> None:
    log = tmp_path / "supervisord.log"
    log.write_text(f"2026-11-29 INFO {line}\n" * 4)
    watched = supervisor(log)
    watched.check()
    watched.check_no_recent_crash()


def test_four_crashes_within_a_minute_stop_the_stack(tmp_path: Path) -> None:
    log = tmp_path / "supervisord.log"
    log.write_text("2026-11-29 WARN exited: router-0 (exit status 1; not expected)\n" * 4)
    with pytest.raises(StackError, match=r"^router-0 can't be kept running"):
        supervisor(log).check()
