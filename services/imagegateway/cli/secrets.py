"""`imagegateway secrets`: rotation of the root secret."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Final

from cyclopts import App
from imagegateway.cli.connection import connected
from imagegateway.cli.options import Json
from imagegateway.cli.terminal import print_document
from imagegateway.keys import provider_keys, webhook_secrets
from imagegateway.keys.key_store import KeyStore
from imagegateway.keys.reencryption import reencrypt
from imagegateway.keys.root_secret import PREVIOUS_SETTING, RootSecret
from imagegateway.platform.printable import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imagegateway.keys.api_keys import ApiKey
    from imagegateway.keys.reencryption import ReencryptionCounts
    from imagegateway.platform.settings import Settings
    from nats.aio.client import Client

_STORED: Final = (
    ("provider keys", provider_keys.BUCKET, provider_keys.PURPOSE),
    ("webhook secrets", webhook_secrets.BUCKET, webhook_secrets.PURPOSE),
)
"""Values that stay encrypted at rest: name, bucket and purpose."""
app = App(name="secrets")


@app.command
def rotate(*, json: Json = False) -> int:
    """Encrypt all stored values with the current root secret."""
    return connected(partial(rotated, json=json))


async def rotated(current: Settings, client: Client, *, json: bool = False) -> int:
    """Re-encrypt all stored values. Return 1 if no known root secret decrypts a value, else 0."""
    root = await asyncio.to_thread(RootSecret.load, current, make=False)
    values = {
        name: await reencrypt(client, bucket, current.nats_replicas, root.sealer(purpose))
        for name, bucket, purpose in _STORED
    }
    old = await (await KeyStore.open(client, current.nats_replicas, root)).list_with_previous_roots()
    unreadable = any(counts.unreadable for counts in values.values())
    if json:
        print_document(
            {
                "object": "rotation",
                "values": [{"name": name, **asdict(counts)} for name, counts in values.items()],
                "keys_of_previous_secret": [{"id": key.id, "tenant": key.tenant} for key in old],
            }
        )
    else:
        _print(values, old)
    if unreadable:
        print(
            f"imagegateway: set {PREVIOUS_SETTING} to the root secret of the unreadable values and repeat this "
            "command; otherwise tenants must store their provider keys again and rotate their webhook secrets",
            file=sys.stderr,
        )
    return 1 if unreadable else 0


def _print(values: Mapping[str, ReencryptionCounts], old: Sequence[ApiKey]) -> None:
    for name, counts in values.items():
        print(
            f"{name}: {counts.reencrypted} encrypted again, {counts.current} up to date, "
            f"{counts.unreadable} unreadable"
        )
    if any(counts.unreadable for counts in values.values()):
        return
    print(f"older links and jobs need {PREVIOUS_SETTING} for 7 more days")
    if old:
        print(
            f"API keys of the previous root secret, which end with {PREVIOUS_SETTING} and need replacements: "
            + ", ".join(f"{key.id} of {printable(key.tenant)}" for key in old)
        )
