"""Ports for processes that start later: free, and not among those that the kernel assigns to connections."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from imagegateway.platform import settings
from imagegateway.platform.setting_source import Source
from imagegateway.stack import free_port
from imagegateway.stack.config import StackConfig

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def set_range(patch: pytest.MonkeyPatch, folder: Path, first: int) -> None:
    """Set the first port that the kernel chooses."""
    file = folder / "range"
    file.write_text(f"{first}\t60999\n")
    patch.setattr(free_port, "_RANGE", file)


def test_port_is_below_the_kernels_range() -> None:
    with socket.create_server(("127.0.0.1", 0)) as chosen_by_kernel:
        port = free_port.free_port()
        assert 1024 <= port < 65536
        assert port != chosen_by_kernel.getsockname()[1]
    first = int(free_port._RANGE.read_text().split()[0])
    assert first <= 1024 or port < first


def test_taken_port_is_not_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port.free_port()
    monkeypatch.setattr(free_port, "_LOWEST", port)
    set_range(monkeypatch, tmp_path, port + 2)
    with socket.create_server(("127.0.0.1", port)):
        assert free_port.free_port() == port + 1


def test_port_that_is_taken_later_is_not_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port.free_port()
    monkeypatch.setattr(free_port, "_LOWEST", port)
    set_range(monkeypatch, tmp_path, port + 2)
    assert {free_port.free_port({port}) for _ in range(20)} == {port + 1}


def test_nats_server_gets_no_port_of_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port.free_port()
    monkeypatch.setattr(free_port, "_LOWEST", port)
    set_range(monkeypatch, tmp_path, port + 4)
    values = {
        "IMAGEGATEWAY_DATA_DIR": str(tmp_path),
        "IMAGEGATEWAY_PORT": str(port),
        "IMAGEGATEWAY_METRICS_PORT": str(port + 1),
        "IMAGEGATEWAY_ADMIN_LISTEN": f"127.0.0.1:{port + 2}",
    }
    found = settings.load(Source(values))
    assert {StackConfig.create(found).nats_port for _ in range(20)} == {port + 3}


def test_kernel_chooses_where_its_range_leaves_no_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_range(monkeypatch, tmp_path, 1024)
    assert free_port.free_port() >= 1024
