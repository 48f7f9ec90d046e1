"""MCP over streamable HTTP, without sessions: any replica answers any request. Imports the SDK."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from aiohttp import web
from imagegateway.mcp import api, server
from imagegateway.mcp.api import ApiError, GatewayApi
from imagegateway.mcp.limits import MAX_BODY_BYTES
from imagegateway.platform.errors import UnavailableError
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    import httpx  # noqa: TID251  type of the client of the gateway itself
    from imagegateway.mcp.asgi import Application
    from imagegateway.mcp.content import Preview
    from imagegateway.platform.settings import Settings

_RELAYED: Final = ("content-type", "retry-after", "x-should-retry")
"""Headers of the API's refusal that pass on to the caller."""
_CREDENTIALS: Final = ("authorization", "x-byok-")
"""Starts of the names of headers that pass on to the API."""


class McpService:
    """ASGI application of the tools, which call the gateway with the credentials of their request."""

    def __init__(self, client: httpx.AsyncClient, preview: Preview) -> None:
        self._client = client
        self.manager: Final = StreamableHTTPSessionManager(
            server.build(self.api, preview, files=False),
            stateless=True,
            max_request_body_size=MAX_BODY_BYTES,
            # `endpoint` checks the origin.
            security_settings=TransportSecuritySettings(enable_dns_rebinding_protection=False),
        )

    @property
    def application(self) -> Application:
        """ASGI application."""
        return self.manager.handle_request

    async def refusal(self, headers: Mapping[str, str]) -> web.Response | None:
        """Return the API's refusal of a request's key, or None. Raises GatewayError without a response of the API."""
        try:
            await self.api(headers).check_key()
        except ApiError as error:
            if error.response is None:
                raise UnavailableError("the API can't be reached").as_gateway_error() from error
            relayed = {name: error.response.headers[name] for name in _RELAYED if name in error.response.headers}
            return web.Response(status=error.response.status_code, body=error.response.content, headers=relayed)
        return None

    def api(self, headers: Mapping[str, str]) -> GatewayApi:
        """Return the API with the credentials of a request."""
        given = {name: value for name, value in headers.items() if name.lower().startswith(_CREDENTIALS)}
        return GatewayApi(self._client, given)


@asynccontextmanager
async def running(settings: Settings, preview: Preview) -> AsyncIterator[McpService]:
    """Serve within the block. Its end cancels running requests."""
    socket = settings.socket("envoy-api")
    async with (
        # Without an Envoy on this machine, the gateway's public address is the only one known.
        api.client("http://localhost", socket) if socket.exists() else api.client(settings.public_url) as client,
    ):
        service = McpService(client, preview)
        async with service.manager.run():
            yield service
