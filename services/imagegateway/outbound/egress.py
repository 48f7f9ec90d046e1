"""Choice of the way out: each request goes directly to its server or through an egress proxy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagegateway.outbound.tunnel import ProxiedTransport

if TYPE_CHECKING:
    import ssl

    import aiohttp
    from imagegateway.outbound.messages import Request
    from imagegateway.outbound.transport import Sender
    from imagegateway.outbound.url_guard import UrlGuard
    from imagegateway.platform.egress_proxies import EgressProxies


class EgressTransport:
    """Sender that uses `direct`, or the proxy that the settings name for the URL.

    With `guard`, a proxy gets an address that the guard has just checked, and TLS still checks the name. Exempt hosts
    go by name, and so do all where the proxies resolve names.
    """

    def __init__(self, direct: Sender, tls: ssl.SSLContext, proxies: EgressProxies, guard: UrlGuard | None) -> None:
        self._direct = direct
        self._proxies = proxies
        self._guard = guard
        self._proxied = {proxy: ProxiedTransport(tls, proxy) for proxy in proxies.by_scheme.values()}

    async def send(self, request: Request) -> aiohttp.ClientResponse:
        url = request.url
        host = url.raw_host or ""
        proxy = self._proxies.find(url.scheme, host, url.port)
        if proxy is None:
            return await self._direct.send(request)
        if self._guard and not self._proxies.resolve_names:
            await self._pin(self._guard, request, host)
        return await self._proxied[proxy].send(request)

    async def _pin(self, guard: UrlGuard, request: Request, host: str) -> None:
        """Replace the host of the request's URL by a checked address. Raises UrlRefusedError."""
        url, port = request.url, request.url.port or 0
        if guard.is_exempt(host, port):
            return
        # Plain http never gets here: the guard permits it to exempt hosts only.
        addresses = await guard.addresses(host, port)
        request.headers["host"] = url.host_port_subcomponent or host
        request.url = url.with_host(min(addresses, key=lambda address: ":" in address))
        request.tls_name = host

    async def aclose(self) -> None:
        await self._direct.aclose()
        for transport in self._proxied.values():
            await transport.aclose()
