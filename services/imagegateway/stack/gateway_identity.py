"""Identity of a gateway on a NATS server that others share: a copied data directory gets a new one.

Otherwise the start of the copy would end the keys of the original: both would take them for those of an earlier run.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import nats.errors
from imagegateway.keys import gateway_presence
from imagegateway.platform import logs
from imagegateway.platform.identity import GATEWAY, load_identity, renew_identity
from imagegateway.platform.nats import connect

if TYPE_CHECKING:
    from imagegateway.platform.settings import Settings

_PROBE_SECONDS: Final = 4.0
_log = logs.get(__name__)


async def renew_copied(settings: Settings, process: str) -> None:
    """Renew the identity of this data directory if a running gateway has it from another one. Without NATS, keep it.

    The processes of one data directory share their identity. `process`: name of this one's connection.
    """
    path = settings.data_dir / GATEWAY
    identity = load_identity(path)
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            client = await connect(settings, process, wait=False)
            try:
                is_copy = await gateway_presence.is_copy(client, identity, path)
            finally:
                await client.close()
    except (nats.errors.Error, OSError, TimeoutError):
        return
    if is_copy:
        _log.warning("gateway_identity_in_use", path=str(path))
        renew_identity(path)
