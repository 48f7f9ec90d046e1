"""`imagegateway up`: the whole stack on this machine."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter
from imagegateway.platform import setting_source
from imagegateway.stack import tuning

app = App(name="up")


@app.default
def up(
    *,
    first_image: Annotated[bool, Parameter(help="Make an image even with IMAGEGATEWAY_NATS_URL.")] = False,
    first_key: Annotated[bool, Parameter(help="Create and print a key even with IMAGEGATEWAY_NATS_URL.")] = False,
) -> int:
    """Start the whole stack on this machine. Ctrl-C stops it."""
    setting_source.add_environment(tuning.GRPC)
    # Both import gRPC, which reads its variable then, for all processes that are forked from this one.
    from imagegateway.cli.local import settings_here  # noqa: PLC0415
    from imagegateway.stack import up as stack  # noqa: PLC0415

    current = settings_here()
    return stack.up(current, stack.StartOptions.resolve(current, first_image=first_image, first_key=first_key))
