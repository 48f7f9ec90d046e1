"""`imagegateway up`: the whole stack on this machine."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter
from imagegateway.cli.local import settings_here
from imagegateway.stack.up import StartOptions
from imagegateway.stack.up import up as run_stack

app = App(name="up")


@app.default
def up(
    *,
    first_image: Annotated[bool, Parameter(help="Make an image even with IMAGEGATEWAY_NATS_URL.")] = False,
    first_key: Annotated[bool, Parameter(help="Create and print a key even with IMAGEGATEWAY_NATS_URL.")] = False,
) -> int:
    """Start the whole stack on this machine. Ctrl-C stops it."""
    current = settings_here()
    return run_stack(current, StartOptions.resolve(current, first_image=first_image, first_key=first_key))
