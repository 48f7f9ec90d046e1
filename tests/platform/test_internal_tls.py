"""TLS between processes: roles of callers and servers, and certificates that are replaced."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import grpc
import pytest
import uvloop
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from imagegateway.media.web import responses
from imagegateway.platform.addresses import TcpAddress
from imagegateway.platform.channels import open_channel
from imagegateway.platform.grpc_server import Server
from imagegateway.platform.http_server import listening
from imagegateway.platform.internal_settings import InternalSettings
from imagegateway.platform.internal_tls import InternalTls, PeerRoleError, Role, role_of
from imagegateway.platform.listener import Listener
from imagegateway.platform.setting_source import SettingError, Source
from structlog.testing import capture_logs

from tests.support.certificates import Authority, pem
from tests.support.clock import Clock
from tests.support.process_certificates import ProcessAuthority, environment
from tests.support.stack import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from imagegateway.platform.internal_settings import TlsFiles

CALLERS = frozenset({Role.ROUTER})


@pytest.fixture
def authority(tmp_path: Path) -> ProcessAuthority:
    return ProcessAuthority(tmp_path)


@asynccontextmanager
async def grpc_server(files: TlsFiles, clock: Clock | None = None) -> AsyncIterator[TcpAddress]:
    """Yield the address of a server that routers may call."""
    address = TcpAddress("127.0.0.1", free_port())
    tls = InternalTls(files, clock) if clock else InternalTls(files)
    server = Server(Listener((address,), tls, CALLERS), [])
    await server.start()
    try:
        yield address
    finally:
        await server.stop(0)


async def reflect(channel: grpc.aio.Channel) -> None:
    """Make a call that only permitted roles may make."""
    opened: Any = channel  # the stubs take synchronous channels alone
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(opened)
    request = reflection_pb2.ServerReflectionRequest(list_services="*")
    async for _ in stub.ServerReflectionInfo(iter([request]), timeout=20):
        return


async def check_health(channel: grpc.aio.Channel) -> None:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    await stub.Check(health_pb2.HealthCheckRequest(), timeout=20)


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("router", Role.ROUTER),
        ("router.images.svc.cluster.local", Role.ROUTER),
        ("host-3.providers", Role.PROVIDERS),
        ("media", Role.MEDIA),
        ("envoy.example", Role.ENVOY),
        ("router-0", None),
        ("my-router.example", None),
        ("a.router.b", None),
        ("", None),
    ],
)
def test_role_is_the_first_or_the_last_label_of_a_name(name: str, role: Role | None) -> None:
    assert role_of(name) is role


@pytest.mark.parametrize("name", ["router", "a.router", "router.example"])
async def test_permitted_role_may_call(authority: ProcessAuthority, name: str) -> None:
    async with grpc_server(authority.issue("server", "a.providers")) as address:
        tls = InternalTls(authority.issue("caller", "other.example", name))
        async with await open_channel(address, tls, Role.PROVIDERS) as channel:
            await reflect(channel)


async def test_internal_call_uses_no_proxy_of_the_environment(
    authority: ProcessAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("https_proxy", "http_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with grpc_server(authority.issue("providers")) as address:
        tls = InternalTls(authority.issue("router"))
        async with await open_channel(address, tls, Role.PROVIDERS) as channel:
            await check_health(channel)


async def test_other_role_may_only_check_the_health(authority: ProcessAuthority) -> None:
    async with grpc_server(authority.issue("providers")) as address:
        tls = InternalTls(authority.issue("media"))
        async with await open_channel(address, tls, Role.PROVIDERS) as channel:
            await check_health(channel)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await reflect(channel)
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert "router" in (refused.value.details() or "")


async def test_caller_without_a_certificate_or_of_another_authority_is_refused(
    authority: ProcessAuthority, tmp_path: Path
) -> None:
    stranger = ProcessAuthority(tmp_path, "stranger").issue("router")
    async with grpc_server(authority.issue("providers")) as address:
        for credentials in (
            grpc.ssl_channel_credentials(authority.path.read_bytes()),
            grpc.ssl_channel_credentials(
                authority.path.read_bytes(), stranger.key.read_bytes(), stranger.certificate.read_bytes()
            ),
        ):
            named = (("grpc.ssl_target_name_override", "providers"),)
            async with grpc.aio.secure_channel(address.authority, credentials, named) as channel:
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await check_health(channel)
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_server_of_another_role_or_authority_is_not_called(authority: ProcessAuthority, tmp_path: Path) -> None:
    tls = InternalTls(authority.issue("router"))
    async with grpc_server(authority.issue("media")) as address:
        with pytest.raises(PeerRoleError, match=r"media.*providers"):
            await open_channel(address, tls, Role.PROVIDERS)
    async with grpc_server(ProcessAuthority(tmp_path, "stranger").issue("providers")) as address:
        with pytest.raises(OSError, match="certificate verify failed"):
            await open_channel(address, tls, Role.PROVIDERS)


async def test_replaced_certificates_serve_from_the_next_connection_on(authority: ProcessAuthority) -> None:
    clock = Clock()
    async with grpc_server(authority.issue("server", "old.providers"), clock) as address:
        tls = InternalTls(authority.issue("router"))
        assert await tls.server_name(address, Role.PROVIDERS) == "old.providers"
        async with await open_channel(address, tls, Role.PROVIDERS) as channel:
            await reflect(channel)
            authority.issue("server", "new.providers")
            clock.now += 5
            assert await tls.server_name(address, Role.PROVIDERS) == "new.providers"
            await reflect(channel)


def test_handshakes_share_the_configuration_of_unchanged_files(
    authority: ProcessAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """gRPC crashes when configurations are replaced during concurrent handshakes (grpc/grpc#36693)."""
    fetchers: list[Callable[[], grpc.ServerCertificateConfiguration | None]] = []
    monkeypatch.setattr(grpc, "dynamic_ssl_server_credentials", lambda _first, fetch, **_: fetchers.append(fetch))
    clock = Clock()
    InternalTls(authority.issue("server", "host.providers"), clock).server_credentials()
    (fetch,) = fetchers
    assert fetch() is None
    authority.issue("server", "host.providers")
    clock.now += 10
    assert isinstance(fetch(), grpc.ServerCertificateConfiguration)
    clock.now += 10
    assert fetch() is None


async def test_name_of_a_server_is_found_at_once_on_the_event_loop_of_processes(authority: ProcessAuthority) -> None:
    async with grpc_server(authority.issue("server", "some.providers")) as address:
        tls = InternalTls(authority.issue("router"))
        started = time.monotonic()
        assert await asyncio.to_thread(uvloop.run, tls.server_name(address, Role.PROVIDERS)) == "some.providers"
        assert time.monotonic() - started < 10


async def test_files_that_do_not_fit_together_change_nothing(authority: ProcessAuthority) -> None:
    clock = Clock()
    files = authority.issue("router")
    tls = InternalTls(files, clock)
    before = tls.material
    key = files.key.read_bytes()
    files.key.write_bytes(authority.issue("other").key.read_bytes())
    clock.now += 5
    assert tls.material is before
    files.key.write_text("half a file")
    clock.now += 5
    assert tls.material is before
    files.key.write_bytes(key)
    files.certificate.touch()
    clock.now += 5
    assert tls.material is not before


def test_files_that_can_not_be_used_stop_the_start(authority: ProcessAuthority) -> None:
    files = authority.issue("router")
    files.key.unlink()
    with pytest.raises(SettingError, match="IMAGEGATEWAY_INTERNAL_TLS_CERT"):
        InternalTls(files)


def test_certificate_that_every_peer_refuses_stops_the_start_by_name(authority: ProcessAuthority) -> None:
    expired = authority.issue("providers")
    authority.authority.issue("providers", valid=-dt.timedelta(hours=1)).write(expired.certificate, expired.key)
    with pytest.raises(SettingError, match=r"providers\.pem expired on 20"):
        InternalTls(expired)
    locked = authority.issue("media")
    locked.key.write_bytes(pem(ec.generate_private_key(ec.SECP256R1()), b"passphrase"))
    with pytest.raises(SettingError, match=r"media\.key\.pem holds no private key in PEM form without a passphrase"):
        InternalTls(locked)


async def test_expired_certificate_does_not_replace_a_valid_one(authority: ProcessAuthority) -> None:
    clock = Clock()
    files = authority.issue("router")
    tls = InternalTls(files, clock)
    before = tls.material
    authority.authority.issue("router", valid=-dt.timedelta(hours=1)).write(files.certificate, files.key)
    clock.now += 5
    with capture_logs() as lines:
        assert tls.material is before
    assert "expired on" in lines[0]["error"]


@pytest.mark.parametrize("name", ["Authority of tests", "Another authority"])
def test_certificate_of_an_authority_outside_its_file_stops_the_start(authority: ProcessAuthority, name: str) -> None:
    files = authority.issue("router")
    authority.path.write_bytes(Authority(name).pem)
    message = r"INTERNAL_TLS_CERT, _KEY and _CA.*router\.pem is signed by no authority in .*internal\.ca\.pem"
    with pytest.raises(SettingError, match=message):
        InternalTls(files)


async def test_chain_may_end_at_an_intermediate_authority_or_at_its_root(authority: ProcessAuthority) -> None:
    intermediate = Authority("Intermediate", issuer=authority.authority)
    for chain, trusted in ((intermediate.pem, authority.authority.pem), (b"", intermediate.pem)):
        files = [authority.issue(name) for name in ("providers", "router")]
        authority.path.write_bytes(trusted)
        for name, issued in zip(("providers", "router"), files, strict=True):
            intermediate.issue(name).write(issued.certificate, issued.key)
            issued.certificate.write_bytes(issued.certificate.read_bytes() + chain)
        tls = InternalTls(files[1])
        async with grpc_server(files[0]) as address, await open_channel(address, tls, Role.PROVIDERS) as channel:
            await reflect(channel)
    files[0].authority.write_bytes(authority.authority.pem)
    with pytest.raises(SettingError, match="signed by no authority"):
        InternalTls(files[0])


@pytest.mark.parametrize("first", ["certificate", "authority"])
async def test_new_authority_is_taken_once_certificate_and_authorities_fit(
    authority: ProcessAuthority, tmp_path: Path, first: str
) -> None:
    clock = Clock()
    files = authority.issue("router")
    new = Authority("New authority")
    old = authority.authority.pem
    authority.path.write_bytes(old + new.pem)
    tls = InternalTls(files, clock)
    authority.path.write_bytes(old)
    clock.now += 5
    before = tls.material
    steps: dict[str, Callable[[], object]] = {
        "certificate": lambda: new.issue("router").write(files.certificate, files.key),
        "authority": lambda: authority.path.write_bytes(new.pem),
    }
    steps.pop(first)()
    for _ in range(2):
        clock.now += 5
        with capture_logs() as lines:
            assert tls.material is before
        assert "signed by no authority" in lines[0]["error"]
    for step in steps.values():
        step()
    clock.now += 5
    assert tls.material.authority == new.pem


def test_certificate_for_callers_alone_serves_no_part_that_listens_on_tcp(authority: ProcessAuthority) -> None:
    files = authority.issue("router")
    callers = ExtendedKeyUsageOID.CLIENT_AUTH
    authority.authority.issue("router", usage=callers).write(files.certificate, files.key)
    assert InternalTls(files)
    with pytest.raises(SettingError, match=r"router\.pem has an extended key usage that excludes servers"):
        InternalTls(files, role=Role.ROUTER)


def test_certificate_for_servers_alone_is_not_envoys(authority: ProcessAuthority) -> None:
    files = authority.issue("envoy")
    for usage in (ExtendedKeyUsageOID.CLIENT_AUTH, None):
        authority.authority.issue("envoy", usage=usage).write(files.certificate, files.key)
        assert InternalTls(files, role=Role.ENVOY)
    authority.authority.issue("envoy", usage=ExtendedKeyUsageOID.SERVER_AUTH).write(files.certificate, files.key)
    with pytest.raises(SettingError, match=r"envoy\.pem has an extended key usage that excludes clients"):
        InternalTls(files, role=Role.ENVOY)


@pytest.mark.parametrize("names", [("router",), ("gateway.example",)])
def test_certificate_of_another_role_stops_a_part_that_listens_on_tcp(
    authority: ProcessAuthority, names: tuple[str, ...]
) -> None:
    values = environment(authority.issue("part", *names))

    def opened(**more: str) -> InternalTls | None:
        given = {f"IMAGEGATEWAY_{name.upper()}": value for name, value in {**values, **more}.items()}
        return InternalTls.open(InternalSettings.load(Source(given)), Role.PROVIDERS)

    with pytest.raises(SettingError, match=f"names {names[0]}, but not the role providers"):
        opened(providers_listen="tcp://127.0.0.1:9003")
    assert opened()


async def get(address: TcpAddress, tls: InternalTls) -> int:
    """Return the status of a new connection's request."""
    connector = aiohttp.TCPConnector(ssl=tls.material.client_context)
    async with (
        aiohttp.ClientSession(connector=connector) as client,
        client.get(f"https://{address.authority}/") as response,
    ):
        return response.status


async def test_http_server_checks_roles_and_replaces_certificates_and_authorities(
    authority: ProcessAuthority, tmp_path: Path
) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.router.add_get("/", answer)
    address = TcpAddress("127.0.0.1", free_port())
    clock = Clock()
    files = authority.issue("media")
    listener = Listener((address,), InternalTls(files, clock), frozenset({Role.ENVOY}))
    envoy, router = InternalTls(authority.issue("envoy")), InternalTls(authority.issue("router"))
    for each in (envoy, router):  # aiohttp offers HTTP/1.1 alone
        each.material.client_context.set_alpn_protocols(["http/1.1"])
    async with listening(app, listener, grace=0):
        assert await get(address, envoy) == 200
        assert await get(address, router) == 403

        # The whole authority is replaced.
        successor = ProcessAuthority(tmp_path, "successor")
        issued = successor.issue("media-2", "media")
        files.certificate.write_bytes(issued.certificate.read_bytes())
        files.key.write_bytes(issued.key.read_bytes())
        files.authority.write_bytes(issued.authority.read_bytes())
        clock.now += 5
        renewed = InternalTls(successor.issue("envoy"))
        renewed.material.client_context.set_alpn_protocols(["http/1.1"])
        assert await get(address, renewed) == 200
        with pytest.raises((aiohttp.ClientError, asyncio.TimeoutError, OSError)):
            await get(address, envoy)


async def test_media_server_answers_a_caller_of_another_role(authority: ProcessAuthority) -> None:
    address = TcpAddress("127.0.0.1", free_port())
    app = web.Application(middlewares=[responses.outermost])
    app.on_response_prepare.append(responses.add_headers)
    tls = InternalTls(authority.issue("router"))
    tls.material.client_context.set_alpn_protocols(["http/1.1"])
    listener = Listener((address,), InternalTls(authority.issue("media")), frozenset({Role.ENVOY}))
    async with listening(app, listener, grace=0):
        assert await get(address, tls) == 403
