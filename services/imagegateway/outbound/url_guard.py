"""Which URLs from outside may be called: the policy, without a connection.

Every URL that a caller, a provider or a redirect names passes `Guard`. Connections are made in
`imagegateway.outbound.client`, whose resolver asks `Guard.addresses`: the addresses checked are the ones used.
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
"""Host name and port to IP addresses, as text. Raises OSError for a name without any."""

_PORTS: Final = {"http": 80, "https": 443}
_URL: Final = re.compile(r"(?i:(https?))://([^/?#]*)([^#]*)(?:#.*)?")
_AUTHORITY: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]@%]+)(?::([0-9]{1,5}))?")
_NAME: Final = re.compile(
    r"(?!.{254})[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*"
)
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")

# Python's IDNA codec turns these into other letters, so the name would belong to somebody else.
_IDNA_DEVIATIONS: Final = frozenset("ßς\u200c\u200d")

_V4_REFUSED: Final = (
    ipaddress.IPv4Network("192.0.0.0/24"),  # protocol assignments; a cloud's metadata service lives there
    ipaddress.IPv4Network("192.88.99.0/24"),  # 6to4 relays
    ipaddress.IPv4Network("168.63.129.16/32"),  # Azure's platform service, on an address that looks public
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
"""Reason of a refusal that may pass."""


class OutboundError(Exception):
    """Nothing was fetched.

    `reason` is a clause that callers may read ("its host has no public address"): it holds no address, query
    string or text from the other side. `transient` tells that the same call may succeed later.
    """

    def __init__(self, reason: str, *, transient: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.transient = transient


class UrlRefusedError(OutboundError):
    """The guard does not let this URL pass."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that the policy lets pass."""

    url: str
    """Absolute, with the host in ASCII lower case and without fragment; path and query as they were given."""
    scheme: str
    """`https` or `http`."""
    host: str
    """Name without trailing dot, or IP address in its usual spelling without brackets."""
    port: int
    """1 to 65535; the scheme's own when the URL names none."""


def is_public(address: str) -> bool:
    """Whether an IP address is routable on the open internet, also where it embeds another address."""
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
    # Python 3.11 calls much of the unassigned space global, and IPv4-compatible addresses too.
    return found in _V6_GLOBAL and found.is_global and not any(found in network for network in _V6_REFUSED)


def _is_public_v4(found: ipaddress.IPv4Address) -> bool:
    return found.is_global and not found.is_multicast and not any(found in network for network in _V4_REFUSED)


class Guard:
    """The policy for URLs from outside.

    https only, to hosts whose every address is public. Hosts in `allow_hosts` (`name` or `name:port`, lower
    case) may also be called over http, on any port, wherever they resolve to. `resolve` replaces the resolver that
    the guard has of its own; `aclose` ends that.
    """

    def __init__(self, allow_hosts: Iterable[str], resolve: Resolve | None = None) -> None:
        self._allow = {_host_and_port(entry) for entry in allow_hosts}
        self._resolver = Resolver()
        self._resolve = resolve or self._resolver.resolve

    async def aclose(self) -> None:
        """End the lookups that are under way."""
        await self._resolver.aclose()

    def parse(self, url: str) -> Target:
        """Check everything that needs no name service. Raises UrlRefusedError."""
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
        if not self._is_allowed(host, port):
            if scheme != "https":
                raise UrlRefusedError("the URL must start with https://")
            if port < 1024 and port not in _PORTS.values():
                raise UrlRefusedError("its port belongs to another service than the web")
            if "." not in host and ":" not in host:
                # A bare word is completed by the machine's search domains: it never means the open internet.
                raise UrlRefusedError(_NOT_PUBLIC)
            if _is_address(host) and not is_public(host):
                raise UrlRefusedError(_NOT_PUBLIC)
        shown = f"[{host}]" if ":" in host else host
        colon = "" if given is None else f":{given}"
        slash = "" if rest.startswith("/") else "/"
        return Target(f"{scheme}://{shown}{colon}{slash}{rest}", scheme, host, port)

    async def addresses(self, host: str, port: int) -> list[str]:
        """Resolve a host of `Target` and check every address it has.

        Raises UrlRefusedError when any is not public, or there is none. The text tells a name that does not resolve
        from one that resolves inside: a typing error is far more common than somebody who guesses internal names,
        who learns that a name exists and neither its address nor anything of its server.
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
        if not (self._is_allowed(host, port) or all(map(is_public, found))):
            raise UrlRefusedError(_NOT_PUBLIC)
        return found

    async def check(self, url: str) -> Target:
        """Check a URL that is called later, and checked again then, as webhooks. Raises UrlRefusedError."""
        target = self.parse(url)
        await self.addresses(target.host, target.port)
        return target

    def _is_allowed(self, host: str, port: int) -> bool:
        return (host, None) in self._allow or (host, port) in self._allow


def _is_address(host: str) -> bool:
    """Whether a host from `_host_and_port` is an IP address."""
    return ":" in host or _NUMBER.fullmatch(host.rpartition(".")[2]) is not None


def _host_and_port(authority: str) -> tuple[str, int | None]:
    """Split and normalise; IP addresses in any spelling become the usual one. Raises UrlRefusedError."""
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
        # The system's own parser knows each spelling that connections accept: 127.1, 0x7f.1, 017700000001
        if _is_address(host):
            return socket.inet_ntoa(socket.inet_aton(host))
    except (ValueError, OSError):
        raise UrlRefusedError("its host is malformed") from None
    if _NAME.fullmatch(host) is None:
        raise UrlRefusedError("its host is malformed")
    return host
