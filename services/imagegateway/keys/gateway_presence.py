"""Presence of gateways on a NATS server: each router that adopts a key answers for its gateway.

The key store keeps which gateways have adopted a key. A container that was replaced left its gateway there for good.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

import nats.errors

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

_PROBE_SECONDS: Final = 2.0


async def announce(client: Client, gateway: str) -> None:
    """Answer for a gateway while the client is connected."""
    await client.subscribe(_subject(gateway), cb=_answer)


async def is_gone(client: Client, gateway: str) -> bool:
    """Return whether the server knows no router of the gateway. A router that does not answer in time is there."""
    try:
        await client.request(_subject(gateway), timeout=_PROBE_SECONDS)
    except nats.errors.NoRespondersError:
        return True
    except (nats.errors.Error, OSError, TimeoutError):
        return False
    return False


def _subject(gateway: str) -> str:
    return f"imagegateway.adopters.{gateway}"


async def _answer(message: Msg) -> None:
    with contextlib.suppress(nats.errors.Error, OSError):
        await message.respond(b"")
