"""NATS client: requests and receivers bypass nats-py's queues, and keep its errors and its reconnection."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import nats.errors
import pytest
from imagegateway.platform.nats import connect
from nats.aio.transport import TcpTransport
from nats.js.api import Header

from tests.jobs.server import Process, settings_for, until
from tests.support.ports import free_port
from tests.support.process_certificates import ProcessAuthority

if TYPE_CHECKING:
    from pathlib import Path

    from imagegateway.platform.nats_client import Client
    from nats.aio.msg import Msg

    from tests.jobs.server import Nats


async def _echo(message: Msg) -> None:
    await message.respond(message.data)


async def test_request_returns_data_and_headers_of_its_answer(client: Client) -> None:
    await client.subscribe("echo", cb=_echo)
    answers = await asyncio.gather(
        *(client.request("echo", b"%d" % number, headers={"Number": str(number)}) for number in range(50))
    )
    assert [answer.data for answer in answers] == [b"%d" % number for number in range(50)]
    assert [(answer.headers or {})["Number"] for answer in answers] == [str(number) for number in range(50)]


async def test_requests_do_not_use_the_queue_of_nats_py(client: Client) -> None:
    await client.subscribe("echo", cb=_echo)
    await client.request("echo", b"data")
    assert not client._resp_map


async def test_request_without_an_answer_ends_at_its_timeout(client: Client) -> None:
    await client.subscribe("silent")
    with pytest.raises(nats.errors.TimeoutError):
        await client.request("silent", b"", timeout=0.01)
    assert not client._waiting


async def test_request_without_a_responder_fails_at_once(client: Client) -> None:
    with pytest.raises(nats.errors.NoRespondersError):
        await client.request("absent", b"", timeout=30)


async def test_cancelled_request_leaves_nothing_behind(client: Client) -> None:
    await client.subscribe("silent")
    request = asyncio.create_task(client.request("silent", b"", timeout=30))
    await until(lambda: client._waiting)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert not client._waiting


async def test_answer_that_comes_too_late_is_dropped(client: Client) -> None:
    asked: list[Msg] = []

    async def keep(message: Msg) -> None:
        asked.append(message)

    await client.subscribe("late", cb=keep)
    await client.subscribe("echo", cb=_echo)
    with pytest.raises(nats.errors.TimeoutError):
        await client.request("late", b"first", timeout=0.05)
    await until(lambda: asked)
    await asked[0].respond(b"too late")
    assert (await client.request("echo", b"second")).data == b"second"


async def test_receiver_gets_subject_reply_data_and_headers(client: Client) -> None:
    received: list[tuple[bytes, bytes, bytes, bytes | None]] = []
    subscription = await client.receive("news.*", lambda *message: received.append(message))
    await client.publish("news.a", b"one", "answers")
    await client.publish("news.b", b"two", headers={"Kind": "text"})
    await until(lambda: len(received) == 2)
    assert received == [
        (b"news.a", b"answers", b"one", None),
        (b"news.b", b"", b"two", b"NATS/1.0\r\nKind: text\r\n\r\n"),
    ]
    await subscription.unsubscribe()
    await client.publish("news.c", b"three")
    await client.flush()
    assert len(received) == 2
    assert subscription._id not in client._receivers


async def test_requests_are_answered_after_a_restart_of_the_server(client: Client, nats: Nats) -> None:
    await client.subscribe("echo", cb=_echo)
    await client.request("echo", b"before")
    nats.kill()
    await until(lambda: not client.is_connected)
    nats.start()
    await until(lambda: client.is_connected)
    assert (await client.request("echo", b"after", timeout=5)).data == b"after"


async def test_close_without_a_server_drops_what_waits_for_one(nats: Nats, monkeypatch: pytest.MonkeyPatch) -> None:
    client = await connect(nats.settings, "test")
    transport = client._transport
    assert transport
    nats.kill()
    try:
        await until(lambda: not client.is_connected)
        await client.publish("news", b"kept for the next connection")

        def refuse(_data: list[bytes]) -> None:
            raise RuntimeError("the handler is closed")  # as uvloop does

        monkeypatch.setattr(transport, "writelines", refuse)
        await client.close()
    finally:
        nats.start()
    assert client.is_closed


async def test_tls_url_refuses_a_server_without_tls_before_it_sends_the_password(tmp_path: Path) -> None:
    received: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"headers": true, "max_payload": 1048576, "auth_required": true}\r\n')
        while line := await reader.readline():
            received.append(line)
            if line.startswith(b"PING"):
                writer.write(b"PONG\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"tls://user:password@127.0.0.1:{server.sockets[0].getsockname()[1]}"
    with pytest.raises(nats.errors.SecureConnWantedError):
        await connect(settings_for(tmp_path, NATS_URL=url), "test", wait=False)
    server.close()
    assert received == []


@pytest.mark.processes
@pytest.mark.parametrize("further", ["", "allow_non_tls: true"])
async def test_tls_url_uses_tls_where_the_server_offers_it(tmp_path: Path, further: str) -> None:
    files = ProcessAuthority(tmp_path).issue("localhost")
    port = free_port()
    config = tmp_path / "nats.conf"
    config.write_text(
        f"""listen: "127.0.0.1:{port}"
        tls {{ cert_file: "{files.certificate}", key_file: "{files.key}" }}
        {further}
        """
    )
    server = Process(config, port)
    server.start()
    try:
        values = {"NATS_URL": f"tls://localhost:{port}", "NATS_CA": str(files.authority)}
        client = await connect(settings_for(tmp_path, **values), "test", wait=False)
        transport = client._transport
        assert transport
        assert isinstance(transport, TcpTransport)
        assert transport._io_writer
        assert transport._io_writer.get_extra_info("ssl_object")
        await client.close()
    finally:
        server.kill()


async def test_header_that_an_enum_names_has_its_name(client: Client) -> None:
    await client.subscribe("echo", cb=_echo)
    answer = await client.request("echo", b"", headers={Header.MSG_ID: "1"})
    assert answer.headers == {"Nats-Msg-Id": "1"}


async def test_requests_of_one_turn_are_written_together_after_earlier_commands(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    received: list[bytes] = []
    written: list[bytes] = []
    await client.subscribe("echo", cb=_echo)
    await client.receive("news", lambda _subject, _reply, data, _headers: received.append(data))
    await client.request("echo", b"")  # the first one subscribes
    transport = client._transport
    assert transport
    write = transport.write

    def record(data: bytes) -> None:
        written.append(data)
        write(data)

    monkeypatch.setattr(transport, "write", record)
    await client._send_command(b"PUB news 3\r\none\r\n")
    requests = [asyncio.create_task(client.request("news", data, timeout=0.1)) for data in (b"two", b"three")]
    await asyncio.gather(*requests, return_exceptions=True)
    await client.request("echo", b"")
    assert received == [b"one", b"two", b"three"]
    assert len(written) == 2
    assert not client._pending


async def test_request_during_the_end_of_a_connection_waits_for_the_next_one(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = client._transport
    assert transport

    def refuse(_data: bytes) -> None:
        monkeypatch.undo()
        transport.close()  # type: ignore[no-untyped-call]
        raise RuntimeError("the handler is closed")

    await client.subscribe("echo", cb=_echo)
    await client.request("echo", b"before")
    monkeypatch.setattr(transport, "write", refuse)
    assert (await client.request("echo", b"after", timeout=5)).data == b"after"


async def test_reconnection_leaves_the_server_that_was_lost_for_last(tmp_path: Path) -> None:
    """A frozen server still accepts connections."""
    used: list[int] = []
    connections: list[asyncio.StreamWriter] = []

    async def serve(number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        writer.write(b'INFO {"headers": true, "max_payload": 1048576}\r\n')
        while line := await reader.readline():
            if line.startswith(b"PING"):
                writer.write(b"PONG\r\n")
            if line.startswith(b"CONNECT"):
                used.append(number)
        writer.close()

    servers = [await asyncio.start_server(partial(serve, number), "127.0.0.1", 0) for number in range(3)]
    urls = ",".join(f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}" for server in servers)
    client = await connect(settings_for(tmp_path, NATS_URL=urls), "test")
    for count in range(1, 6):
        await until(lambda: len(used) > count - 1 and client.is_connected)  # noqa: B023
        connections[-1].close()
        await until(lambda: len(used) > count)  # noqa: B023
    await client.close()
    for server in servers:
        server.close()
    assert all(len({*used[start : start + 3]}) == 3 for start in range(len(used) - 2)), used
