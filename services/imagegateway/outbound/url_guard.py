"""URL guard: the policy for URLs from outside. Makes no connections.

`UrlGuard` checks every URL from a caller, a provider or a redirect. `imagegateway.outbound.client` makes the
connections, and its resolver calls `UrlGuard.addresses`: connections use exactly the checked addresses.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

from imagegateway.outbound.resolver import Resolver

MAX_URL: Final = 4096
"""Longest URL, in characters."""

Resolve: TypeAlias = Callable[[str, int], Awaitable[list[str]]]
"""Resolver of a host name and a port to IP addresses. Raises OSError for a name without addresses."""

_PORTS: Final = {"http": 80, "https": 443}
_URL: Final = re.compile(r"(?i:(https?))://([^/?#]*)([^#]*)(?:#.*)?")
_AUTHORITY: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]@%]+)(?::([0-9]{1,5}))?")
_NAME: Final = re.compile(
    r"(?!.{254})[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*"
)
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")

# Python's IDNA codec maps these to other letters: the result is another owner's name.
_IDNA_DEVIATIONS: Final = frozenset("ßς\u200c\u200d")

_V4_REFUSED: Final = (
    ipaddress.IPv4Network("192.0.0.0/24"),  # protocol assignments, with a cloud's metadata service
    ipaddress.IPv4Network("192.88.99.0/24"),  # 6to4 relays
    ipaddress.IPv4Network("168.63.129.16/32"),  # Azure's platform service, in public address space
)
_V6_GLOBAL: Final = ipaddress.IPv6Network("2000::/3")
_V6_REFUSED: Final = (
    ipaddress.IPv6Network("2001::/23"),  # Teredo and protocol assignments
    ipaddress.IPv6Network("2001:db8::/32"),  # documentation
    ipaddress.IPv6Network("3fff::/20"),  # documentation, newer than Python 3.11's tables
)
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")

_NOT_PUBLIC: Final = "its host has no public address"
_UNRESOLVED: Final = "its host name does not resolve"
NO_ANSWER: Final = "its host name could not be resolved just now"
"""Reason of a transient refusal."""


class OutboundError(Exception):
    """An outbound call failed.

    `reason` is a clause for callers ("its host has no public address"), without addresses, query strings and text
    from the server. `transient`: the same call may succeed later.
    """

    def __init__(self, reason: str, *, transient: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.transient = transient


class UrlRefusedError(OutboundError):
    """The guard refused the URL."""


@dataclass(frozen=True, slots=True)
class Target:
    """URL that passed the policy."""

    url: str
    """Absolute URL with the host in ASCII lower case, without fragment. Path and query are unchanged."""
    scheme: str
    """`https` or `http`."""
    host: str
    """Name without trailing dot, or IP address in its usual spelling without brackets."""
    port: int
    """1 to 65535. Default: the scheme's port."""


def is_public(address: str) -> bool:
    """Return True for an IP address that is routable on the internet. An embedded address must be routable, too."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv4Address):
        return _is_public_v4(found)
    if found.scope_id is not None:
        return False
    embedded = found.ipv4_mapped or found.sixtofour
    if found in _NAT64:
        embedded = ipaddress.IPv4Address(int(found) & 0xFFFF_FFFF)
    if embedded is not None:
        return _is_public_v4(embedded)
    # In Python 3.11, much unassigned space and IPv4-compatible addresses count as global.
    return found in _V6_GLOBAL and found.is_global and not any(found in network for network in _V6_REFUSED)


def _is_public_v4(found: ipaddress.IPv4Address) -> bool:
    return found.is_global and not found.is_multicast and not any(found in network for network in _V4_REFUSED)


class UrlGuard:
    """URL guard: https only, to hosts with public addresses only.

    Hosts in `allow_hosts` (`name` or `name:port`, lower case) are exempt: http, any port and any address pass.
    `resolve` replaces the guard's resolver, which `aclose` closes.
    """

    def __init__(self, allow_hosts: Iterable[str], resolve: Resolve | None = None) -> None:
        self._allow = {_host_and_port(entry) for entry in allow_hosts}
        self._resolver = Resolver()
        self._resolve = resolve or self._resolver.resolve

    async def aclose(self) -> None:
        """Cancel running lookups."""
        await self._resolver.aclose()

    def parse(self, url: str) -> Target:
        """Check a URL without a DNS lookup. Raises UrlRefusedError."""
        if len(url) > MAX_URL:
            raise UrlRefusedError(f"the URL is longer than {MAX_URL} characters")
        if not url.isprintable() or " " in url or "\\" in url:
            raise UrlRefusedError("the URL holds white space, control characters or backslashes")
        parts = _URL.fullmatch(url)
        if parts is None:
            raise UrlRefusedError("the URL must start with https:// and name a host")
        scheme, authority, rest = parts[1].lower(), parts[2], parts[3]
        if "@" in authority:
            raise UrlRefusedError("the URL must not hold a user name or password")
        host, given = _host_and_port(authority)
        port = _PORTS[scheme] if given is None else given
        if not self.is_exempt(host, port):
            if scheme != "https":
                raise UrlRefusedError("the URL must start with https://")
            if port < 1024 and port not in _PORTS.values():
                raise UrlRefusedError("its port belongs to another service than the web")
            if "." not in host and ":" not in host:
                # The machine's search domains complete a bare word: such a name is never public.
                raise UrlRefusedError(_NOT_PUBLIC)
            if _is_address(host) and not is_public(host):
                raise UrlRefusedError(_NOT_PUBLIC)
        shown = f"[{host}]" if ":" in host else host
        colon = "" if given is None else f":{given}"
        slash = "" if rest.startswith("/") else "/"
        return Target(f"{scheme}://{shown}{colon}{slash}{rest}", scheme, host, port)

    async def addresses(self, host: str, port: int) -> list[str]:
        """Resolve the host of a `Target`, and return its addresses after a check of each.

        Raises UrlRefusedError for an address that is not public, and for a host without addresses. The message
        distinguishes unknown names from internal ones, because typing errors are far more common than guesses of
        internal names. A guess reveals that a name exists, without its address or its server.
        """
        if _is_address(host):
            found = [host]
        else:
            try:
                found = await self._resolve(host, port)
            except OSError as error:
                lasting = isinstance(error, socket.gaierror) and error.errno != socket.EAI_AGAIN
                raise UrlRefusedError(_UNRESOLVED if lasting else NO_ANSWER, transient=not lasting) from error
        if not found:
            raise UrlRefusedError(_UNRESOLVED)
        if not (self.is_exempt(host, port) or all(map(is_public, found))):
            raise UrlRefusedError(_NOT_PUBLIC)
        return found

    async def check(self, url: str) -> Target:
        """Check a URL for a later call, such as a webhook's. The call checks it again. Raises UrlRefusedError."""
        target = self.parse(url)
        await self.addresses(target.host, target.port)
        return target

    def is_exempt(self, host: str, port: int) -> bool:
        """Return whether any address of the host passes. `host` is that of a `Target`."""
        return (host, None) in self._allow or (host, port) in self._allow


def _is_address(host: str) -> bool:
    """Return True when a host from `_host_and_port` is an IP address."""
    return ":" in host or _NUMBER.fullmatch(host.rpartition(".")[2]) is not None


def _host_and_port(authority: str) -> tuple[str, int | None]:
    """Return host and port, with IP addresses in canonical form. Raises UrlRefusedError."""
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None:
        raise UrlRefusedError("its host is malformed")
    port = None if parts[2] is None else int(parts[2])
    if port is not None and not 1 <= port <= 65535:
        raise UrlRefusedError("its port must be from 1 to 65535")
    return _host(parts[1]), port


def _host(text: str) -> str:
    try:
        if text.startswith("["):
            return str(ipaddress.IPv6Address(text[1:-1]))
        host = text.lower()
        if not host.isascii():
            if len(host) > 253 or _IDNA_DEVIATIONS & set(host):
                raise UrlRefusedError("its host must be written in its xn-- form")
            host = host.encode("idna").decode("ascii").lower()
        host = host.removesuffix(".")
        # The system's parser knows each spelling that connections accept: 127.1, 0x7f.1, 017700000001.
        if _is_address(host):
            return socket.inet_ntoa(socket.inet_aton(host))
    except (ValueError, OSError):
        raise UrlRefusedError("its host is malformed") from None
    if _NAME.fullmatch(host) is None:
        raise UrlRefusedError("its host is malformed")
    return host
