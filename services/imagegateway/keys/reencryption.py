"""Re-encryption of a bucket's values after the root secret has changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.fernet import InvalidToken
from imagegateway.platform.kv_mirror import snapshot
from imagegateway.platform.nats import bucket
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError

if TYPE_CHECKING:
    from imagegateway.keys.root_secret import Sealer
    from nats.aio.client import Client
    from nats.js.kv import KeyValue


@dataclass(slots=True)
class ReencryptionCounts:
    """Counts of a bucket's values by outcome."""

    current: int = 0
    """Encrypted with the present key already."""
    reencrypted: int = 0
    """Encrypted with a previous key before, with the present one now."""
    unreadable: int = 0
    """Damaged, or encrypted with an unknown key. Unchanged."""


async def reencrypt(client: Client, name: str, replicas: int, sealer: Sealer) -> ReencryptionCounts:
    """Encrypt every value of a bucket with the present key. Idempotent, and safe beside concurrent writers.

    Raises nats.errors.Error, OSError or UnavailableError.
    """
    js = client.jetstream()
    kv = await bucket(js, name, replicas)
    counts = ReencryptionCounts()
    for key in await snapshot(js, name):
        await _reencrypt_value(kv, key, sealer, counts)
    return counts


async def _reencrypt_value(kv: KeyValue, key: str, sealer: Sealer, counts: ReencryptionCounts) -> None:
    while True:
        try:
            entry = await kv.get(key)
        except KeyNotFoundError:  # deleted since the listing
            return
        value = entry.value or b""
        if sealer.is_current(value):
            counts.current += 1
            return
        try:
            fresh = sealer.seal(sealer.open(value))
        except InvalidToken:
            counts.unreadable += 1
            return
        try:
            await kv.update(key, fresh, last=entry.revision)
        except KeyWrongLastSequenceError:
            continue
        counts.reencrypted += 1
        return
