"""The stack of the tests in this folder: TLS on the public port and on that of administration."""

from __future__ import annotations

import http.client
import json
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest

from tests.gateway.rest import Answer
from tests.support.certificates import Authority
from tests.support.stack import free_port, running

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.support.stack import Stack

HOST: Final = "localhost"
NAMES: Final = (HOST, "127.0.0.1")
"""Names of the certificate."""
PROXIES: Final = "127.0.20.0/24, 127.0.21.1"
"""Local addresses that the stack trusts as proxies."""


@dataclass(frozen=True, slots=True)
class SecureStack:
    """A running stack with TLS, and the files of its certificate."""

    stack: Stack
    authority: Authority
    cert: Path
    key: Path
    admin_port: int

    @property
    def port(self) -> int:
        return self.stack.port

    @property
    def origin(self) -> str:
        """Public origin."""
        return f"https://{HOST}:{self.port}"

    def context(self, *protocols: str) -> ssl.SSLContext:
        """Return a client's context that trusts the authority, and offers protocols by ALPN."""
        context = self.authority.client()
        if protocols:
            context.set_alpn_protocols(list(protocols))
        return context

    def channel(self) -> grpc.Channel:
        """Return a channel of native gRPC over TLS."""
        return grpc.secure_channel(f"{HOST}:{self.port}", grpc.ssl_channel_credentials(self.authority.pem))

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | dict[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        port: int | None = None,
        peer: str = "127.0.0.1",
    ) -> Answer:
        """Send one request over HTTP/1.1 and TLS, with the stack's key. A dict is sent as JSON.

        `peer`: local address of the connection.
        """
        given = {"authorization": f"Bearer {self.stack.key}", **(headers or {})}
        if isinstance(body, dict):
            body = json.dumps(body).encode()
            given.setdefault("content-type", "application/json")
        connection = http.client.HTTPSConnection(
            HOST, port or self.port, timeout=60, context=self.context(), source_address=(peer, 0)
        )
        with closing(connection):
            connection.request(method, path, body, given)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())


@pytest.fixture(scope="session")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureStack]:
    """Yield the one stack with TLS. A test that changes the certificate leaves a valid one of the same authority."""
    folder = tmp_path_factory.mktemp("certificate")
    authority = Authority()
    cert, key = folder / "tls.crt", folder / "tls.key"
    authority.issue(*NAMES).write(cert, key)
    port, admin = free_port(), free_port()
    values = {
        "trusted_proxies": PROXIES,
        "port": str(port),
        "public_url": f"https://{HOST}:{port}",
        "tls_cert": str(cert),
        "tls_key": str(key),
        "http3": "on",
        "admin_listen": f"127.0.0.1:{admin}",
    }
    with running(**values) as stack:
        yield SecureStack(stack, authority, cert, key, admin)
