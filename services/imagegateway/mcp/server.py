"""Server of the SDK: the protocol around the tools."""

from __future__ import annotations

from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from imagegateway.mcp.content import ResultContent
from imagegateway.mcp.inputs import InputReader
from imagegateway.mcp.limits import TRANSFERS
from imagegateway.mcp.tools import INSTRUCTIONS, TOOLS, ToolCall, run_tool
from imagegateway.mcp.waiting import Progress
from imagegateway.platform.tenant_slots import TenantSlots
from mcp.server.lowlevel import Server
from mcp_types import ListToolsResult

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from imagegateway.mcp.api import GatewayApi
    from imagegateway.mcp.content import Preview
    from mcp.server import ServerRequestContext
    from mcp_types import CallToolRequestParams, CallToolResult, PaginatedRequestParams

_SCHEMAS = {tool.name: tool.input_schema for tool in TOOLS}


def build(api_of: Callable[[Mapping[str, str]], GatewayApi], preview: Preview, *, files: bool) -> Server[Any]:
    """Return the server. `api_of` returns the API for a request with these HTTP headers, none of them over stdio.

    `files`: edits may read local files.
    """

    transfers = TenantSlots(TRANSFERS, TRANSFERS // 2)

    async def list_tools(
        _context: ServerRequestContext[Any, Any], _params: PaginatedRequestParams | None
    ) -> ListToolsResult:
        return ListToolsResult(tools=list(TOOLS))

    async def call_tool(context: ServerRequestContext[Any, Any], params: CallToolRequestParams) -> CallToolResult:
        api = api_of({} if context.request is None else context.request.headers)
        transfer = partial(transfers.hold, api.headers.get("authorization", ""))
        call = ToolCall(
            api,
            InputReader(api, transfer, files=files),
            Progress(context.session.report_progress),
            ResultContent(api, preview, transfer),
        )
        return await run_tool(params.name, params.arguments or {}, call)

    return Server(
        "imagegateway",
        version=version("imagegateway"),
        title="imagegateway",
        instructions=INSTRUCTIONS,
        get_tool_input_schema=_SCHEMAS.get,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )
