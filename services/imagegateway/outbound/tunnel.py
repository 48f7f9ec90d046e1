"""Connections through an egress proxy: a tunnel by CONNECT for https, whole URLs for http."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from aiohttp import hdrs
from imagegateway.outbound.transport import Transport
from imagegateway.outbound.url_guard import OutboundError
from imagegateway.platform import logs

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace
    from imagegateway.outbound.messages import Request
    from imagegateway.platform.egress_proxies import Proxy

_AUTHENTICATION_REQUIRED: Final = 407
_TEMPORARY: Final = frozenset({408, 429})
"""Client errors of a proxy that another attempt may pass."""
_log = logs.get(__name__)


class ProxyRefusedError(OutboundError):
    """The egress proxy refused the connection by its own rules, and sent nothing on. `status`: of its response."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the proxy of the gateway refuses the connection to its server (status {status})")
        self.status: Final = status


class _TunnelConnector(aiohttp.TCPConnector):
    """Connector whose every failure is one of the connection: until the tunnel stands, no server has the request."""

    async def connect(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109  aiohttp's signature
    ) -> Connection:
        host = req.headers[hdrs.HOST]
        # aiohttp repeats this header in CONNECT, where it must name the target: a proxy that read a name there
        # would resolve it again, after the URL guard has checked an address.
        req.headers[hdrs.HOST] = f"{req.url.host_subcomponent}:{req.url.port}"
        try:
            async with asyncio.timeout(timeout.sock_connect):  # aiohttp waits for the response to CONNECT without end
                return await self._open(req, traces, timeout)
        finally:
            req.headers[hdrs.HOST] = host

    async def _open(self, req: ClientRequest, traces: list[Trace], timeouts: aiohttp.ClientTimeout) -> Connection:
        try:
            return await super().connect(req, traces, timeouts)
        except aiohttp.ClientHttpProxyError as error:
            if 400 <= error.status < 500 and error.status not in _TEMPORARY:
                raise _refused(str(req.proxy), req.server_hostname or req.host, error.status) from None
            raise _unconnected(req, f"status {error.status}") from error
        except (aiohttp.ClientConnectorError, TimeoutError):
            raise
        except (aiohttp.ClientError, OSError) as error:
            raise _unconnected(req, type(error).__name__) from error


class ProxiedTransport(Transport):
    """Transport that sends every request through one proxy."""

    def __init__(self, tls: ssl.SSLContext, proxy: Proxy) -> None:
        super().__init__(tls, None)
        self._via = proxy

    def options(self) -> Mapping[str, Any]:
        authorization = self._via.authorization.reveal()
        headers = {hdrs.PROXY_AUTHORIZATION: authorization} if authorization else {}
        return {"proxy": self._via.url, "proxy_headers": headers}

    def connector(self) -> aiohttp.TCPConnector:
        return _TunnelConnector(ssl=self._tls, limit=0)

    async def send(self, request: Request) -> aiohttp.ClientResponse:
        if request.url.scheme == "https":
            return await super().send(request)
        if self._via.authorization:
            request.headers["proxy-authorization"] = self._via.authorization.reveal()
        response = await super().send(request)
        if response.status == _AUTHENTICATION_REQUIRED:
            response.release()
            await response.wait_for_close()
            raise _refused(self._via.url, request.url.raw_host or "", response.status)
        return response


def _refused(proxy: str, host: str, status: int) -> ProxyRefusedError:
    """Return the error of a proxy's refusal, after a log line for the operator."""
    _log.error("egress_proxy_refused", proxy=proxy, host=host, status=status)
    return ProxyRefusedError(status)


def _unconnected(req: ClientRequest, reason: str) -> aiohttp.ClientProxyConnectionError:
    return aiohttp.ClientProxyConnectionError(req.connection_key, OSError(None, reason))
