"""`imagegateway provider-keys`: provider keys of tenants, managed by the operator."""

from __future__ import annotations

import getpass
import sys
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter
from imagegateway.cli.connection import connected
from imagegateway.cli.errors import CommandError
from imagegateway.cli.options import Json
from imagegateway.cli.terminal import print_document, when
from imagegateway.keys.api_keys import check_tenant
from imagegateway.keys.provider_keys import ProviderKey, ProviderKeys
from imagegateway.keys.root_secret import RootSecret
from imagegateway.platform.errors import GatewayError
from imagegateway.platform.setting_source import SettingError
from imagegateway.router.catalog import Catalog

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from imagegateway.platform.settings import Settings
    from nats.aio.client import Client

_EXAMPLES = """Examples:
  imagegateway provider-keys set --tenant acme --route openai < key.txt
  imagegateway provider-keys list --tenant acme"""
app = App(name="provider-keys", help_epilogue=_EXAMPLES)
_Tenant = Annotated[str, Parameter(help="Owner of the key.")]
_Route = Annotated[str, Parameter(help="The provider's route, as in X-BYOK-<route>.")]


@app.command(sort_key=1, name="set")
def set_key(*, tenant: _Tenant, route: _Route, json: Json = False) -> int:
    """Store or replace a key, read from standard input."""
    secret = _read()

    async def action(keys: ProviderKeys, routes: list[str]) -> int:
        try:
            stored = await keys.set(tenant, _known(route, routes), secret)
        except GatewayError as error:
            raise SettingError(error.message) from None
        if json:
            print_document(_document(stored))
        else:
            print(f"stored the key of {route} for tenant {tenant}")
        return 0

    return _with_keys(tenant, action)


@app.command(sort_key=2, name="list")
def list_keys(*, tenant: _Tenant, json: Json = False) -> int:
    """List a tenant's keys without their secrets."""

    async def action(keys: ProviderKeys, routes: list[str]) -> int:
        stored = await keys.list(tenant, routes)
        if json:
            print_document({"object": "list", "data": [_document(key) for key in stored]})
            return 0
        for key in stored:
            shown = f"…{key.last_four}" if key.created_at else "stored under another secret key: store it again"
            print(f"{key.route:14}  {when(key.created_at) or 'unreadable':16}  {shown}")
        return 0

    return _with_keys(tenant, action)


@app.command(sort_key=3)
def delete(*, tenant: _Tenant, route: _Route, json: Json = False) -> int:
    """Delete a key, within seconds on every replica."""

    async def action(keys: ProviderKeys, routes: list[str]) -> int:
        if not await keys.delete(tenant, _known(route, routes)):
            raise CommandError(f"tenant {tenant} has no stored key of {route}")
        if json:
            print_document({"object": "provider_key", "route": route, "deleted": True})
        else:
            print(f"deleted the key of {route} of tenant {tenant}")
        return 0

    return _with_keys(tenant, action)


def _read() -> str:
    """Return the key from standard input. Other users and the shell's history would see an argument."""
    return (getpass.getpass("key: ") if sys.stdin.isatty() else sys.stdin.read()).strip()


def _document(key: ProviderKey) -> dict[str, object]:
    """Return a key as JSON shows it. A key that is stored under another root secret has its route only."""
    if not key.created_at:
        return {"object": "provider_key", "route": key.route}
    return {
        "object": "provider_key",
        "route": key.route,
        "created_at": key.created_at,
        "last_four": key.last_four,
    }


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
