"""Command line of the gateway: `imagegateway COMMAND`, one module per command group."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from imagegateway.cli import api_keys, doctor, provider_keys, secrets, up, validate
from imagegateway.platform.errors import UnavailableError
from imagegateway.platform.setting_source import SettingError, Source
from imagegateway.providers.setting_names import check_names
from imagegateway.stack.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Return the exit status."""
    parser = argparse.ArgumentParser(prog="imagegateway", description="One image API in front of every provider.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for group in (up, validate, doctor, api_keys, provider_keys, secrets):
        group.add(commands)
    options = parser.parse_args(arguments)
    try:
        check_names(Source.load())
        status: int = options.run(options)
    except (SettingError, StackError, UnavailableError) as error:
        print(f"imagegateway: {error}", file=sys.stderr)
        return 1
    return status
