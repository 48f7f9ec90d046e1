"""Presence of gateways on a NATS server: `imagegateway up`, and routers that adopt a key, answer for their gateway.

The key store keeps which gateways have adopted a key. A container that was replaced left its gateway there for good,
and a copied data directory names the gateway of its original.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

import nats.errors

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

_PROBE_SECONDS: Final = 2.0
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")


def place(identity: Path) -> bytes:
    """Return what differs between an identity's file and each copy of it, also on a cloned machine.

    Raises OSError.
    """
    found = identity.stat()
    return f"{_BOOT.read_text().strip()}/{found.st_dev}/{found.st_ino}".encode()


async def announce(client: Client, gateway: str, identity: Path) -> None:
    """Answer for a gateway while the client is connected, with the place of its identity's file."""
    here = place(identity)

    async def answer(message: Msg) -> None:
        with contextlib.suppress(nats.errors.Error, OSError):
            await message.respond(here)

    await client.subscribe(_subject(gateway), cb=answer)


async def is_gone(client: Client, gateway: str) -> bool:
    """Return whether the server knows no process of the gateway. One that does not answer in time is there."""
    try:
        await client.request(_subject(gateway), timeout=_PROBE_SECONDS)
    except nats.errors.NoRespondersError:
        return True
    except (nats.errors.Error, OSError, TimeoutError):
        return False
    return False


async def is_copy(client: Client, gateway: str, identity: Path) -> bool:
    """Return whether a process that runs has the gateway's identity from another file."""
    try:
        answer = await client.request(_subject(gateway), timeout=_PROBE_SECONDS)
    except (nats.errors.Error, OSError, TimeoutError):
        return False
    return answer.data != place(identity)


def _subject(gateway: str) -> str:
    return f"imagegateway.gateways.{gateway}"
