"""`imagegateway provider-keys`: provider keys of tenants, managed by the operator."""

from __future__ import annotations

import getpass
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from imagegateway.cli.connection import connected
from imagegateway.keys.api_keys import check_tenant
from imagegateway.keys.provider_keys import ProviderKeys
from imagegateway.keys.root_secret import RootSecret
from imagegateway.platform.errors import GatewayError
from imagegateway.platform.setting_source import SettingError
from imagegateway.router.catalog import Catalog

if TYPE_CHECKING:
    import argparse
    from collections.abc import Awaitable, Callable

    from imagegateway.platform.settings import Settings
    from nats.aio.client import Client


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command with its actions."""
    group = commands.add_parser("provider-keys", help="store, list and delete tenants' own provider keys")
    actions = group.add_subparsers(required=True, metavar="ACTION")
    put = actions.add_parser("set", help="store or replace a key, read from standard input")
    put.set_defaults(run=lambda options: _set(options, _read()))
    listing = actions.add_parser("list", help="list a tenant's keys without their secrets")
    listing.set_defaults(run=_list)
    delete = actions.add_parser("delete", help="delete a key, within seconds on every replica")
    delete.set_defaults(run=_delete)
    for action in (put, listing, delete):
        action.add_argument("--tenant", required=True, help="owner of the key")
    for action in (put, delete):
        action.add_argument("--route", required=True, help="the provider's route, as in X-BYOK-<route>")


def _read() -> str:
    """Return the key from standard input. Other users and the shell's history would see an argument."""
    return (getpass.getpass("key: ") if sys.stdin.isatty() else sys.stdin.read()).strip()


def _set(options: argparse.Namespace, key: str) -> int:
    async def action(keys: ProviderKeys, routes: list[str]) -> int:
        try:
            await keys.set(options.tenant, _known(options.route, routes), key)
        except GatewayError as error:
            raise SettingError(error.message) from None
        print(f"stored the key of {options.route} for tenant {options.tenant}")
        return 0

    return _with_keys(options.tenant, action)


def _list(options: argparse.Namespace) -> int:
    async def action(keys: ProviderKeys, routes: list[str]) -> int:
        for key in await keys.list(options.tenant, routes):
            if key.created_at:
                created, shown = f"{datetime.fromtimestamp(key.created_at, UTC):%Y-%m-%d %H:%M}", f"…{key.last_four}"
            else:
                created, shown = "unreadable", "stored under another secret key: store it again"
            print(f"{key.route:14}  {created:16}  {shown}")
        return 0

    return _with_keys(options.tenant, action)


def _delete(options: argparse.Namespace) -> int:
    async def action(keys: ProviderKeys, routes: list[str]) -> int:
        if await keys.delete(options.tenant, _known(options.route, routes)):
            print(f"deleted the key of {options.route} of tenant {options.tenant}")
            return 0
        print(f"imagegateway: tenant {options.tenant} has no stored key of {options.route}", file=sys.stderr)
        return 1

    return _with_keys(options.tenant, action)


def _with_keys(tenant: str, action: Callable[[ProviderKeys, list[str]], Awaitable[int]]) -> int:
    try:
        check_tenant(tenant)
    except ValueError as error:
        raise SettingError(str(error)) from None

    async def body(current: Settings, client: Client) -> int:
        # No router could read values encrypted with a secret that is created here.
        root = RootSecret.load(current, make=False)
        keys = await ProviderKeys.open(client, current.nats_replicas, root)
        return await action(keys, Catalog.load(current.source).routes_with_keys)

    return connected(body)


def _known(route: str, routes: list[str]) -> str:
    if route not in routes:
        raise SettingError(f"--route: there is no {route!r}; routes are {', '.join(routes)}")
    return route
