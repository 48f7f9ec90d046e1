"""API keys of tests: a root secret, and lookups as in a router that starts now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagegateway.keys.api_keys import fingerprint
from imagegateway.keys.key_ring import KeyRing
from imagegateway.keys.root_secret import RootSecret

if TYPE_CHECKING:
    from imagegateway.keys.api_keys import ApiKey
    from imagegateway.keys.key_store import KeyStore
    from imagegateway.platform.nats_client import Client

ROOT = RootSecret("root secret of the tests")
FIRST, SECOND = "first-" + "x" * 20, "second-" + "x" * 20


class Accepted:
    """Key lookup by a new key ring each time, as in a router that starts now."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def __call__(self, *secrets: str) -> list[bool]:
        ring = KeyRing(self._client.jetstream())
        await ring._follower.refresh()
        return [fingerprint(secret) in ring._secrets for secret in secrets]


async def rotated(store: KeyStore, key_id: str, overlap: int) -> tuple[str, ApiKey]:
    """Rotate a key that exists."""
    result = await store.rotate(key_id, overlap)
    assert result
    return result
