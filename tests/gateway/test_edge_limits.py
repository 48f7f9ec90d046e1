"""Limits of Envoy: connections, heap, and encoded slashes."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

import pytest
from imagegateway.platform import setting_source, settings
from imagegateway.platform.setting_source import SettingError
from imagegateway.stack import envoy_config
from imagegateway.stack.config import binary

from tests.gateway.rest import ask
from tests.support.stack import eventually, free_port, short_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.stack import Stack


@pytest.mark.parametrize(
    ("open_files", "allowed"), [(1_048_576, 20_000), (40_500, 20_000), (20_000, 9750), (1024, 262), (900, 200)]
)
def test_connection_limit_is_lowered_to_the_limit_of_open_files(open_files: int, allowed: int) -> None:
    assert envoy_config.connection_limit(20_000, open_files) == allowed


def test_limit_of_open_files_that_is_too_low_is_named_at_the_start() -> None:
    with pytest.raises(SettingError, match=r"may have 512 files open \(`ulimit -Hn`\); Envoy needs 900 or more"):
        envoy_config.connection_limit(20_000, 512)


@contextmanager
def envoy_alone(edit: Callable[[str], str] = str, **values: str) -> Iterator[int]:
    """Run Envoy as the stack does, without the processes behind Envoy. Yield its port.

    `edit` changes the configuration file; `values` are settings by name.
    """
    with short_folder() as folder:
        port = free_port()
        values = {"port": str(port), "data_dir": str(folder), **values}
        source = setting_source.Source({f"IMAGEGATEWAY_{name.upper()}": value for name, value in values.items()})
        file = folder / "run" / "envoy.yaml"
        file.parent.mkdir()
        envoy_config.write(settings.load(source), file.parent)
        file.write_text(edit(file.read_text()))
        command = [binary("envoy"), "-c", str(file), "--disable-hot-restart", "-l", "off", "--concurrency", "2"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            try:
                yield port
            finally:
                process.terminate()


@pytest.mark.parametrize("share", ["50", "100"])
def test_idle_connections_make_room_for_others(share: str) -> None:
    with envoy_alone(connections="40", address_share=share) as port, ExitStack() as held:
        eventually(lambda: _is_served(port, "127.0.0.1"), 15, "Envoy listens")
        idle = [held.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(39)]
        eventually(lambda: _is_served(port, "127.0.0.1"), 15, "another client is served")
        assert [_is_closed_within(connection, 10) for connection in idle] == [True] * 39


def test_flood_from_one_address_leaves_connections_for_others() -> None:
    """Envoy keeps each connection whose request head never ends, here for as long as the test takes."""
    with envoy_alone(_patient, connections="40") as port, ExitStack() as held:
        eventually(lambda: _is_served(port, "127.0.0.1"), 15, "Envoy listens")
        flood: list[socket.socket] = []

        def has_its_share() -> bool:  # Envoy may count the served client for a while, so the flood tries again
            while len(flood) < 40 or _held(flood) < 20:
                flood.append(held.enter_context(socket.create_connection(("127.0.0.1", port))))
                with suppress(OSError):  # some are closed already
                    flood[-1].sendall(b"GET /healthz HTTP/1.1\r\n")
            return _held(flood) == 20

        eventually(has_its_share, 60, "the flood has its share")
        # Of 16 groups of addresses one is full, and chance decides which others are in it.
        addresses = [f"127.0.0.{number}" for number in range(1, 22)]
        with ThreadPoolExecutor(len(addresses)) as clients:
            own, *others = clients.map(partial(_is_served, port), addresses)
        assert others.count(True) >= 10
        assert not own
        assert _held(flood) == 20


def test_trusted_proxy_has_no_share_of_connections_and_passes_on_the_limit_of_requests() -> None:
    """Half of the connections is the share of any other address."""
    envoy = envoy_alone(_patient, connections="40", trusted_proxies="127.0.9.0/24", address_rpm="3")
    with envoy as port, ExitStack() as held:
        eventually(lambda: _status(port, "127.0.8.1") is not None, 15, "Envoy listens")
        connections = [
            held.enter_context(socket.create_connection(("127.0.0.1", port), 5, ("127.0.9.1", 0))) for _ in range(30)
        ]
        for connection in connections:  # whose head never ends, so that Envoy keeps them
            connection.sendall(b"GET /healthz HTTP/1.1\r\n")
        assert _held(connections) == 30
        statuses = [_status(port, "127.0.9.1", client) for client in ("192.0.2.1",) * 4 + ("192.0.2.2",)]
        assert statuses == [404, 404, 404, 429, 404]
        strangers = [_status(port, "127.0.8.2", f"192.0.2.{number}") for number in range(4)]
        assert strangers == [404, 404, 404, 429]


def _patient(config: str) -> str:
    """Let a request head take an hour: it may take 10 s otherwise."""
    assert "request_headers_timeout: 10s" in config
    return config.replace("request_headers_timeout: 10s", "request_headers_timeout: 3600s")


def _held(connections: list[socket.socket]) -> int:
    """Return the number of connections that Envoy keeps open."""
    return [_is_closed_within(connection, 0.01) for connection in connections].count(False)


def _is_served(port: int, address: str) -> bool:
    """Return True if a client at this local address gets a response. Envoy itself responds on an unknown path."""
    return _status(port, address) == 404


def _status(port: int, peer: str, client: str = "") -> int | None:
    """Return the status of a response, None without one. The local address `peer` states `client` as its client."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5, source_address=(peer, 0))
    try:
        with closing(connection):
            connection.request("GET", "/nothing", headers={"x-forwarded-for": client} if client else {})
            return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None


def _is_closed_within(connection: socket.socket, seconds: float) -> bool:
    connection.settimeout(seconds)
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False


def test_envoy_whose_heap_is_full_answers_503_overloaded() -> None:
    """The heap limit is below the size of an idle Envoy."""

    def lower(config: str) -> str:
        assert "max_heap_size_bytes: 33554432" in config
        return config.replace("33554432", "1048576")

    with envoy_alone(lower, edge_memory="32") as port:
        eventually(lambda: _overloaded(port), 15, "Envoy sheds load")


def _overloaded(port: int) -> bool:
    try:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
            connection.request("GET", "/v1/models")
            response = connection.getresponse()
            body = json.loads(response.read())
    except (OSError, http.client.HTTPException):
        return False
    assert {"message", "type", "param", "code"} == set(body["error"])
    return (response.status, body["error"]["code"], response.headers["retry-after"]) == (503, "overloaded", "1")


def test_escaped_slash_belongs_to_a_model_id_and_separates_nothing(stack: Stack) -> None:
    assert ask(stack, "GET", "/v1/models/local%2Fsketch").status == 200
    assert ask(stack, "GET", "/v1/models/local%2Fsketch", key="").status == 401
    for path in ("/v1%2Fmodels", "/v1/x%2F..%2Fmodels"):
        assert ask(stack, "GET", path).status == 404
