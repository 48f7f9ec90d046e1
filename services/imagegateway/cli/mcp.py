"""`imagegateway mcp`: tools for an agent on this machine, which starts this command and talks to it by pipes."""

from __future__ import annotations

import asyncio
import signal
import sys

from cyclopts import App
from imagegateway.cli.target import Connection, Target
from imagegateway.mcp import stdio
from imagegateway.media.images import MAX_PIXELS
from imagegateway.media.previews import Previews

app = App(name="mcp")


@app.default
def mcp(*, connection: Connection = Connection()) -> None:
    """Serve tools that make and edit images over the Model Context Protocol, on standard input and output.

    An agent starts this command: add it to the agent's configuration. The tools work with any gateway, here or
    elsewhere, and edits may read image files of this machine.
    """
    target = Target.resolve(connection)
    if sys.stdin.isatty():
        print("imagegateway: an agent starts this command; it waits for messages. Ctrl-D ends it.", file=sys.stderr)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # nothing else ends a blocked read of the standard input
    asyncio.run(stdio.serve(target.base_url, target.socket, target.key, Previews(MAX_PIXELS).make))
