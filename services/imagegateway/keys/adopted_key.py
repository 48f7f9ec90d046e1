"""The API key of the settings: adopted at the start, and again when its file holds another one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from imagegateway.keys.api_keys import API_KEY_NAME, RevokedKeyError
from imagegateway.platform import logs
from imagegateway.platform.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from imagegateway.keys.api_keys import ApiKey
    from imagegateway.keys.gateway_keys import GatewayKeys
    from imagegateway.platform.secret import Secret

_PERIOD: Final = 5.0
"""Seconds between two comparisons."""
_log = logs.get(__name__)


class AdoptedKey:
    """The key that a gateway adopts from its settings."""

    def __init__(self, secret: Secret, keys: GatewayKeys) -> None:
        self._secret = secret
        self._keys = keys
        self._adopted = ""

    async def adopt(self) -> None:
        """Accept the present key, unless it was revoked. Raises UnavailableError."""
        secret = self._secret.reveal()
        try:
            await self._keys.adopt(secret)
        except RevokedKeyError:
            _log.error("api_key_revoked", setting=API_KEY_NAME)
        self._adopted = secret

    async def follow(self, records: Callable[[], Collection[ApiKey]], seconds: float = _PERIOD) -> None:
        """Adopt each further key, and suspend those whose gateways are gone, until cancelled.

        The key before a further one is released. `records` returns those of all adopted secrets.
        """
        while True:
            await asyncio.sleep(seconds)
            secret, adopted = self._secret.reveal(), records()
            try:
                if secret != self._adopted or self._keys.has_left(secret, adopted):
                    await self.adopt()
                await self._keys.suspend_left(adopted)
            except UnavailableError as error:  # the next period tries again
                _log.warning("api_key_not_adopted", setting=API_KEY_NAME, reason=str(error))
