"""`imagegateway mcp` as an agent starts it: the SDK's client over pipes."""

from __future__ import annotations

import json
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest
from mcp import Client, StdioServerParameters

from tests.mcp.test_tools import TOOLS
from tests.support import command

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.processes
async def test_command_serves_the_tools_and_reports_a_gateway_that_does_not_run() -> None:
    environment = command.environment(url="http://127.0.0.1:1", key="key")
    parameters = StdioServerParameters(command=str(command.PROGRAM), args=["mcp"], env=environment)
    async with Client(parameters) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == TOOLS


@pytest.mark.processes
def test_interrupt_ends_the_command_while_its_input_is_open() -> None:
    environment = command.environment(url="http://127.0.0.1:1", key="key")
    initialize = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"},
        },
    }
    with subprocess.Popen(
        [command.PROGRAM, "mcp"], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(json.dumps(initialize) + "\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["result"]["serverInfo"]["name"] == "imagegateway"
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == -signal.SIGINT


def test_command_without_a_gateway_says_how_to_name_one(tmp_path: Path) -> None:
    done = command.run("mcp", data_dir=str(tmp_path))
    assert done.returncode == 1
    assert "imagegateway login" in done.stderr
