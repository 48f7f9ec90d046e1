"""`imagegateway drain`: a real Envoy that runs alone fails its readiness and has no requests left."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest
from imagegateway.stack import unix_http
from imagegateway.stack.config import binary
from imagegateway.stack.envoy_config import ADMIN_SOCKET

from tests.support import command
from tests.support.stack import eventually, free_port, short_folder

if TYPE_CHECKING:
    from pathlib import Path


def _ready(admin: Path) -> int:
    """Return the status of Envoy's readiness; 0 while Envoy does not answer."""
    try:
        status, _ = unix_http.request(admin, "GET", "/ready")
    except OSError:
        return 0
    return status


@pytest.mark.processes
def test_drained_envoy_is_not_ready() -> None:
    with short_folder() as folder:
        nowhere = f"unix:{folder}/none.sock"
        rendered = command.run(
            *("render", "envoy", "--files", str(folder)),
            *("--routers", nowhere, "--uploads", nowhere, "--media", nowhere),
            data_dir=str(folder / "data"),
            port=str(free_port()),
            secret_key="s" * 32,
            api_key="k" * 32,
        )
        assert rendered.returncode == 0, rendered.stderr
        (folder / "envoy.yaml").write_text(rendered.stdout)
        started = [binary("envoy"), "-c", str(folder / "envoy.yaml"), "--disable-hot-restart", "--concurrency", "1"]
        with subprocess.Popen(started, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as envoy:
            try:
                admin = folder / ADMIN_SOCKET
                eventually(lambda: _ready(admin) == 200, 30, "Envoy is ready")
                done = command.run("drain", "--files", str(folder), "--lame-duck", "0", "--json")
                assert done.returncode == 0, done.stderr
                assert json.loads(done.stdout) == {"object": "drain", "running_requests": 0}
                assert _ready(admin) == 503
            finally:
                envoy.terminate()


def test_drain_without_an_envoy_names_its_socket() -> None:
    with short_folder() as folder:
        done = command.run("drain", "--files", str(folder))
    assert done.returncode == 1
    assert f"no Envoy answers at {folder}/{ADMIN_SOCKET}" in done.stderr
