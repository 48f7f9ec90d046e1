"""`imagegateway up`: the whole stack on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagegateway.platform import settings
from imagegateway.stack.up import StartOptions, up

if TYPE_CHECKING:
    import argparse


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    command = commands.add_parser("up", help="start the whole stack on this machine")
    command.add_argument("--first-image", action="store_true", help="make an image even with IMAGEGATEWAY_NATS_URL")
    command.add_argument(
        "--first-key", action="store_true", help="create and print a key even with IMAGEGATEWAY_NATS_URL"
    )
    command.set_defaults(run=_up)


def _up(options: argparse.Namespace) -> int:
    current = settings.current()
    return up(current, StartOptions.resolve(current, first_image=options.first_image, first_key=options.first_key))
