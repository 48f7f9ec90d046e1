"""Settings of the connections between the gateway's processes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from imagegateway.platform import addresses
from imagegateway.platform.addresses import TcpAddress
from imagegateway.platform.setting_source import PREFIX, SettingError

if TYPE_CHECKING:
    from imagegateway.platform.addresses import Address
    from imagegateway.platform.setting_source import Source

_TLS: Final = ("INTERNAL_TLS_CERT", "INTERNAL_TLS_KEY", "INTERNAL_TLS_CA")
_TLS_NAMES: Final = ", ".join(f"{PREFIX}{name}" for name in _TLS)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files of a process: its certificate chain, its private key, and the authorities of all processes."""

    certificate: Path
    key: Path
    authority: Path

    @property
    def modified(self) -> tuple[tuple[int, int], ...]:
        """Modification time and inode of each file. Raises OSError."""
        found = [path.stat() for path in (self.certificate, self.key, self.authority)]
        return tuple((status.st_mtime_ns, status.st_ino) for status in found)


@dataclass(frozen=True, slots=True)
class InternalSettings:
    """Addresses and certificates. A field is a setting, as in `Settings`."""

    router_listen: Address | None
    """Address on which a router serves gRPC: `unix:/path` or `tcp://host:port`, an IPv6 address in brackets. An
    address other than loopback requires `IMAGEGATEWAY_INTERNAL_TLS_CERT`. [Parts apart](operations/parts.md).

    Default: a UNIX socket in the data directory, which a router with another address has, too, for commands.
    """
    uploads_listen: Address | None
    """Address on which a router serves multipart forms.

    Default: a UNIX socket in the data directory.
    """
    media_listen: Address | None
    """Address of the media server.

    Default: a UNIX socket in the data directory.
    """
    providers_listen: Address | None
    """Address on which a process of provider servers serves all its families.

    Default: a UNIX socket for each family in the data directory.
    """
    providers_url: tuple[Address, ...]
    """Addresses at which routers find the provider servers, separated by commas. Each address, and each IP address
    behind a DNS name, is one replica. `IMAGEGATEWAY_<FAMILY>_URL` holds for one family.

    Default: the UNIX sockets in the data directory.
    """
    router_url: tuple[Address, ...]
    """Addresses at which the media server finds routers for `/readyz`, separated by commas: ready while one of them
    serves.

    Default: the UNIX sockets of `IMAGEGATEWAY_ROUTERS` routers in the data directory, all of which must serve; none
    where `IMAGEGATEWAY_MEDIA_LISTEN` is on TCP.
    """
    internal_tls_cert: str
    """File with this process's certificate chain for TLS between processes. The certificate's DNS names state the
    process's roles: `router`, `providers`, `media` or `envoy`, alone, as first or as last label. Files are reloaded
    within 30 s.
    """
    internal_tls_key: str
    """File with the certificate's private key."""
    internal_tls_ca: str
    """File with the authorities that all internal certificates are checked against."""

    @classmethod
    def load(cls, source: Source) -> InternalSettings:
        """Read and check the settings of a source. Raises SettingError."""
        certificate, key, authority = (source.text(name) for name in _TLS)
        if any((certificate, key, authority)) and not all((certificate, key, authority)):
            raise SettingError(
                f"{', '.join(PREFIX + name for name in _TLS)} belong together: set all of them or none"
            )
        encrypted = bool(certificate)
        return cls(
            router_listen=address(source, "ROUTER_LISTEN", encrypted=encrypted),
            uploads_listen=address(source, "UPLOADS_LISTEN", encrypted=encrypted),
            media_listen=address(source, "MEDIA_LISTEN", encrypted=encrypted),
            providers_listen=address(source, "PROVIDERS_LISTEN", encrypted=encrypted),
            providers_url=several(source, "PROVIDERS_URL", encrypted=encrypted),
            router_url=several(source, "ROUTER_URL", encrypted=encrypted),
            internal_tls_cert=certificate,
            internal_tls_key=key,
            internal_tls_ca=authority,
        )

    @property
    def tls_files(self) -> TlsFiles | None:
        """Certificate files; None for connections without TLS."""
        if not self.internal_tls_cert:
            return None
        names = (self.internal_tls_cert, self.internal_tls_key, self.internal_tls_ca)
        return TlsFiles(*(Path(name).absolute() for name in names))


def address(source: Source, name: str, *, encrypted: bool) -> Address | None:
    """Return the address of a setting, None if unset. Raises SettingError, also for plain TCP to another machine."""
    text = source.text(name)
    return _parse(name, text, encrypted=encrypted) if text else None


def several(source: Source, name: str, *, encrypted: bool) -> tuple[Address, ...]:
    """Return the addresses of a setting, none if unset. Raises SettingError as `address`."""
    written = [part.strip() for part in source.text(name).split(",")]
    return tuple(_parse(name, part, encrypted=encrypted) for part in written if part)


def _parse(name: str, text: str, *, encrypted: bool) -> Address:
    try:
        found = addresses.parse(text)
    except ValueError as error:
        raise SettingError(f"{PREFIX}{name} {error}") from None
    if isinstance(found, TcpAddress) and not found.is_loopback and not encrypted:
        raise SettingError(
            f"{PREFIX}{name} is {found}, which other machines can reach: provider keys and images would cross the "
            f"network in clear text. Set {_TLS_NAMES}"
        )
    return found
