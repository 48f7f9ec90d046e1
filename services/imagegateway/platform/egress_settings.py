"""Settings of outbound connections: proxy, certificates and timeout."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imagegateway.platform.egress_proxies import RESOLVES_SETTING, SETTING, EgressProxies
from imagegateway.platform.setting_source import PREFIX, SettingError

if TYPE_CHECKING:
    from imagegateway.platform.secret import Secret
    from imagegateway.platform.setting_source import Source


@dataclass(frozen=True, slots=True)
class EgressSettings:
    """The way out. A field is a setting, as in `Settings`."""

    egress_proxy: Secret
    """HTTP proxy for calls to providers, downloads and webhooks: `http://user:password@host:port` or `https://…`.
    `NO_PROXY` names hosts that need none. [The way out](operations/egress.md).

    Default: `HTTPS_PROXY` for https and `HTTP_PROXY` for http, in lower or upper case, else no proxy.
    """
    egress_proxy_dns: bool
    """Let the proxy resolve the names of URLs from outside. The proxy must then refuse internal addresses. Otherwise
    the gateway resolves and checks such a name, and the proxy connects to the checked address.
    """
    ca_bundle: str
    """PEM file of certificates that outbound TLS trusts in addition to the public ones. `SSL_CERT_FILE` replaces the
    public ones.
    """
    connect_timeout: float
    """Timeout of an outbound connection in seconds, its proxy and TLS handshake included."""

    @classmethod
    def load(cls, source: Source) -> EgressSettings:
        """Read and check the settings of a source, HTTPS_PROXY and HTTP_PROXY included. Raises SettingError."""
        EgressProxies.load(source)
        return cls(
            egress_proxy=source.secret(SETTING),
            egress_proxy_dns=source.flag(RESOLVES_SETTING),
            ca_bundle=_ca_bundle(source),
            connect_timeout=source.number("CONNECT_TIMEOUT", 10, 0.1, 300),
        )


def _ca_bundle(source: Source) -> str:
    path = source.text("CA_BUNDLE")
    if path:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
        except OSError as error:  # an ssl.SSLError is one
            raise SettingError(f"{PREFIX}CA_BUNDLE: {path} holds no readable certificates ({error})") from None
    return path
