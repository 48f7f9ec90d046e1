"""`imagegateway secrets`: rotation of the root secret."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Final

from cyclopts import App
from imagegateway.cli.connection import connected
from imagegateway.keys import provider_keys, webhook_secrets
from imagegateway.keys.key_store import KeyStore
from imagegateway.keys.reencryption import reencrypt
from imagegateway.keys.root_secret import PREVIOUS_SETTING, RootSecret
from imagegateway.platform.printable import printable

if TYPE_CHECKING:
    from imagegateway.platform.settings import Settings
    from nats.aio.client import Client

_STORED: Final = (
    ("provider keys", provider_keys.BUCKET, provider_keys.PURPOSE),
    ("webhook secrets", webhook_secrets.BUCKET, webhook_secrets.PURPOSE),
)
"""Values that stay encrypted at rest: name, bucket and purpose."""
app = App(name="secrets")


@app.command
def rotate() -> int:
    """Encrypt all stored values with the current root secret."""
    return connected(rotated)


async def rotated(current: Settings, client: Client) -> int:
    """Re-encrypt all stored values. Return 1 if no known root secret decrypts a value, else 0."""
    root = await asyncio.to_thread(RootSecret.load, current, make=False)
    unreadable = 0
    for name, bucket, purpose in _STORED:
        counts = await reencrypt(client, bucket, current.nats_replicas, root.sealer(purpose))
        unreadable += counts.unreadable
        print(
            f"{name}: {counts.reencrypted} encrypted again, {counts.current} up to date, "
            f"{counts.unreadable} unreadable"
        )
    if unreadable:
        print(
            f"imagegateway: set {PREVIOUS_SETTING} to the root secret of the unreadable values and repeat this "
            "command; otherwise tenants must store their provider keys again and rotate their webhook secrets",
            file=sys.stderr,
        )
        return 1
    print(f"older links and jobs need {PREVIOUS_SETTING} for 7 more days")
    if old := await (await KeyStore.open(client, current.nats_replicas, root)).list_with_previous_roots():
        print(
            f"API keys of the previous root secret, which end with {PREVIOUS_SETTING} and need replacements: "
            + ", ".join(f"{key.id} of {printable(key.tenant)}" for key in old)
        )
    return 0
