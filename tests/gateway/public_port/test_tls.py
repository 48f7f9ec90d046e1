"""TLS on the public port: every protocol, hostile handshakes, and reload of the certificate."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import struct
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import pytest
from imagegateway.v1 import image_service_pb2 as pb
from imagegateway.v1 import image_service_pb2_grpc as pb_grpc

from tests.gateway import cases, inputs
from tests.gateway.public_port.conftest import HOST, NAMES, SecureStack
from tests.gateway.rest import EDITS, GENERATIONS, SMALL
from tests.gateway.test_metrics import scraped
from tests.support.stack import eventually

if TYPE_CHECKING:
    from collections.abc import Mapping

SOON: Final = 15.0
"""Seconds within which a changed certificate is in force."""
WEB: Final = "application/grpc-web+proto"


def handshake(
    secure: SecureStack, context: ssl.SSLContext | None = None, name: str = HOST, port: int | None = None
) -> ssl.SSLSocket:
    """Return a connection after its handshake. Raises ssl.SSLError."""
    plain = socket.create_connection(("127.0.0.1", port or secure.port), timeout=30)
    try:
        return (context or secure.context()).wrap_socket(plain, server_hostname=name)
    except BaseException:
        plain.close()
        raise


def serial(secure: SecureStack) -> str:
    """Return the serial number of the certificate in force."""
    with handshake(secure) as connection:
        certificate: Mapping[str, Any] | None = connection.getpeercert()
        assert certificate
        return str(certificate["serialNumber"])


def test_generation_links_to_the_public_origin_over_tls(secure: SecureStack) -> None:
    answer = secure.ask("POST", GENERATIONS, dict(SMALL))
    assert answer.status == 200, answer.body
    link = answer.json()["data"][0]["url"]
    assert link.startswith(f"{secure.origin}/media/")
    file = secure.ask("GET", f"{urlsplit(link).path}?{urlsplit(link).query}", headers={"authorization": ""})
    assert inputs.pixels(file.body).size == (64, 64)


def test_form_and_event_stream_work_over_tls(secure: SecureStack) -> None:
    body = inputs.form(inputs.file_part("image", inputs.image_bytes(96)), model="local/sketch", prompt="at night")
    assert secure.ask("POST", EDITS, body, {"content-type": inputs.FORM["content-type"]}).status == 200
    stream = secure.ask("POST", GENERATIONS, {**SMALL, "stream": True})
    assert stream.headers.get_content_type() == "text/event-stream"
    assert b"event: image_generation.completed\n" in stream.body


def test_native_grpc_works_over_tls(secure: SecureStack) -> None:
    with secure.channel() as channel:
        stub: Any = pb_grpc.ImageServiceStub(channel)
        metadata = [cases.authorization(secure.stack)]
        request = pb.GenerateRequest(model="local/sketch", prompt="a kite", size="64x64")
        made = stub.Generate(request, metadata=metadata, timeout=60)
        assert made.data[0].url.startswith(secure.origin)
        events = stub.StreamJob(pb.StreamJobRequest(job_id=made.id), metadata=metadata, timeout=60)
        assert [event.job.status for event in events][-1]


def test_grpc_web_works_over_tls(secure: SecureStack) -> None:
    path = "/imagegateway.v1.ImageService/ListModels"
    answer = secure.ask("POST", path, struct.pack(">BI", 0, 0), {"content-type": WEB})
    assert (answer.status, answer.headers["content-type"]) == (200, WEB)
    assert answer.body.endswith(b"grpc-status:0\r\ngrpc-message:\r\n")


def test_page_mcp_and_api_description_name_the_public_origin(secure: SecureStack) -> None:
    page = secure.ask("GET", "/")
    assert page.status == 200
    assert f"img-src 'self' data: blob: {secure.origin}" in page.headers["content-security-policy"]
    assert secure.ask("GET", "/openapi.json").json()["servers"][0]["url"] == secure.origin
    call = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "list_models", "arguments": {}},
    }
    accept = {"accept": "application/json, text/event-stream"}
    assert b"local/sketch" in secure.ask("POST", "/mcp", call, {**accept, "origin": secure.origin}).body
    assert secure.ask("POST", "/mcp", call, {**accept, "origin": "https://elsewhere.example"}).status == 403


def test_administration_has_tls_on_its_own_port(secure: SecureStack) -> None:
    assert secure.ask("GET", "/v1/admin/keys", port=secure.admin_port).status == 200
    assert secure.ask("GET", "/v1/admin/keys").status == 404


def test_envoy_counts_administration_apart_from_its_own_interface(secure: SecureStack) -> None:
    secure.ask("GET", "/v1/admin/keys", port=secure.admin_port)
    secure.ask("GET", "/healthz")
    page = scraped(secure.stack)
    for name in ("public", "administration"):
        assert page.samples("envoy_http_downstream_cx_total", envoy_http_conn_manager_prefix=name)[0].value >= 1
        assert page.samples("envoy_listener_ssl_handshake_total", envoy_listener_address=name)[0].value >= 1


def test_start_and_commands_of_this_machine_need_no_certificate(secure: SecureStack) -> None:
    assert f" at {secure.origin} (" in secure.stack.welcome()
    assert (secure.stack.data_dir / "first-image.png").exists()
    status = json.loads(secure.stack.command("status", "--json").stdout)
    assert (status["url"], status["ready"], status["key"]) == (secure.origin, True, "accepted")
    done = secure.stack.command("models", "--json")
    assert done.returncode == 0, done.stderr
    assert "local/sketch" in done.stdout


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (["h2", "http/1.1"], "h2"),
        (["http/1.1"], "http/1.1"),
        (["spdy/3", "http/1.1"], "http/1.1"),
        (["spdy/3"], None),
    ],
)
def test_alpn_chooses_http2_else_http1(secure: SecureStack, offered: list[str], chosen: str | None) -> None:
    with handshake(secure, secure.context(*offered)) as connection:
        assert connection.selected_alpn_protocol() == chosen


def of_version(secure: SecureStack, version: ssl.TLSVersion) -> ssl.SSLContext:
    """Return a client's context of one version, which refuses no cipher itself."""
    context = secure.context()
    context.minimum_version = context.maximum_version = version
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_and_1_3_are_served(secure: SecureStack, version: ssl.TLSVersion) -> None:
    for port in (secure.port, secure.admin_port):
        handshake(secure, of_version(secure, version), port=port).close()


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_tls_before_1_2_is_refused(secure: SecureStack, version: ssl.TLSVersion) -> None:
    context = of_version(secure, version)
    for port in (secure.port, secure.admin_port):
        with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
            handshake(secure, context, port=port)


@pytest.mark.parametrize("name", ["elsewhere.example", "a" * 63 + ".example", "xn--nxasmq6b.example"])
def test_unknown_server_name_gets_the_one_certificate(secure: SecureStack, name: str) -> None:
    context = secure.context()
    context.check_hostname = False
    with handshake(secure, context, name) as connection:
        assert connection.getpeercert()


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\xff\xff" + b"\x00" * 64,
        b"\x80\x2e\x01\x00\x02" + b"\x00" * 64,
    ],
    ids=["http1", "http2", "oversized-record", "ssl2"],
)
def test_bytes_that_are_no_tls_are_not_served(secure: SecureStack, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", secure.port), timeout=20) as connection:
        received = b""
        with suppress(ConnectionResetError, BrokenPipeError):
            connection.sendall(sent)
            while piece := connection.recv(1000):
                received += piece
    assert b"HTTP" not in received
    assert secure.ask("GET", "/healthz").status == 200


def test_handshake_that_does_not_end_is_closed_within_12_seconds(secure: SecureStack) -> None:
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", secure.port), timeout=30) as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00\x01")
        assert connection.recv(100) == b""
    assert 8 < time.monotonic() - began < 20


def test_changed_certificate_is_in_force_for_new_connections_alone(secure: SecureStack) -> None:
    before = serial(secure)
    with closing(http.client.HTTPSConnection(HOST, secure.port, timeout=60, context=secure.context())) as connection:
        connection.request("GET", "/healthz")
        assert connection.getresponse().read() is not None
        secure.authority.issue(*NAMES).write(secure.cert, secure.key)
        eventually(lambda: serial(secure) != before, SOON, "the new certificate is in force")
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200


def test_broken_certificate_leaves_the_previous_one_in_force_and_is_logged(secure: SecureStack) -> None:
    before, text = serial(secure), secure.key.read_bytes()
    secure.key.write_bytes(b"broken")
    reason = f"{secure.key} holds no private key in PEM form"

    def logged() -> bool:
        return reason in [event.get("reason") for event in secure.stack.events() if event["level"] == "error"]

    eventually(logged, SOON, "the broken key is logged")
    assert serial(secure) == before
    assert text not in secure.stack.output.read_bytes()
    secure.authority.issue(*NAMES).write(secure.cert, secure.key)
    eventually(lambda: serial(secure) != before, SOON, "the next certificate is in force")
