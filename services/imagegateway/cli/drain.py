"""`imagegateway drain`: an Envoy that runs alone, before its stop."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from imagegateway.cli.errors import CommandError
from imagegateway.cli.local import settings_here
from imagegateway.cli.options import Json
from imagegateway.cli.terminal import print_document
from imagegateway.platform.process import LAME_DUCK_SECONDS
from imagegateway.stack import envoy_config, envoy_drain

_EXAMPLES = """Examples:
  imagegateway drain --files /etc/envoy/imagegateway --lame-duck 10 --grace 30"""
app = App(name="drain", help_epilogue=_EXAMPLES)


@app.default
def drain(
    *,
    files: Annotated[Path | None, Parameter(help="Folder that `render envoy --files` named.")] = None,
    lame_duck: Annotated[
        float | None,
        Parameter(help="Seconds of normal service while /readyz answers 503; IMAGEGATEWAY_LAME_DUCK by default."),
    ] = None,
    grace: Annotated[float, Parameter(help="Longest wait for running requests, in seconds.")] = 30.0,
    json: Json = False,
) -> int:
    """Let Envoy fail its readiness and end its requests. Return 1 if some still run."""
    current = settings_here()
    if lame_duck is None:
        lame_duck = LAME_DUCK_SECONDS if current.lame_duck is None else current.lame_duck
    admin = files / envoy_config.ADMIN_SOCKET if files else current.socket("envoy-admin")
    try:
        left = envoy_drain.drain(admin, lame_duck, grace)
    except OSError as error:
        raise CommandError(f"no Envoy answers at {admin}: {error}") from None
    if json:
        print_document({"object": "drain", "running_requests": left})
    elif left:
        print(f"{left} requests still run")
    return 1 if left else 0
