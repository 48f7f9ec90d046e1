"""MCP over standard input and output, for the program that starts this process. Imports the SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagegateway.mcp import api, server
from imagegateway.mcp.api import GatewayApi
from mcp.server.stdio import stdio_server

if TYPE_CHECKING:
    from pathlib import Path

    from imagegateway.mcp.content import Preview


async def serve(url: str, socket: Path | None, key: str, preview: Preview) -> None:
    """Serve the tools with the gateway at `url`, or at its UNIX socket, until the standard input ends."""
    async with api.client(url, socket) as client:
        gateway = GatewayApi(client, {"authorization": f"Bearer {key}"})
        tools = server.build(lambda _headers: gateway, preview, files=True)
        async with stdio_server() as (incoming, outgoing):
            await tools.run(incoming, outgoing, tools.create_initialization_options())
