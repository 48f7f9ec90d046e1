"""Mutual TLS between the gateway's processes, from certificate files that are reloaded when they change.

A certificate's DNS names state the roles of its process. Servers require a certificate of the same authority, and
each server names the roles that may call.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import grpc
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID
from imagegateway.platform import logs
from imagegateway.platform.addresses import TcpAddress
from imagegateway.platform.setting_source import SettingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from imagegateway.platform.internal_settings import InternalSettings, TlsFiles

_CHECK_SECONDS: Final = 5.0
"""Shortest time between two checks of the files, in seconds. Handshakes after a check use new files."""
_HANDSHAKE_SECONDS: Final = 5.0
_UNSUITABLE_PURPOSE: Final = 26
"""OpenSSL's code for a certificate whose extended key usage excludes its use."""
_log = logs.get(__name__)


class Role(StrEnum):
    """Part of the gateway, as a certificate names it."""

    ROUTER = "router"
    PROVIDERS = "providers"
    MEDIA = "media"
    ENVOY = "envoy"


class PeerRoleError(Exception):
    """The certificate of a server does not name the expected role."""


@dataclass(frozen=True, slots=True)
class TlsMaterial:
    """Content of the files at one time."""

    certificate: bytes
    key: bytes
    authority: bytes
    server_context: ssl.SSLContext
    client_context: ssl.SSLContext

    @classmethod
    def read(cls, files: TlsFiles, role: Role | None) -> TlsMaterial:
        """Read the files. The certificate must name `role`, if any.

        Raises OSError, and ValueError for content that does not fit together or would be refused by every peer.
        """
        certificate, key, authority = (path.read_bytes() for path in (files.certificate, files.key, files.authority))
        _check(files, certificate, key, role)
        server_context = _context(ssl.PROTOCOL_TLS_SERVER, files, authority)
        client_context = _context(ssl.PROTOCOL_TLS_CLIENT, files, authority)
        _check_chain(files, server_context, client_context, role)
        return cls(certificate, key, authority, server_context, client_context)

    @property
    def server_configuration(self) -> grpc.ServerCertificateConfiguration:
        """Configuration for gRPC servers."""
        return grpc.ssl_server_certificate_configuration([(self.key, self.certificate)], self.authority)

    @property
    def channel_credentials(self) -> grpc.ChannelCredentials:
        """Credentials of gRPC channels."""
        return grpc.ssl_channel_credentials(self.authority, self.key, self.certificate)


class InternalTls:
    """Certificates of this process. `clock` returns monotonic seconds. Threads of gRPC use this class, too."""

    def __init__(
        self, files: TlsFiles, clock: Callable[[], float] = time.monotonic, *, role: Role | None = None
    ) -> None:
        """Read the files. The certificate must name `role`, if any. Raises SettingError."""
        self._files = files
        self._role = role
        self._clock = clock
        self._lock = threading.Lock()
        try:
            self._modified = files.modified
            self._material = TlsMaterial.read(files, role)
        except (OSError, ValueError) as error:
            raise SettingError(f"IMAGEGATEWAY_INTERNAL_TLS_CERT, _KEY and _CA can't be used: {error}") from error
        self._checked_at = clock()
        self.server_context: Final = _context(ssl.PROTOCOL_TLS_SERVER, files, self._material.authority)
        """Context of HTTP servers. Each handshake uses the current files."""
        self.server_context.sni_callback = self._on_handshake

    @classmethod
    def open(cls, settings: InternalSettings, role: Role) -> InternalTls | None:
        """Read the files that settings name. Return None for connections without TLS.

        The certificate must name `role` where this part listens on TCP. Raises SettingError.
        """
        if not settings.tls_files:
            return None
        listens_on = {
            Role.ROUTER: settings.router_listen,
            Role.PROVIDERS: settings.providers_listen,
            Role.MEDIA: settings.media_listen,
        }
        return cls(settings.tls_files, role=role if isinstance(listens_on.get(role), TcpAddress) else None)

    @property
    def material(self) -> TlsMaterial:
        """Content of the files, at most 5 s old. Files that can't be read or do not fit together change nothing."""
        with self._lock:
            if self._clock() - self._checked_at >= _CHECK_SECONDS:
                self._checked_at = self._clock()
                self._reload()
            return self._material

    def server_credentials(self) -> grpc.ServerCredentials:
        """Return credentials of gRPC servers. Each handshake uses the current files."""
        served = self.material

        def changed() -> grpc.ServerCertificateConfiguration | None:
            """Return the configuration of new files; None: no change.

            gRPC replaces its TLS context for each configuration, and may free the old one during the handshake of
            another thread (grpc/grpc#36693): a configuration for each handshake crashed a process under load.
            """
            nonlocal served
            if (current := self.material) is served:
                return None
            served = current
            return current.server_configuration

        return grpc.dynamic_ssl_server_credentials(
            served.server_configuration,
            changed,  # type: ignore[arg-type]  # the stubs leave None out
            require_client_authentication=True,
        )

    async def server_name(self, address: TcpAddress, role: Role) -> str:
        """Return the name that states a server's role.

        gRPC compares the server's certificate with one name, so this handshake finds the name to compare with.
        Raises PeerRoleError for a server of another role, OSError without a connection or for another authority.
        """
        async with asyncio.timeout(_HANDSHAKE_SECONDS):
            _, writer = await asyncio.open_connection(address.host, address.port, ssl=self.material.client_context)
        try:
            names = dns_names(writer.get_extra_info("peercert"))
        finally:
            writer.transport.abort()  # an orderly end would wait for the server's
        for name in names:
            if role_of(name) is role:
                return name
        raise PeerRoleError(f"the certificate of {address} names {', '.join(names) or 'no host'}, but no {role}")

    def _reload(self) -> None:
        try:
            modified = self._files.modified
            if modified == self._modified:
                return
            self._material = TlsMaterial.read(self._files, self._role)
        except (OSError, ValueError) as error:
            _log.warning("internal_tls_unchanged", error=str(error))
        else:
            self._modified = modified
            _log.info("internal_tls_reloaded", certificate=str(self._files.certificate))

    def _on_handshake(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self.material.server_context


def role_of(name: str) -> Role | None:
    """Return the role that a DNS name states: `router`, `a.router` or `router.example`; None for another name."""
    first, last = name.partition(".")[0], name.rpartition(".")[2]
    return next((role for role in Role if role in {first, last}), None)


def roles_of(names: Iterable[str]) -> frozenset[Role]:
    """Return the roles that DNS names state."""
    return frozenset(role for role in map(role_of, names) if role)


def refusal(callers: frozenset[Role]) -> str:
    """Return the message for a caller without a permitted role."""
    return f"The certificate must name the role {' or '.join(sorted(callers))}."


def dns_names(certificate: dict[str, tuple[tuple[str, str], ...]] | None) -> list[str]:
    """Return the DNS names of a certificate in the form of Python's `ssl`."""
    return [name for kind, name in (certificate or {}).get("subjectAltName", ()) if kind == "DNS"]


def _check(files: TlsFiles, certificate: bytes, key: bytes, role: Role | None) -> None:
    """Raise ValueError for a certificate that serves no connection."""
    try:
        leaf = x509.load_pem_x509_certificates(certificate)[0]
    except ValueError:
        raise ValueError(f"{files.certificate} holds no certificate in PEM form") from None
    try:
        private = load_pem_private_key(key, None)
    except (TypeError, ValueError, UnsupportedAlgorithm):  # TypeError: a passphrase
        raise ValueError(f"{files.key} holds no private key in PEM form without a passphrase") from None
    if leaf.public_key() != private.public_key():
        raise ValueError(f"{files.key} is not the key of {files.certificate}")
    now = datetime.now(UTC)
    if now >= leaf.not_valid_after_utc:
        raise ValueError(f"{files.certificate} expired on {leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC")
    if now < leaf.not_valid_before_utc:
        raise ValueError(f"{files.certificate} is not valid before {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} UTC")
    if role and role not in roles_of(names := _dns_names(leaf)):
        raise ValueError(f"{files.certificate} names {', '.join(names) or 'no host'}, but not the role {role}")
    if role is Role.ENVOY and not _may_call(leaf):
        raise ValueError(f"{files.certificate} has an extended key usage that excludes clients")


def _check_chain(
    files: TlsFiles, server_context: ssl.SSLContext, client_context: ssl.SSLContext, role: Role | None
) -> None:
    """Raise ValueError for a certificate that peers with the same authorities refuse, by a handshake in memory."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server)
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    try:
        for side in (client, server, client):
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
    except ssl.SSLCertVerificationError as error:
        if error.verify_code != _UNSUITABLE_PURPOSE:
            cause = f"is signed by no authority in {files.authority}: {error.verify_message}"
        elif role in {None, Role.ENVOY}:  # It may only call others.
            return
        else:
            cause = "has an extended key usage that excludes servers"
        raise ValueError(f"{files.certificate} {cause}") from None


def _may_call(certificate: x509.Certificate) -> bool:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    except x509.ExtensionNotFound:
        return True
    return ExtendedKeyUsageOID.CLIENT_AUTH in usage.value


def _dns_names(certificate: x509.Certificate) -> list[str]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return extension.value.get_values_for_type(x509.DNSName)


def _context(protocol: ssl._SSLMethod, files: TlsFiles, authority: bytes) -> ssl.SSLContext:
    """Return a context that requires a certificate of the authority. Raises OSError and ValueError."""
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False  # roles take the place of host names
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # as in gRPC and Envoy: an authority need not be a root
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(files.certificate, files.key)
    context.load_verify_locations(cadata=authority.decode("ascii"))
    if protocol == ssl.PROTOCOL_TLS_CLIENT:
        context.set_alpn_protocols(["h2"])
    return context
