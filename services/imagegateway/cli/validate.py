"""`imagegateway validate`: check of settings beyond their form, and of the Envoy configuration by Envoy."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from cyclopts import App
from imagegateway.cli.local import settings_here
from imagegateway.cli.options import Json
from imagegateway.cli.terminal import print_document
from imagegateway.platform import tracing
from imagegateway.router.catalog import Catalog
from imagegateway.stack import envoy_config, preflight
from imagegateway.stack.config import binary

app = App(name="validate")


@app.default
def validate(*, json: Json = False) -> int:
    """Validate settings, own prices, `OTEL_*` variables, and the configuration that `up` writes for Envoy.

    Return Envoy's exit status.
    """
    current = settings_here()
    Catalog.of(current)
    preflight.check_settings(current)
    tracing.start("validate")
    tracing.stop()
    with tempfile.TemporaryDirectory() as folder:
        envoy_config.write(current, Path(folder), inline_routes=True)
        command = [binary("envoy"), "--mode", "validate", "--log-level", "warning", "-c", f"{folder}/envoy.yaml"]
        done = subprocess.run(command, check=False, capture_output=json, text=True)
    if json:
        print_document({"object": "validation", "valid": not done.returncode, "messages": done.stderr.splitlines()})
    return done.returncode
