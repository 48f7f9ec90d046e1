"""`imagegateway run`: one part of the gateway in the foreground, for a container or a service manager."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter
from imagegateway.cli.errors import CommandError
from imagegateway.cli.local import settings_here
from imagegateway.keys import root_secret
from imagegateway.platform import logs, setting_source
from imagegateway.platform.setting_source import PREFIX, SettingError
from imagegateway.stack import preflight
from imagegateway.stack.tuning import TUNED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imagegateway.platform.settings import Settings

app = App(name="run")


@app.command
def router(
    *, replica: Annotated[int, Parameter(help="Number of the router in its data directory, from 0.")] = 0
) -> None:
    """Start a router."""
    with _prepared(f"router-{replica}", "NATS_URL", "MEDIA_URL", "SECRET_KEY") as current:
        from imagegateway.platform.process import run  # noqa: PLC0415  a command loads one part, in its last process
        from imagegateway.router.__main__ import main  # noqa: PLC0415
        from imagegateway.stack import gateway_identity  # noqa: PLC0415

        if current.api_key:
            asyncio.run(gateway_identity.renew_copied(current, "router"))
        run(lambda process: main(process, replica), f"router-{replica}", alone=True)


@app.command
def providers(*family: Annotated[str, Parameter(help="Families to serve; all of them by default.")]) -> None:
    """Start provider servers."""
    from imagegateway.providers.registry import FAMILIES  # noqa: PLC0415

    if unknown := [name for name in family if name not in FAMILIES]:
        raise CommandError(f"unknown family {unknown[0]}; choose from {', '.join(FAMILIES)}")
    names = list(dict.fromkeys(family)) or list(FAMILIES)
    with _prepared("providers" if len(names) > 1 else names[0], "MEDIA_URL"):
        from imagegateway.providers.__main__ import main  # noqa: PLC0415

        main({name: FAMILIES[name] for name in names}, alone=True)


@app.command
def media() -> None:
    """Start the media server."""
    with _prepared("media", "MEDIA_URL", "SECRET_KEY"):
        from imagegateway.media.__main__ import main  # noqa: PLC0415
        from imagegateway.platform.process import run  # noqa: PLC0415

        run(main, "media", alone=True)


@contextmanager
def _prepared(part: str, *required: str) -> Iterator[Settings]:
    """Prepare the data directory, and lock the part in it. Yield the settings.

    Raises SettingError for `required` settings, which parts share, that are missing; StackError for a part that runs.
    """
    current = settings_here(read_keys=False)  # provider servers alone need the files of providers' keys
    if missing := [name for name in required if not _is_given(current, name)]:
        names = ", ".join(PREFIX + name for name in missing)
        raise SettingError(f"{names} must be set: the parts of the gateway share what it names")
    _tune()
    logs.configure(current, part, final=False)
    preflight.make_private(current.data_dir)
    with preflight.lock(current, f"{part}.lock"):
        yield current


def _is_given(current: Settings, name: str) -> bool:
    """Return whether a setting has a value. Parts that share a data directory find the root secret there."""
    if name == "SECRET_KEY":
        return bool(current.secret_key) or (current.data_dir / root_secret.FILE).exists()
    return bool(current.source.origin(name))


def _tune() -> None:
    """Start this process again with the environment of `TUNED`, which takes effect at a start alone."""
    environment = setting_source.environment()
    if any(name not in environment for name in TUNED):
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**TUNED, **environment})  # noqa: S606
