"""`imagegateway keys`: API keys of tenants."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from imagegateway.cli.connection import connected
from imagegateway.keys.key_store import KeyStore
from imagegateway.keys.root_secret import RootSecret
from imagegateway.platform.errors import GatewayError
from imagegateway.platform.logs import printable
from imagegateway.platform.setting_source import SettingError
from imagegateway.router.call_context import Preferences

if TYPE_CHECKING:
    import argparse
    from collections.abc import Awaitable, Callable

    from imagegateway.platform.settings import Settings
    from nats.aio.client import Client


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command with its actions."""
    group = commands.add_parser("keys", help="create, list and revoke API keys")
    actions = group.add_subparsers(required=True, metavar="ACTION")
    create = actions.add_parser("create", help="create a key; its secret is shown once")
    create.add_argument("--tenant", required=True, help="owner of the jobs, media and secrets that the key reaches")
    create.add_argument("--name", default="", help="a note for the list")
    create.add_argument("--prefer", default="", help='default Prefer header, such as "wait=120"')
    create.set_defaults(run=lambda options: _with_keys(lambda store: _create(store, options)))
    listing = actions.add_parser("list", help="list keys without their secrets")
    listing.set_defaults(run=lambda _: _with_keys(_list))
    revoke = actions.add_parser("revoke", help="revoke a key, within seconds on every replica")
    revoke.add_argument("id", help="the key's id, as shown by `keys list`")
    revoke.set_defaults(run=lambda options: _with_keys(lambda store: _revoke(store, options.id)))


def _with_keys(action: Callable[[KeyStore], Awaitable[int]]) -> int:
    async def body(current: Settings, client: Client) -> int:
        root = await asyncio.to_thread(RootSecret.load, current, make=False)
        return await action(await KeyStore.open(client, current.nats_replicas, root))

    return connected(body)


async def _create(store: KeyStore, options: argparse.Namespace) -> int:
    try:
        Preferences.parse(options.prefer)
    except GatewayError as error:
        raise SettingError(f"--prefer: {error.message}") from None
    try:
        secret, key = await store.create(options.tenant, options.name, options.prefer)
    except ValueError as error:
        raise SettingError(str(error)) from None
    print(secret)
    print(f"key {key.id} of tenant {key.tenant}: the line above is shown only this once", file=sys.stderr)
    return 0


async def _list(store: KeyStore) -> int:
    for key in await store.list():
        created = datetime.fromtimestamp(key.created_at, UTC)
        tenant, prefer, name = map(printable, (key.tenant, key.prefer, key.name))
        print(f"{key.id}  {created:%Y-%m-%d %H:%M}  {tenant:20}  {prefer:12}  {name}")
    return 0


async def _revoke(store: KeyStore, key_id: str) -> int:
    key = await store.revoke(key_id)
    if key is None:
        print(f"imagegateway: there is no key {key_id}; `imagegateway keys list` lists all", file=sys.stderr)
        return 1
    print(f"revoked key {key.id} of tenant {key.tenant}")
    return 0
