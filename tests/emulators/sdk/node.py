"""Runs Node for SDKs that exist for it alone."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from imagegateway.platform import setting_source


async def node(folder: Path, *command: str, params: dict[str, Any] | None = None) -> str:
    """What a command of Node's prints, run in a folder with `params` as JSON in the environment's PARAMS."""
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
    """The JSON object that the folder's `run.mjs` prints last; its package is installed at the first call."""
    if not (folder / "node_modules").exists():
        await node(folder, "npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", package)
    output = await node(folder, "node", "run.mjs", *arguments, params=params)
    answer: dict[str, Any] = json.loads(output.splitlines()[-1])
    return answer
