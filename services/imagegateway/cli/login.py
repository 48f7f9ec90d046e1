"""`imagegateway login`: address and key of a gateway, checked by a call and kept for later commands."""

from __future__ import annotations

import getpass
import sys
from typing import Annotated
from urllib.parse import urlsplit

from cyclopts import App, Parameter
from imagegateway.cli.client import ApiError, Client
from imagegateway.cli.errors import CommandError
from imagegateway.cli.login_file import Login
from imagegateway.cli.options import Json
from imagegateway.cli.source import checked_source
from imagegateway.cli.target import Target, checked_origin
from imagegateway.cli.terminal import print_document
from imagegateway.platform.setting_source import PREFIX

_EXAMPLES = """Examples:
  imagegateway login https://images.example.com
  imagegateway login https://images.example.com < key.txt"""
app = App(name="login", help_epilogue=_EXAMPLES)


@app.default
def login(
    url: Annotated[str, Parameter(help="Address of the gateway. Asked for if missing.")] = "",
    /,
    *,
    json: Json = False,
) -> None:
    """Keep the address and the key of a gateway for this user's commands.

    The key is asked for without echo, or read from the standard input.
    """
    asks = sys.stdin.isatty()
    if not url and not asks:
        raise CommandError("name the address: `imagegateway login https://images.example.com < key.txt`")
    target = Target(
        checked_origin(url or input("Address of the gateway: ").strip()),
        _checked_key((getpass.getpass("API key: ") if asks else sys.stdin.read()).strip()),
    )
    _check(target)
    Login(target.url, target.key).save()
    if json:
        print_document({"object": "login", "url": target.url, "path": str(Login.path())})
    else:
        print(f"logged in to {target.url}; the key is in {Login.path()}")
    if urlsplit(target.url).scheme == "http" and urlsplit(target.url).hostname not in {
        "127.0.0.1",
        "::1",
        "localhost",
    }:
        print("imagegateway: the key travels unencrypted; use https:// where the gateway offers it", file=sys.stderr)
    if overriding := [PREFIX + name for name in ("URL", "KEY") if checked_source().origin(name)]:
        print(f"imagegateway: the login is overridden by {' and '.join(overriding)}", file=sys.stderr)


def _checked_key(key: str) -> str:
    if not key or not key.isascii() or not key.isprintable():
        raise CommandError("a key is a line of printable ASCII characters")
    return key


def _check(target: Target) -> None:
    """Make a call with the key. Raises CommandError if the gateway refuses the key or does not answer as one."""
    with Client(target) as client:
        try:
            client.call("GET", "/v1/models")
        except ApiError as error:
            if error.status != 403:  # a known key without the scope for this call
                raise
