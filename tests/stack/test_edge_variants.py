"""Envoy accepts the configuration of every kind of public port."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.support import command
from tests.support.certificates import Authority

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.processes

PEERS: Final = {"trusted_proxies": "10.0.0.0/8 2001:db8::/32", "address_rpm": "600"}
ADMIN: Final = {"admin_listen": "127.0.0.1:9090"}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the settings of a certificate."""
    folder = tmp_path_factory.mktemp("certificate")
    cert, key = folder / "tls.crt", folder / "tls.key"
    Authority().issue("localhost").write(cert, key)
    return {"tls_cert": str(cert), "tls_key": str(key)}


def test_envoy_accepts_plain_http_behind_proxies(tmp_path: Path) -> None:
    assert_valid(tmp_path, PEERS | ADMIN)


def test_envoy_accepts_tls_with_and_without_http3_and_proxies(certificate: dict[str, str], tmp_path: Path) -> None:
    assert_valid(tmp_path, certificate | ADMIN)
    assert_valid(tmp_path, certificate | ADMIN | PEERS | {"http3": "on"})


def assert_valid(data_dir: Path, values: dict[str, str]) -> None:
    done = command.run("validate", "--json", data_dir=str(data_dir), **values)
    assert done.returncode == 0, done.stdout + done.stderr
