"""Settings whose values need more than a range check."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from imagegateway.platform.hosts import HostPort, is_wildcard, origin
from imagegateway.platform.setting_source import SettingError, Source

if TYPE_CHECKING:
    from imagegateway.platform.secret import Secret

_SHORTEST_KEY: Final = 20
_KEY: Final = re.compile(r"[!-~]+")
_NO_URL: Final = re.compile(r"\s")
_HOST_ENTRY: Final = re.compile(r"^[a-z0-9_.-]+(:\d{1,5})?$|^\[[0-9a-f:.]+\](:\d{1,5})?$")


def allow_hosts(source: Source) -> frozenset[str]:
    """Return the hosts that pass the URL guard, in lower case. Raises SettingError."""
    entries = frozenset(source.text("ALLOW_HOSTS").lower().replace(",", " ").split())
    for entry in entries:
        if not _HOST_ENTRY.match(entry):
            raise SettingError(f"IMAGEGATEWAY_ALLOW_HOSTS: {entry!r} is not a host or host:port")
    return entries


def host(source: Source) -> str:
    """Return the address that Envoy listens on. Raises SettingError for a name, which Envoy does not resolve."""
    text = source.text("HOST", "127.0.0.1")
    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise SettingError(
            f"IMAGEGATEWAY_HOST must be an IP address, such as 127.0.0.1, 0.0.0.0 or ::, not {text!r}"
        ) from None
    return text


def public_url(source: Source, host: str, port: int, scheme: str) -> str:
    """Return the origin by which callers reach the gateway. Raises SettingError."""
    url = source.text("PUBLIC_URL").rstrip("/")
    if not url:
        if is_wildcard(host):
            raise SettingError(
                f"IMAGEGATEWAY_PUBLIC_URL is needed: IMAGEGATEWAY_HOST is {host}, which is no address for links. "
                "Set it to the URL by which callers reach the gateway, such as https://images.example.com"
            )
        return origin(scheme, host, port)
    if not url.startswith(("http://", "https://")):
        raise SettingError(f"IMAGEGATEWAY_PUBLIC_URL must start with http:// or https://, not {url!r}")
    try:
        parts = urlsplit(url)
        named, _ = parts.hostname or "", parts.port
    except ValueError:
        raise SettingError(f"IMAGEGATEWAY_PUBLIC_URL must be a URL, not {url!r}") from None
    if parts.username is not None or parts.query or parts.fragment or _NO_URL.search(url):
        raise SettingError(
            "IMAGEGATEWAY_PUBLIC_URL must be the start of links, such as https://images.example.com: "
            "without credentials, query, fragment and blanks"
        )
    if not named or is_wildcard(named):
        raise SettingError(f"IMAGEGATEWAY_PUBLIC_URL must name a host that callers can reach, not {url!r}")
    return url


def events_webhook(source: Source) -> str:
    """Return the URL of the operator's events, empty if unset. Raises SettingError."""
    url = source.text("EVENTS_WEBHOOK")
    try:
        host = urlsplit(url).hostname
    except ValueError:
        host = None
    if url and not (url.startswith(("https://", "http://")) and host):
        raise SettingError("IMAGEGATEWAY_EVENTS_WEBHOOK must be an https:// or http:// URL")
    return url


def admin_listen(source: Source, public: HostPort) -> HostPort | None:
    """Return the address of the listener for administration, None if unset. Raises SettingError."""
    text = source.text("ADMIN_LISTEN")
    if not text:
        return None
    try:
        address = HostPort.parse(text)
    except ValueError:
        raise SettingError(
            f"IMAGEGATEWAY_ADMIN_LISTEN must be an address and a port, such as 127.0.0.1:9090, not {text!r}"
        ) from None
    if address.port == public.port and (address.host == public.host or is_wildcard(address.host)):
        raise SettingError("IMAGEGATEWAY_ADMIN_LISTEN must differ from the public address: choose another port")
    return address


def api_key(source: Source) -> Secret:
    """Return the API key to accept, empty if unset. Raises SettingError."""

    def check(key: str) -> None:
        if len(key) < _SHORTEST_KEY or not _KEY.fullmatch(key):
            raise ValueError(
                f"must have at least {_SHORTEST_KEY} characters, all of them printable ASCII and no space: "
                "`openssl rand -hex 32` makes one"
            )

    return source.watched_secret("API_KEY", check)
