"""Node.js runner for SDKs without a Python version."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from imagegateway.platform import setting_source


async def node(folder: Path, *command: str, params: dict[str, Any] | None = None) -> str:
    """Run a Node.js command in a folder, with `params` as JSON in the variable PARAMS. Return its output."""
    environment = setting_source.environment()
    path = f"{Path(sys.executable).parent}:{environment.get('PATH', '')}"
    program = shutil.which(command[0], path=path)
    assert program, f"no {command[0]}"
    process = await asyncio.create_subprocess_exec(
        program,
        *command[1:],
        cwd=folder,
        env={**environment, "PATH": path, "PARAMS": json.dumps(params or {})},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 0, errors.decode()
    return output.decode()


async def call(folder: Path, package: str, *arguments: str, params: dict[str, Any]) -> dict[str, Any]:
    """Run the folder's `run.mjs`. Return the JSON object on its last line. The first call installs the package."""
    if not (folder / "node_modules").exists():
        await node(folder, "npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", package)
    output = await node(folder, "node", "run.mjs", *arguments, params=params)
    answer: dict[str, Any] = json.loads(output.splitlines()[-1])
    return answer
