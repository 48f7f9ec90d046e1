"""Command line of the gateway: `imagegateway COMMAND`, one module per command group."""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Final

from imagegateway.platform.errors import UnavailableError
from imagegateway.platform.setting_source import SettingError, Source
from imagegateway.providers.setting_names import check_names
from imagegateway.stack.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Sequence

_GROUPS: Final = {
    "up": "up",
    "validate": "validate",
    "doctor": "doctor",
    "keys": "keys",
    "tenants": "tenants",
    "usage": "usage",
    "audit": "audit",
    "provider-keys": "provider_keys",
    "secrets": "secrets",
}
"""Modules by the name of their command."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Return the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(prog="imagegateway", description="One image API in front of every provider.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    # Imports take most of a command's time. Without a known command, the help or the error names all.
    for name in arguments[:1] if set(arguments[:1]) & _GROUPS.keys() else _GROUPS:
        import_module(f"{__name__}.{_GROUPS[name]}").add(commands)
    options = parser.parse_args(arguments)
    try:
        check_names(Source.load())
        status: int = options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of the output has seen enough, such as `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes at its end
        return 1
    except (SettingError, StackError, UnavailableError) as error:
        print(f"imagegateway: {error}", file=sys.stderr)
        return 1
    return status
