"""DNS resolver on c-ares: without threads, with a time limit."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import TYPE_CHECKING, Final

import aiodns

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LOOKUP_SECONDS: Final = 3.0
"""Timeout of one lookup in seconds."""
FAILED_SECONDS: Final = 5.0
"""Seconds for which a failed lookup is cached."""
MAX_FAILED: Final = 1000
"""Most cached failures."""

_TRY_SECONDS: Final = 1.0
_TRIES: Final = 2
"""Tries of a lookup. c-ares doubles the timeout with each try: 3 s in total."""
_NO_SUCH_NAME: Final = frozenset({aiodns.error.ARES_ENOTFOUND, aiodns.error.ARES_ENODATA, aiodns.error.ARES_EBADNAME})


class Resolver:
    """Resolver by `/etc/hosts`, and the servers and search domains of `/etc/resolv.conf`.

    c-ares caches responses for their TTL. The resolver caches failures, which have no TTL. `servers` (`address:port`)
    replace the system's. `clock` returns seconds.
    """

    def __init__(self, servers: Sequence[str] = (), clock: Callable[[], float] = time.monotonic) -> None:
        self._servers = servers
        self._clock = clock
        self._dns: aiodns.DNSResolver | None = None
        self._failed: dict[str, tuple[float, int]] = {}
        """Failed names: the end of caching, and the number of the `socket.gaierror`."""

    async def resolve(self, host: str, port: int) -> list[str]:
        """Return the IP addresses of a host for connections to a port.

        Raises socket.gaierror: EAI_NONAME for a name without addresses, EAI_AGAIN without a response in time.
        """
        until, error = self._failed.get(host, (0.0, 0))
        if until > self._clock():
            raise _failure(error)
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                found = await self._channel().getaddrinfo(host, port=port, type=socket.SOCK_STREAM)
        except TimeoutError:
            error = socket.EAI_AGAIN
        except aiodns.error.DNSError as failure:
            error = socket.EAI_NONAME if failure.args[0] in _NO_SUCH_NAME else socket.EAI_AGAIN
        else:
            return list(dict.fromkeys(node.addr[0].decode() for node in found.nodes))
        self._keep_failure(host, error)
        raise _failure(error)

    async def aclose(self) -> None:
        """Cancel running lookups."""
        if self._dns is not None:
            await self._dns.close()
            self._dns = None

    def _channel(self) -> aiodns.DNSResolver:
        if self._dns is None:  # needs a running event loop
            self._dns = aiodns.DNSResolver(self._servers, timeout=_TRY_SECONDS, tries=_TRIES)
        return self._dns

    def _keep_failure(self, host: str, error: int) -> None:
        self._failed.pop(host, None)  # the newest last
        self._failed[host] = (self._clock() + FAILED_SECONDS, error)
        if len(self._failed) > MAX_FAILED:
            del self._failed[next(iter(self._failed))]


def _failure(error: int) -> socket.gaierror:
    return socket.gaierror(error, "the name does not resolve")
