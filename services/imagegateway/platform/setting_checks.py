"""Settings whose values need more than a range check."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from imagegateway.platform.hosts import HostPort, is_wildcard, origin
from imagegateway.platform.setting_source import PREFIX, SettingError, Source

if TYPE_CHECKING:
    from imagegateway.platform.secret import Secret

_SHORTEST_KEY: Final = 20
_KEY: Final = re.compile(r"[!-~]+")
_NO_URL: Final = re.compile(r"""[\s"<>\\^`{|}]""")
_HOST_ENTRY: Final = re.compile(r"^(?:[a-z0-9_.-]+|\[[0-9a-f:.]+\])(?::(\d{1,5}))?$")
_MOST_PORT: Final = 65_535
_WEBSOCKET_SCHEMES: Final = {"ws", "wss"}
_NATS_SCHEMES: Final = {"nats", "tls", *_WEBSOCKET_SCHEMES}
_NATS_REPLICAS: Final = (1, 3, 5)


def allow_hosts(source: Source) -> frozenset[str]:
    """Return the hosts that pass the URL guard, in lower case. Raises SettingError."""
    entries = frozenset(source.text("ALLOW_HOSTS").lower().replace(",", " ").split())
    for entry in entries:
        found = _HOST_ENTRY.match(entry)
        if not found or not 1 <= int(found[1] or 1) <= _MOST_PORT:
            raise SettingError(f"IMAGEGATEWAY_ALLOW_HOSTS: {entry!r} is not a host or host:port")
    return entries


def host(source: Source) -> str:
    """Return the address that Envoy listens on. Raises SettingError for a name, which Envoy does not resolve."""
    return _ip_address("HOST", source.text("HOST", "127.0.0.1"))


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
            "without credentials, query, fragment, blanks and characters that a URL can't hold"
        )
    if not named or "*" in named or is_wildcard(named):
        raise SettingError(f"IMAGEGATEWAY_PUBLIC_URL must name a host that callers can reach, not {url!r}")
    return url


def check_base_url(source: Source, name: str) -> None:
    """Check the base URL of a provider, if set. Raises SettingError."""
    url = source.text(name)
    try:
        parts = urlsplit(url)
        is_base = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_base = False
    if url and not (is_base and not _NO_URL.search(url) and "?" not in url and "#" not in url):
        raise SettingError(
            f"{PREFIX}{name} must be an origin, such as https://api.example.com, or an origin with a path"
        )


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


def metrics_host(source: Source) -> str:
    """Return the address of the port for health and metrics. Raises SettingError.

    An empty one would mean every address of the machine, and the port needs no key.
    """
    text = source.text("METRICS_HOST", "127.0.0.1")
    return "127.0.0.1" if text == "localhost" else _ip_address("METRICS_HOST", text)


def nats_url(source: Source) -> Secret:
    """Return the URLs of NATS servers, separated by commas, empty if unset. Raises SettingError without the value."""
    urls = source.secret("NATS_URL")
    found = [_nats_scheme(url) for url in urls.reveal().split(",")] if urls else []
    if not _NATS_SCHEMES.issuperset(found):
        raise SettingError(
            "IMAGEGATEWAY_NATS_URL must be URLs of NATS servers with commas, such as nats://user:password@host:4222"
        )
    if len({scheme in _WEBSOCKET_SCHEMES for scheme in found}) > 1:  # nats-py refuses them at each connection
        raise SettingError("IMAGEGATEWAY_NATS_URL must not mix ws:// and wss:// with nats:// and tls://")
    return urls


def _ip_address(name: str, text: str) -> str:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise SettingError(
            f"{PREFIX}{name} must be an IP address, such as 127.0.0.1, 0.0.0.0 or ::, not {text!r}"
        ) from None
    return text


def _nats_scheme(url: str) -> str:
    """Return the scheme of a NATS server's URL, empty for a URL that names no server."""
    try:
        parts = urlsplit(url if "://" in url else f"nats://{url}")
        return parts.scheme if parts.hostname and parts.port != 0 else ""
    except ValueError:
        return ""


def nats_replicas(source: Source) -> int:
    """Return the copies of streams and buckets. Raises SettingError."""
    count = source.integer("NATS_REPLICAS", 1, 1, 5)
    if count not in _NATS_REPLICAS:
        raise SettingError(f"IMAGEGATEWAY_NATS_REPLICAS must be 1, 3 or 5, not {count}")
    return count


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
    if address.overlaps(public):
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
