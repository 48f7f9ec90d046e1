"""`imagegateway render`: configuration for parts that run apart."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from imagegateway.cli.errors import CommandError
from imagegateway.cli.local import settings_here
from imagegateway.keys import root_secret
from imagegateway.platform import addresses
from imagegateway.stack import envoy_config
from imagegateway.stack.envoy_upstreams import Upstream, Upstreams

app = App(name="render")


@app.command
def envoy(
    *,
    routers: Annotated[
        str, Parameter(help="Addresses of routers: tcp://host:port, dns://name:port, unix:/path.")
    ] = "",
    uploads: Annotated[str, Parameter(help="Addresses at which the routers take forms.")] = "",
    media: Annotated[str, Parameter(help="Addresses of media servers.")] = "",
    eds: Annotated[
        Path | None, Parameter(help="Folder with endpoints, in router.yaml, uploads.yaml and media.yaml.")
    ] = None,
    files: Annotated[
        Path | None, Parameter(help="Folder for copies of the files that the configuration names.")
    ] = None,
) -> None:
    """Print the configuration of Envoy, with addresses separated by commas."""
    given = {"--routers": routers, "--uploads": uploads, "--media": media}
    if eds and any(given.values()):
        raise CommandError(f"--eds replaces {', '.join(given)}: leave these out")
    if missing := [name for name, text in given.items() if not text.strip(", ") and not eds]:
        raise CommandError(f"Envoy needs addresses: {', '.join(missing)}, or --eds")
    upstreams = Upstreams(
        routers=_upstream("--routers", routers),
        uploads=_upstream("--uploads", uploads),
        media=_upstream("--media", media),
        endpoints=eds.absolute() if eds else None,
    )
    current = settings_here()
    secret_file = current.data_dir / root_secret.FILE
    is_made = not current.secret_key and not secret_file.exists()
    document = envoy_config.document(current, upstreams, files.absolute() if files else None)
    print(document, end="")
    if is_made:
        print(
            f"imagegateway: {root_secret.SETTING} is not set, so {secret_file} holds a new root secret. Routers and "
            "media servers need the same one: Envoy refuses all keys under another",
            file=sys.stderr,
        )


def _upstream(option: str, text: str) -> Upstream:
    """Return the processes at addresses. Raises CommandError naming the option."""
    written = [part.strip() for part in text.split(",") if part.strip()]
    try:
        return Upstream(tuple(addresses.parse(part.replace("dns://", "tcp://", 1)) for part in written))
    except ValueError as error:
        raise CommandError(f"{option}: an address {error}") from None
