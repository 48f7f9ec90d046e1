"""`imagegateway validate`: check of own prices, and of the rendered Envoy configuration by Envoy itself."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from imagegateway.platform import settings
from imagegateway.router.catalog import Catalog
from imagegateway.stack import envoy_config
from imagegateway.stack.config import binary

if TYPE_CHECKING:
    import argparse


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    command = commands.add_parser("validate", help="validate the configuration that `up` writes for Envoy")
    command.set_defaults(run=_validate)


def _validate(_: argparse.Namespace) -> int:
    Catalog.load(settings.current().source)
    with tempfile.TemporaryDirectory() as folder:
        envoy_config.write(settings.current(), Path(folder), inline_routes=True)
        command = [binary("envoy"), "--mode", "validate", "--log-level", "warning", "-c", f"{folder}/envoy.yaml"]
        return subprocess.run(command, check=False).returncode
