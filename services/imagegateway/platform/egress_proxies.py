"""Egress proxies: the HTTP proxy, if any, for each request to the outside."""

from __future__ import annotations

import base64
import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from imagegateway.platform.secret import Secret
from imagegateway.platform.setting_source import PREFIX, SettingError

if TYPE_CHECKING:
    from imagegateway.platform.setting_source import Source

SETTING: Final = "EGRESS_PROXY"
RESOLVES_SETTING: Final = "EGRESS_PROXY_DNS"
_PORTS: Final = {"http": 80, "https": 443}
_LOCALHOST: Final = "localhost"


@dataclass(frozen=True, slots=True)
class Proxy:
    """HTTP proxy. `url` is `http://host:port` or `https://host:port`, without credentials."""

    url: str
    authorization: Secret
    """Value of `Proxy-Authorization`; empty for a proxy without credentials."""

    @classmethod
    def parse(cls, setting: str, text: str) -> Proxy:
        """Return the proxy of a URL. Without a scheme, it is `http`. Raises SettingError without the URL."""
        try:
            parts = urlsplit(text if "://" in text else f"http://{text}")
            scheme, host, port = parts.scheme, parts.hostname, parts.port
        except ValueError:
            scheme, host, port = "", None, None
        if scheme not in _PORTS or not host or parts.path not in {"", "/"} or parts.query or parts.fragment:
            raise SettingError(
                f"{setting} must be the URL of an HTTP proxy, such as http://user:password@proxy.example:3128"
            )
        shown = f"[{host}]" if ":" in host else host
        return cls(f"{scheme}://{shown}:{port or _PORTS[scheme]}", _basic(parts.netloc))


class EgressProxies:
    """Proxies by the scheme of a request's URL, and the hosts that need none (NO_PROXY).

    This machine itself (`localhost`, loopback addresses) never needs one.
    """

    def __init__(self, by_scheme: dict[str, Proxy], exempt: str = "", *, resolve_names: bool = False) -> None:
        """`resolve_names`: the proxies resolve names of URLs from outside, and refuse internal addresses."""
        self.by_scheme: Final = by_scheme
        self.resolve_names: Final = resolve_names
        self._exemptions = [_Exemption.parse(entry) for entry in exempt.lower().replace(",", " ").split()]

    @classmethod
    def load(cls, source: Source) -> EgressProxies:
        """Return the proxies of IMAGEGATEWAY_EGRESS_PROXY, else of HTTPS_PROXY and HTTP_PROXY.

        Raises SettingError.
        """
        resolve_names = source.flag(RESOLVES_SETTING)
        exempt = source.shared_variable("NO_PROXY")
        own = source.secret(SETTING).reveal()
        if own:
            proxy = Proxy.parse(PREFIX + SETTING, own)
            return cls(dict.fromkeys(_PORTS, proxy), exempt, resolve_names=resolve_names)
        shared = {scheme: f"{scheme.upper()}_PROXY" for scheme in _PORTS}
        found = {scheme: (name, source.shared_variable(name)) for scheme, name in shared.items()}
        by_scheme = {scheme: Proxy.parse(name, text) for scheme, (name, text) in found.items() if text}
        return cls(by_scheme, exempt, resolve_names=resolve_names)

    def find(self, scheme: str, host: str, port: int | None) -> Proxy | None:
        """Return the proxy for a URL's scheme, host and port; None: connect directly.

        `host`: a lower-case name or an IP address without brackets. `port` None: the scheme's port.
        """
        proxy = self.by_scheme.get(scheme)
        if proxy is None:
            return None
        address = _address(host)
        if host == _LOCALHOST or host.endswith(f".{_LOCALHOST}") or (address and address.is_loopback):
            return None
        port = port or _PORTS[scheme]
        return None if any(each.matches(host, address, port) for each in self._exemptions) else proxy


@dataclass(frozen=True, slots=True)
class _Exemption:
    """Entry of NO_PROXY: `*`, an address or network, or a name with its subdomains. Each may end in `:port`."""

    name: str
    network: ipaddress.IPv4Network | ipaddress.IPv6Network | None
    port: int | None

    @classmethod
    def parse(cls, entry: str) -> _Exemption:
        host, colon, port = entry.rpartition(":")
        if _network(entry) or not colon or not port.isdecimal():
            host, port = entry, ""
        name = host if host == "*" else host.removeprefix("*").strip(".")
        return cls(name, _network(host), int(port) if port else None)

    def matches(self, host: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None, port: int) -> bool:
        """Return whether a request to this host and port needs no proxy. `address`: the host as IP address."""
        if self.port not in {None, port}:
            return False
        if self.network:
            return address is not None and address in self.network
        return self.name in {"*", host} or host.endswith(f".{self.name}")


def _basic(netloc: str) -> Secret:
    """Return the value of `Proxy-Authorization` for the credentials of a URL, empty without any."""
    credentials, at, _ = netloc.rpartition("@")
    if not at:
        return Secret("")
    user, _, password = credentials.partition(":")
    return Secret("Basic " + base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode())


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text.strip("[]"), strict=False)
    except ValueError:
        return None


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
