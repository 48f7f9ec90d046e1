"""Parts on several hosts: images through all of them, callers without a permitted role, and renewed certificates."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import subprocess
from typing import TYPE_CHECKING, Final

import grpc
import pytest
from imagegateway.provider.v1 import provider_service_pb2 as provider
from imagegateway.provider.v1 import provider_service_pb2_grpc as provider_grpc
from imagegateway.v1 import image_service_pb2 as pb
from imagegateway.v1 import image_service_pb2_grpc as pb_grpc

from tests.fleet.load import Load
from tests.fleet.part import READY_SECONDS
from tests.gateway.jobs import wire
from tests.support import command
from tests.support.stack import eventually

if TYPE_CHECKING:
    from imagegateway.platform.internal_settings import TlsFiles

    from tests.fleet.fleet import Fleet
    from tests.fleet.hosts import Address
    from tests.fleet.part import Part

_AUTHORITIES: Final = {"grpc": "authority", "uploads": "authority", "http": "authority", "public": "public"}
"""Authority of the certificate by the use of a port."""


def test_image_by_rest_and_by_grpc(fleet: Fleet) -> None:
    caller = fleet.caller()
    answer = caller.generate()
    assert answer.status == 200, answer.body
    assert caller.fetch(answer.json()["data"][0]["url"])
    with wire.public(caller) as stub:
        image = stub.Generate(wire.small(), metadata=wire.metadata(caller), timeout=wire.SECONDS)
    assert caller.fetch(image.data[0].url)


def test_job_is_read_and_cancelled(fleet: Fleet) -> None:
    caller = fleet.caller()
    job = caller.submit(delay=60)
    caller.until(job, "running")
    assert caller.cancel(job)["status"] == "cancelled"


def test_command_beside_a_router_creates_a_key(fleet: Fleet) -> None:
    done = subprocess.run(
        [command.PROGRAM, "keys", "create", "--tenant", "painters", "--json"],
        env=fleet.parts["router-0"].environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    caller = fleet.caller(key=json.loads(done.stdout)["key"])
    eventually(lambda: caller.generate().status == 200, READY_SECONDS, "routers know the key")


@pytest.mark.parametrize("kind", ["providers", "router"])
@pytest.mark.parametrize("names", [("media",), ("host-0.media", "example.com"), ("envoy-router",)])
def test_grpc_caller_of_another_role_is_refused(fleet: Fleet, kind: str, names: tuple[str, ...]) -> None:
    assert _grpc_status(fleet, kind, fleet.certificate("stranger", *names)) is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize(("kind", "role"), [("providers", "router"), ("router", "envoy")])
def test_grpc_caller_without_a_certificate_is_refused_and_one_of_the_permitted_role_served(
    fleet: Fleet, kind: str, role: str
) -> None:
    assert _grpc_status(fleet, kind, None) is grpc.StatusCode.UNAVAILABLE
    served = {"providers": grpc.StatusCode.NOT_FOUND, "router": grpc.StatusCode.UNAUTHENTICATED}
    assert _grpc_status(fleet, kind, fleet.certificate("permitted", role)) is served[kind]


@pytest.mark.parametrize(("kind", "use"), [("router", "uploads"), ("media", "http")])
def test_http_port_serves_envoy_alone(fleet: Fleet, kind: str, use: str) -> None:
    port = fleet.of(kind)[0].ports[use]
    for names, status in ((("envoy",), 200), (("router",), 403), (("media",), 403)):
        files = fleet.certificate("visitor", *names)
        assert _http_status(str(port), files, "/readyz" if kind == "router" else "/healthz") == status
    with pytest.raises(OSError, match=r"alert|closed|reset"):
        _http_status(str(port), None, "/")


def test_certificates_renewed_under_traffic_fail_no_call(fleet: Fleet) -> None:
    with Load(fleet) as load:
        for part in _of_gateway(fleet):
            fleet.renew(part.name)
        for part in _of_gateway(fleet):
            for use, authority in _AUTHORITIES.items():
                if port := part.ports.get(use):
                    certificate = getattr(fleet, authority).certificate(part.name)
                    eventually(
                        lambda: _presented(fleet, port) == certificate,  # noqa: B023
                        READY_SECONDS,
                        f"new certificate of {part.name}",
                    )
        load.more(10)
    assert load.failures() == []
    assert fleet.balancer.refused == []


def _of_gateway(fleet: Fleet) -> list[Part]:
    return [part for part in fleet.parts.values() if part.kind != "nats"]


def _grpc_status(fleet: Fleet, kind: str, files: TlsFiles | None) -> grpc.StatusCode:
    """Return the status of a call that a part of a kind answers, or refuses."""
    authority = fleet.authority.path.read_bytes()
    own = (files.key.read_bytes(), files.certificate.read_bytes()) if files else (None, None)
    credentials = grpc.ssl_channel_credentials(authority, *own)
    named = (("grpc.ssl_target_name_override", f"host-0.{kind}"),)
    with grpc.secure_channel(str(fleet.of(kind)[0].ports["grpc"]), credentials, named) as channel:
        try:
            if kind == "providers":
                request = provider.StartRequest(job_id="unknown", join_only=True)
                provider_grpc.ProviderServiceStub(channel).Start(request, timeout=wire.SECONDS)
            else:
                pb_grpc.ImageServiceStub(channel).ListModels(pb.ListModelsRequest(), timeout=wire.SECONDS)
        except grpc.RpcError as ended:
            return wire.code(ended)
    return grpc.StatusCode.OK


def _http_status(authority: str, files: TlsFiles | None, path: str) -> int:
    """Return the status of a request over TLS."""
    host, _, port = authority.partition(":")
    context = _context(files)
    connection = http.client.HTTPSConnection(host, int(port), context=context, timeout=wire.SECONDS)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def _presented(fleet: Fleet, port: Address) -> bytes:
    """Return the certificate of a server, as DER."""
    context = _context(fleet.certificate("visitor", "envoy"))
    with socket.create_connection((port.host, port.port)) as plain, context.wrap_socket(plain) as connection:
        return connection.getpeercert(binary_form=True) or b""


def _context(files: TlsFiles | None) -> ssl.SSLContext:
    """Return a context that accepts every server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if files:
        context.load_cert_chain(files.certificate, files.key)
    return context
