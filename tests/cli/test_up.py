"""`imagegateway up` with settings that it refuses: no process starts."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

from tests.support import command

if TYPE_CHECKING:
    from pathlib import Path

UP: Final = """
from contextlib import suppress
from imagegateway.cli.up import up
from imagegateway.platform.setting_source import SettingError

with suppress(SettingError):
    up()
"""
"""`imagegateway up` with a wrong setting: it imports what it forks, and forks nothing."""
CONNECTION: Final = """
import asyncio, sys
import grpc

async def main():
    server = grpc.aio.server()
    server.add_insecure_port(sys.argv[1])
    await server.start()
    async with grpc.aio.insecure_channel(sys.argv[1]) as channel:
        await channel.channel_ready()
    await server.stop(0)

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"port": "many"}, "IMAGEGATEWAY_PORT"),
        ({"routers": "0"}, "IMAGEGATEWAY_ROUTERS"),
        ({"log_format": "loud"}, "IMAGEGATEWAY_LOG_FORMAT"),
        ({"allow_hosts": "a b/c"}, "IMAGEGATEWAY_ALLOW_HOSTS"),
        ({"public_url": "ftp://x"}, "IMAGEGATEWAY_PUBLIC_URL"),
        ({"host": "0.0.0.0"}, "IMAGEGATEWAY_PUBLIC_URL is needed"),  # noqa: S104  every address
        ({"public_url": "http://0.0.0.0:8080"}, "IMAGEGATEWAY_PUBLIC_URL must name a host"),
        ({"prot": "80"}, "there is no setting IMAGEGATEWAY_PROT: did you mean IMAGEGATEWAY_PORT?"),
        ({"api_key": "short"}, "IMAGEGATEWAY_API_KEY must have at least 20 characters"),
        ({"fal_api_key_file": "/absent"}, "IMAGEGATEWAY_FAL_API_KEY_FILE: /absent can't be read (No such file"),
        ({"fal_api_key_fil": "/absent"}, "did you mean IMAGEGATEWAY_FAL_API_KEY_FILE?"),
        ({"api_key": "k" * 20, "api_key_file": "/absent"}, "IMAGEGATEWAY_API_KEY_FILE are both set"),
        ({"ca_bundle": "/absent"}, "IMAGEGATEWAY_CA_BUNDLE: /absent holds no readable certificates"),
        ({"egress_proxy": "socks5://proxy"}, "IMAGEGATEWAY_EGRESS_PROXY must be the URL of an HTTP proxy"),
        ({"fal_timeout": "0"}, "IMAGEGATEWAY_FAL_TIMEOUT must be from 1 to 3600, not 0"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_start_with_a_wrong_setting_names_it(tmp_path: Path, values: dict[str, str], words: str) -> None:
    done = command.run("up", **{"data_dir": str(tmp_path), **values})
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.processes
def test_processes_of_the_stack_use_grpc_without_its_event_engine(tmp_path: Path) -> None:
    """gRPC reads its experiments when it is imported, so this takes a new process in place of the stack's."""
    environment = command.environment(port="many") | {
        "GRPC_VERBOSITY": "debug",
        "GRPC_TRACE": "event_engine_endpoint",
    }
    environment.pop("GRPC_EXPERIMENTS", None)  # other tests run `up` in this process
    for program, uses_engine in ((CONNECTION, True), (UP + CONNECTION, False)):
        done = subprocess.run(
            [sys.executable, "-c", program, f"unix:{tmp_path}/socket"],
            env=environment,
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ("posix_engine" in done.stderr) == uses_engine, done.stderr
