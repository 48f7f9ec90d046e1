"""Command line of the gateway: `imagegateway COMMAND`, one module per command or group of commands.

`COMMANDS` is the one list. A command's module is imported when the command runs, and rich when help or a table needs
it: imports take most of a command's time.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import sys
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from cyclopts import App, CycloptsError, Group, Parameter, UnknownCommandError, UnusedCliTokensError
from imagegateway.cli.errors import UsageError, sentence_of
from imagegateway.platform.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

_IMAGES: Final = Group("Images", sort_key=1)
_OPERATE: Final = Group("Operate", sort_key=2)
_ADMINISTER: Final = Group("Administer", sort_key=3)
_THIS_PROGRAM: Final = Group("This program", sort_key=4)


class _Entry(NamedTuple):
    """A command: the module of its `app`, what it does in one line, and its group in the help."""

    module: str
    summary: str
    group: Group


COMMANDS: Final = {
    "generate": _Entry("generate", "Make images from a prompt.", _IMAGES),
    "edit": _Entry("edit", "Edit images by a prompt and a mask.", _IMAGES),
    "video": _Entry("video", "Make a video from a prompt.", _IMAGES),
    "jobs": _Entry("jobs", "List, watch, cancel and erase jobs, and save their files.", _IMAGES),
    "models": _Entry("models", "List models with capabilities and prices.", _IMAGES),
    "mcp": _Entry("mcp", "Serve image tools to an agent, over the Model Context Protocol.", _IMAGES),
    "up": _Entry("up", "Start the whole stack on this machine.", _OPERATE),
    "run": _Entry("run", "Start one part: a router, provider servers or the media server.", _OPERATE),
    "render": _Entry("render", "Print the configuration of Envoy for parts that run apart.", _OPERATE),
    "drain": _Entry("drain", "Let an Envoy that runs alone end its requests.", _OPERATE),
    "status": _Entry("status", "Show health, key, limits, jobs and processes of a gateway.", _OPERATE),
    "logs": _Entry("logs", "Show log lines of the stack on this machine.", _OPERATE),
    "doctor": _Entry("doctor", "Check each configured provider route, without cost.", _OPERATE),
    "validate": _Entry("validate", "Validate the configuration that `up` writes for Envoy.", _OPERATE),
    "backup": _Entry("backup", "Save and restore jobs, keys and usage.", _OPERATE),
    "secrets": _Entry("secrets", "Rotate the root secret.", _OPERATE),
    "keys": _Entry("keys", "Create, show, change, rotate and revoke API keys.", _ADMINISTER),
    "tenants": _Entry("tenants", "Set and show limits and retention of tenants.", _ADMINISTER),
    "usage": _Entry("usage", "Report requests, images and cost.", _ADMINISTER),
    "audit": _Entry("audit", "List administrative calls and changes of keys.", _ADMINISTER),
    "provider-keys": _Entry("provider_keys", "Store, list and delete tenants' own provider keys.", _ADMINISTER),
    "login": _Entry("login", "Keep the address and the key of a gateway for later commands.", _THIS_PROGRAM),
    "logout": _Entry("logout", "Forget the login.", _THIS_PROGRAM),
    "completion": _Entry("completion", "Print the completion script of bash, zsh or fish.", _THIS_PROGRAM),
}
"""Commands by name, in the order of the help."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Return the exit status: 0, 1 after an error, 2 for wrong use."""
    _escape_unprintable()
    app = program()
    try:
        status: int | None = app(sys.argv[1:] if arguments is None else arguments)
        if sys.stdout:  # a closed one is None
            sys.stdout.flush()
    except BrokenPipeError:  # the reader of the output has seen enough, such as `head`
        _discard_output()
        return 1
    except CycloptsError as error:
        return _refuse(_mistake(error), " ".join(error.command_chain or ()))
    except UsageError as error:
        return _refuse(str(error), error.command)
    except Exception as error:
        sentence = sentence_of(error)
        if sentence is None:
            raise
        print(f"imagegateway: {printable(sentence)}", file=sys.stderr)
        if isinstance(error, OSError):
            _discard_output()
        return 1
    return status or 0


def program() -> App:
    """Return the command line with every command, none of them imported."""
    app = App(
        name="imagegateway",
        help="One image API in front of every provider.",
        help_format="plaintext",
        version=lambda: importlib.metadata.version("imagegateway"),
        default_parameter=Parameter(negative=(), show_default=_stated_default),
        result_action="return_value",
        print_error=False,
        exit_on_error=False,
    )
    for flag in (*app.help_flags, *app.version_flags):
        app[flag].group = _THIS_PROGRAM
    for position, (name, entry) in enumerate(COMMANDS.items()):
        app.command(
            f"{__name__}.{entry.module}:app", name=name, help=entry.summary, group=entry.group, sort_key=position
        )
    return app


def _refuse(message: str, command: str) -> int:
    """Report wrong use and the command whose help explains the right one. Return the exit status 2."""
    print(f"imagegateway: {message}", file=sys.stderr)
    print(f"Try `{' '.join(filter(None, ('imagegateway', command)))} --help`.", file=sys.stderr)
    return 2


def _mistake(error: CycloptsError) -> str:
    """Return the message of an error in the arguments."""
    if isinstance(error, UnusedCliTokensError):
        return f"unexpected argument: {printable(' '.join(error.unused_tokens or ()))}"
    if isinstance(error, UnknownCommandError) and not error.command_chain:
        # The library's own message imports every command.
        name = (error.unused_tokens or [""])[0]
        near = get_close_matches(name, COMMANDS, 1)
        return f"unknown command {printable(name)}" + (f": did you mean {near[0]}?" if near else "")
    return printable(str(error))


def _stated_default(value: Any) -> str | None:
    """Return a default for the help: none for flags that are off and for options without a value."""
    return None if value in (None, False, "", ()) else str(value)


def _discard_output() -> None:
    """Discard what the standard output cannot take: the interpreter flushes it at its end."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _escape_unprintable() -> None:
    """Write characters that the terminal's encoding lacks as escapes, instead of an error."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):  # a test's stream has no encoding
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
