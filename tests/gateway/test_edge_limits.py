"""Limits of Envoy: connections, heap, and encoded slashes."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
from contextlib import ExitStack, closing, suppress

import pytest
from imagegateway.platform import setting_source, settings
from imagegateway.platform.setting_source import SettingError
from imagegateway.stack import envoy_config
from imagegateway.stack.config import binary

from tests.gateway.rest import ask
from tests.support.stack import Stack, eventually, free_port, running, short_folder


@pytest.mark.parametrize(
    ("open_files", "allowed"), [(1_048_576, 20_000), (40_500, 20_000), (20_000, 9750), (1024, 262), (900, 200)]
)
def test_connection_limit_is_lowered_to_the_limit_of_open_files(open_files: int, allowed: int) -> None:
    assert envoy_config.connection_limit(20_000, open_files) == allowed


def test_limit_of_open_files_that_is_too_low_is_named_at_the_start() -> None:
    with pytest.raises(SettingError, match=r"may have 512 files open \(`ulimit -Hn`\); Envoy needs 900 or more"):
        envoy_config.connection_limit(20_000, 512)


@pytest.mark.parametrize("share", ["50", "100"])
def test_idle_connections_make_room_for_others(share: str) -> None:
    with running(connections="40", address_share=share) as stack, ExitStack() as held:
        idle = [held.enter_context(socket.create_connection(("127.0.0.1", stack.port))) for _ in range(39)]
        eventually(lambda: _is_served(stack, "127.0.0.1"), 15, "another client is served")
        assert [_is_closed_within(connection, 10) for connection in idle] == [True] * 39


def test_flood_from_one_address_leaves_connections_for_others() -> None:
    """Envoy keeps each connection whose request head never ends for 10 s."""
    with running(connections="40") as stack, ExitStack() as held:
        flood = [held.enter_context(socket.create_connection(("127.0.0.1", stack.port))) for _ in range(40)]
        for connection in flood:
            with suppress(OSError):  # some are closed already
                connection.sendall(b"GET /healthz HTTP/1.1\r\n")
        # Of 16 groups of addresses one is full, and chance decides which others are in it.
        others = [f"127.0.0.{number}" for number in range(2, 22)]
        served = [_is_served(stack, address) for address in others]
        assert served.count(True) >= 10
        assert not _is_served(stack, "127.0.0.1")
        assert [_is_closed_within(connection, 0.1) for connection in flood].count(False) == 20


def _is_served(stack: Stack, address: str) -> bool:
    """Return True if a client at this local address gets a response."""
    try:
        with closing(
            http.client.HTTPConnection("127.0.0.1", stack.port, timeout=5, source_address=(address, 0))
        ) as connection:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False


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
    with short_folder() as folder:
        values = {"port": str(free_port()), "data_dir": str(folder), "edge_memory": "32"}
        source = setting_source.Source({f"IMAGEGATEWAY_{name.upper()}": value for name, value in values.items()})
        (folder / "run").mkdir()
        envoy_config.write(settings.load(source), folder / "run")
        text = (folder / "run" / "envoy.yaml").read_text()
        assert "max_heap_size_bytes: 33554432" in text
        (folder / "run" / "envoy.yaml").write_text(text.replace("33554432", "1048576"))
        command = [binary("envoy"), "-c", f"{folder}/run/envoy.yaml", "--disable-hot-restart", "-l", "off"]
        with subprocess.Popen([*command, "--concurrency", "1"], stdout=subprocess.DEVNULL) as process:
            try:
                eventually(lambda: _overloaded(int(values["port"])), 15, "Envoy sheds load")
            finally:
                process.terminate()


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
