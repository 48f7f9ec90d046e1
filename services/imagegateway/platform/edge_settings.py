"""Settings of the public port beside its address: TLS, HTTP/3 and the proxies in front of it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from imagegateway.platform.setting_source import PREFIX, SettingError

if TYPE_CHECKING:
    from imagegateway.platform.setting_source import Source

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_TLS: Final = ("TLS_CERT", "TLS_KEY")


@dataclass(frozen=True, slots=True)
class EdgeSettings:
    """Settings of the public port. A field is a setting, as in `Settings`."""

    tls_cert: Path | None
    """PEM file with the certificate of the public port and of administration, followed by its chain. Both ports then
    serve TLS 1.2 and 1.3 with HTTP/2 and HTTP/1.1, and no plain HTTP. A changed file is in force within seconds.
    [TLS](operations/tls.md).
    """
    tls_key: Path | None
    """PEM file with the private key of `IMAGEGATEWAY_TLS_CERT`, without a passphrase."""
    http3: bool
    """Serve HTTP/3, too, on the UDP port of the same number. Needs a certificate."""
    trusted_proxies: tuple[Network, ...]
    """Addresses and networks (`10.0.0.0/8`, `2001:db8::/32`) of proxies and load balancers in front, separated by
    commas or blanks. The client is then the last other address in their `X-Forwarded-For`: limits by address and logs
    use it. Their connections have no limit by address. `X-Forwarded-…` from others is removed.
    [Proxies](operations/tls.md#a-proxy-in-front).
    """

    @classmethod
    def load(cls, source: Source) -> EdgeSettings:
        """Read and check the settings of a source. Raises SettingError."""
        cert, key = (source.text(name) for name in _TLS)
        if bool(cert) != bool(key):
            given, missing = _TLS if cert else reversed(_TLS)
            raise SettingError(f"{PREFIX}{missing} is needed with {PREFIX}{given}: set both, or neither")
        http3 = source.flag("HTTP3")
        if http3 and not cert:
            raise SettingError(f"{PREFIX}HTTP3 needs {PREFIX}TLS_CERT and {PREFIX}TLS_KEY")
        return cls(
            tls_cert=Path(cert).absolute() if cert else None,
            tls_key=Path(key).absolute() if key else None,
            http3=http3,
            trusted_proxies=_networks(source, "TRUSTED_PROXIES"),
        )

    @property
    def scheme(self) -> str:
        """Scheme of the public port's URLs."""
        return "https" if self.tls_cert else "http"


def _networks(source: Source, name: str) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(entry) for entry in source.text(name).replace(",", " ").split())
    except ValueError as error:
        raise SettingError(f"{PREFIX}{name} must be addresses and networks, such as 10.0.0.0/8: {error}") from None
