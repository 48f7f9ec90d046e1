"""Identity of a gateway on a NATS server that others share: a copied data directory gets a new one.

Otherwise the start of the copy would end the keys of the original: both would take them for those of an earlier run.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

import nats.errors
from imagegateway.keys import gateway_presence
from imagegateway.platform import logs
from imagegateway.platform.identity import GATEWAY, load_identity, renew_identity
from imagegateway.platform.nats import connect

if TYPE_CHECKING:
    from pathlib import Path

    from imagegateway.platform.settings import Settings
    from nats.aio.client import Client
    from nats.aio.msg import Msg

_PROBE_SECONDS: Final = 2.0
_log = logs.get(__name__)


async def renew_copied(settings: Settings) -> None:
    """Renew the identity of this data directory if a running stack has it. Without NATS, keep it."""
    path = settings.data_dir / GATEWAY
    identity = load_identity(path)
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            client = await connect(settings, "up", wait=False)
            try:
                await client.request(_subject(identity), timeout=_PROBE_SECONDS)
            finally:
                await client.close()
    except (nats.errors.Error, OSError, TimeoutError):
        return  # no stack answers for it
    _renew(path)


async def renew_copied_router(settings: Settings) -> None:
    """Renew the identity of this data directory if a router has it from another one. Without NATS, keep it.

    Routers of one data directory share their identity.
    """
    path = settings.data_dir / GATEWAY
    identity = load_identity(path)
    try:
        async with asyncio.timeout(2 * _PROBE_SECONDS):
            client = await connect(settings, "router", wait=False)
            try:
                is_copy = await gateway_presence.is_copy(client, identity, path)
            finally:
                await client.close()
    except (nats.errors.Error, OSError, TimeoutError):
        return
    if is_copy:
        _renew(path)


def _renew(path: Path) -> None:
    _log.warning("gateway_identity_in_use", path=str(path))
    renew_identity(path)


async def hold(client: Client, identity: str) -> None:
    """Answer for this identity while the client is connected."""
    await client.subscribe(_subject(identity), cb=_answer)


def _subject(identity: str) -> str:
    return f"imagegateway.gateways.{identity}"


async def _answer(message: Msg) -> None:
    with contextlib.suppress(nats.errors.Error, OSError):
        await message.respond(b"")
