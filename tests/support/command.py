"""The command `imagegateway`: in this process, or in a separate one as a user starts the command."""

from __future__ import annotations

import io
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Final

import pytest
from imagegateway import cli
from imagegateway.platform import setting_source, settings

CONFIG_HOME = "/nonexistent"
"""Folder of the user's configuration: none, unless a test sets one."""
PROGRAM: Final = Path(sys.executable).parent / "imagegateway"


def environment(**values: str) -> dict[str, str]:
    """Return this environment without settings and login of a gateway, and with `values` as IMAGEGATEWAY_<NAME>."""
    prefix = setting_source.PREFIX
    inherited = {name: text for name, text in setting_source.environment().items() if not name.startswith(prefix)}
    return (
        inherited | {"XDG_CONFIG_HOME": CONFIG_HOME} | {prefix + name.upper(): text for name, text in values.items()}
    )


def run(*arguments: str, standard_input: str = "", **values: str) -> subprocess.CompletedProcess[str]:
    """Run a command in this process: a separate Python takes a second for imports. `values` are settings by name.

    Not for an `up` that starts: it takes over signals, logs and the standard output.
    """
    output, errors = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(output), redirect_stderr(errors):
        patch.setattr(sys, "stdin", io.StringIO(standard_input))
        wanted = environment(**values)
        for name in setting_source.environment().keys() - wanted.keys():
            patch.delenv(name)
        for name, text in wanted.items():
            patch.setenv(name, text)
        settings.current.cache_clear()
        try:
            status = cli.main(arguments)
        except SystemExit as end:  # after a signal
            status = end.code if isinstance(end.code, int) else 1
        finally:
            settings.current.cache_clear()
    return subprocess.CompletedProcess(arguments, status, output.getvalue(), errors.getvalue())


def spawn(*arguments: str, **values: str) -> subprocess.CompletedProcess[str]:
    """Run a command that ends by itself in a separate process; `values` are settings by name."""
    return subprocess.run(
        [PROGRAM, *arguments],
        env=environment(**values),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
