"""API key of the examples that the start prints."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imagegateway.keys.api_keys import API_KEY_NAME, RevokedKeyError
from imagegateway.platform.secret import SecretFile

if TYPE_CHECKING:
    from imagegateway.keys.gateway_keys import GatewayKeys
    from imagegateway.platform.settings import Settings


@dataclass(frozen=True, slots=True)
class ExampleKey:
    """A key that the examples use."""

    secret: str
    shown: str
    """The secret, or a shell's reference to the environment variable or file that holds the secret."""
    note: str
    """Origin and lifetime of the key."""

    @property
    def generated(self) -> bool:
        """Return whether the gateway made the key, so that its secret may be printed."""
        return self.shown == self.secret


async def example_key(settings: Settings, keys: GatewayKeys, *, create: bool) -> ExampleKey | None:
    """Return the key from the settings, else a new key if `create`, else None.

    The first key of a gateway is lasting. The store keeps hashes only, so a later start can't show that key again and
    creates one that ends with this stack.
    """
    if settings.api_key:
        secret = settings.api_key.reveal()
        try:
            await keys.adopt(secret)
        except RevokedKeyError:
            print(
                f"\nimagegateway: {API_KEY_NAME} holds a revoked key, which is NOT accepted. Set another one.",
                file=sys.stderr,
                flush=True,
            )
            return None
        # The operator knows the secret: keep it out of the terminal and its logs.
        file = settings.api_key.path if isinstance(settings.api_key, SecretFile) else None
        return ExampleKey(secret, f"$(cat {file})" if file else f"${API_KEY_NAME}", "the key from the settings")
    if not create:
        return None
    if not await keys.has_lasting_key():
        secret = await keys.create_first()
        return ExampleKey(secret, secret, "new and shown only this once: keep it")
    secret = await keys.create_session_key()
    return ExampleKey(secret, secret, "lives until this stack stops; `imagegateway keys create` makes lasting keys")
