"""Metrics and health of an Envoy that runs alone: on the port for metrics, and nothing else of its administration."""

from __future__ import annotations

import subprocess
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest
from imagegateway.platform.addresses import TcpAddress
from imagegateway.stack import envoy_config, unix_http
from imagegateway.stack.config import binary
from imagegateway.stack.envoy_upstreams import Upstream, Upstreams

from tests.jobs.server import settings_for
from tests.support.metrics import Scrape
from tests.support.stack import eventually, free_port, short_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from imagegateway.platform.settings import Settings

NOWHERE = Upstream((TcpAddress("127.0.0.1", 1),))
UPSTREAMS = Upstreams(NOWHERE, NOWHERE, NOWHERE)


def settings_of(folder: Path, **values: str) -> Settings:
    return settings_for(folder, PORT=str(free_port()), SECRET_KEY="a secret of the tests", **values)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Yield the folder of a running Envoy that has a port for metrics."""
    with short_folder() as path:
        settings = settings_of(path, METRICS_PORT=str(free_port()))
        config = path / "envoy.yaml"
        config.write_text(envoy_config.document(settings, UPSTREAMS, path / "files"))
        (path / "port").write_text(str(settings.metrics_port))
        process = subprocess.Popen(
            [
                binary("envoy"),
                "-c",
                str(config),
                "--disable-hot-restart",
                "--log-level",
                "error",
                "--concurrency",
                "1",
            ]
        )
        try:
            eventually(lambda: status(path, "/readyz") == 200, 30, "Envoy is ready")
            yield path
        finally:
            process.terminate()
            process.wait(20)


def ask(folder: Path, path: str, method: str = "GET") -> str:
    url = f"http://127.0.0.1:{(folder / 'port').read_text()}{path}"
    with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=10) as answer:
        text: str = answer.read().decode()
        return text


def status(folder: Path, path: str, method: str = "GET") -> int:
    """Return the status of a response; 0 without one."""
    try:
        ask(folder, path, method)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except OSError:
        return 0
    return 200


@pytest.mark.processes
def test_metrics_are_the_chosen_statistics(folder: Path) -> None:
    page = Scrape.parse(ask(folder, "/metrics"))
    assert page.total("envoy_server_live") == 1
    assert page.samples("envoy_cluster_membership_healthy", envoy_cluster_name="router")
    assert not [name for name in page.names() if "outlier" in name or "runtime" in name]


@pytest.mark.processes
@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/", "GET"),
        ("/stats", "GET"),
        ("/config_dump", "GET"),
        ("/quitquitquit", "POST"),
        ("/healthcheck/fail", "POST"),
        ("/metrics", "POST"),
        ("/metrics/..%2Fconfig_dump", "GET"),
        ("/metrics/../config_dump", "GET"),
        ("/readyz/../quitquitquit", "POST"),
    ],
)
def test_rest_of_the_administration_is_not_reachable(folder: Path, path: str, method: str) -> None:
    assert status(folder, path, method) == 404
    assert status(folder, "/readyz") == 200


@pytest.mark.processes
def test_draining_envoy_is_alive_and_not_ready(folder: Path) -> None:
    admin = folder / "files" / "envoy-admin.sock"
    unix_http.request(admin, "POST", "/healthcheck/fail")
    assert (status(folder, "/readyz"), status(folder, "/healthz")) == (503, 200)
    unix_http.request(admin, "POST", "/healthcheck/ok")
    assert status(folder, "/readyz") == 200


def test_envoy_has_no_such_listener_without_a_port_that_was_set(tmp_path: Path) -> None:
    document = envoy_config.document(settings_of(tmp_path), UPSTREAMS, tmp_path / "files")
    assert "administration" not in document
