"""Connection of commands to the gateway's NATS server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import nats.errors
from imagegateway.cli.local import settings_here
from imagegateway.platform.nats import connect
from imagegateway.stack.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from imagegateway.platform.settings import Settings
    from nats.aio.client import Client


def connected(action: Callable[[Settings, Client], Awaitable[int]]) -> int:
    """Run an action with a connection. Return the exit status. Raises StackError if NATS can't be reached."""

    async def body() -> int:
        current = settings_here()
        client = await connect(current, "cli", wait=False)
        try:
            return await action(current, client)
        finally:
            await client.close()

    try:
        return asyncio.run(body())
    except (nats.errors.Error, OSError, TimeoutError):
        raise StackError("NATS can't be reached: is the gateway running? (`imagegateway up`)") from None
