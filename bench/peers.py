"""Other gateways in front of the same stub of a provider: Portkey's, and LiteLLM's proxy with its production advice.

Each is installed by its package name into a separate folder, and listens on 127.0.0.1 only.
"""

from __future__ import annotations

import json
import secrets
import sys
import venv
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from imagegateway.stack.free_port import free_port

from bench.cells import UPSTREAM_MODEL
from bench.processes import SubjectError, environment, listens, running, until
from bench.subjects import Subject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    Start = Callable[[Path, Path, str], AbstractContextManager[Subject]]

_BIN: Final = Path(sys.executable).parent
VERSIONS: Final = {"portkey": "1.15.2", "litellm": "1.106.2"}
_PORTKEY: Final = {
    "private": True,
    "dependencies": {"@portkey-ai/gateway": VERSIONS["portkey"]},
    # Newer versions lose the responses of edits (Portkey-AI/gateway, issue 1389).
    "overrides": {"@hono/node-server": "1.11.0"},
}
_LITELLM: Final = f"litellm[proxy,proxy-runtime]=={VERSIONS['litellm']}"
_LOOPBACK: Final = """
const server = require("net").Server.prototype, listen = server.listen;
server.listen = function (where, ...more) {
  const options = typeof where === "number" ? { port: where } : where;
  return listen.call(this, { ...options, host: "127.0.0.1" }, more.find((one) => typeof one === "function"));
};
"""
"""Portkey lacks an option for its listen address."""
_PATIENCE: Final = 180.0
"""Start timeout of a peer in seconds: LiteLLM's imports alone may take half a minute."""


@contextmanager
def portkey(home: Path, folder: Path, upstream: str) -> Iterator[Subject]:
    """Run Portkey's gateway on Node. `home`: its installation; `upstream`: base URL of the provider."""
    entry = home / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    if not entry.exists():
        home.mkdir(parents=True, exist_ok=True)
        (home / "package.json").write_text(json.dumps(_PORTKEY))
        _install([str(_BIN / "npm"), "install", "--silent", "--no-fund", "--no-audit", "--ignore-scripts"], home)
    loopback = folder / "loopback.cjs"
    loopback.write_text(_LOOPBACK)
    port = free_port()
    command = [str(_BIN / "node"), "--require", str(loopback), str(entry), f"--port={port}", "--headless"]
    headers = f"x-portkey-provider: openai\r\nx-portkey-custom-host: {upstream}/v1\r\n"
    with _listening(command, folder, port, {**_path(), "NODE_ENV": "production"}) as pid:
        yield Subject("portkey", pid, port, "bench", plain=False, headers=headers, peer=True, own_answers=True)


@contextmanager
def litellm(home: Path, folder: Path, upstream: str) -> Iterator[Subject]:
    """Run LiteLLM's proxy with one worker and without a database. Parameters as for `portkey`."""
    entry = home / "bin" / "litellm"
    if not entry.exists():
        venv.create(home, with_pip=True)
        _install([str(home / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", _LITELLM], home)
    port, key = free_port(), f"sk-{secrets.token_hex(16)}"
    config = folder / "config.yaml"
    model = {"model": "openai/dall-e-3", "api_base": f"{upstream}/v1", "api_key": "bench"}
    config.write_text(
        json.dumps(  # also valid YAML
            {
                "model_list": [{"model_name": UPSTREAM_MODEL, "litellm_params": model}],
                "litellm_settings": {"request_timeout": 600, "set_verbose": False, "json_logs": True},
                "general_settings": {"master_key": key},
            }
        )
    )
    command = [str(entry), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    advice = {"LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    with _listening([*command, "--telemetry", "False"], folder, port, {**environment(), **advice}) as pid:
        yield Subject("litellm", pid, port, key, plain=False, peer=True, own_answers=True)


PEERS: Final[Mapping[str, Start]] = {"portkey": portkey, "litellm": litellm}
"""Starters by name. Each installs its peer at first. Raise SubjectError on failure."""


def _install(command: list[str], home: Path) -> None:
    output = home / "installation"
    with running(command, output, home, _path()) as process:
        if process.wait():
            raise SubjectError(f"{home.name} can't be installed: {output.read_text(errors='replace').strip()[-500:]}")


def _path() -> dict[str, str]:
    """Return the environment with the installed Node first on PATH."""
    values = environment()
    return {**values, "PATH": f"{_BIN}:{values.get('PATH', '')}"}


@contextmanager
def _listening(command: list[str], folder: Path, port: int, variables: Mapping[str, str]) -> Iterator[int]:
    output = folder / "output"
    with running(command, output, folder, variables) as process:
        until(lambda: listens(port), process, output, folder.name, _PATIENCE)
        yield process.pid
