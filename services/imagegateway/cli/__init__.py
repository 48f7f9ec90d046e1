"""The command `imagegateway`."""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from imagegateway.cli import provider_keys, secrets
from imagegateway.cli.connection import connected
from imagegateway.cli.doctor import examine
from imagegateway.keys.api_keys import KeyStore
from imagegateway.keys.root_secret import RootSecret
from imagegateway.platform import settings
from imagegateway.platform.errors import GatewayError
from imagegateway.platform.logs import printable
from imagegateway.platform.setting_source import SettingError
from imagegateway.router.call_context import Preferences
from imagegateway.stack.config import Stack, binary
from imagegateway.stack.first_image import SelfCheckError
from imagegateway.stack.up import First, StackError, up

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from imagegateway.platform.settings import Settings
    from nats.aio.client import Client


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; gives the exit status."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except (SettingError, StackError, SelfCheckError) as error:
        print(f"imagegateway: {error}", file=sys.stderr)
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="imagegateway", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    start = commands.add_parser("up", help="start the whole stack on this machine")
    start.add_argument("--first-image", action="store_true", help="make an image even with IMAGEGATEWAY_NATS_URL")
    start.add_argument(
        "--first-key", action="store_true", help="make and print a key even with IMAGEGATEWAY_NATS_URL"
    )
    start.set_defaults(run=_up)
    check = commands.add_parser("validate", help="let Envoy read the configuration that `up` would write")
    check.set_defaults(run=_validate)
    doctor = commands.add_parser("doctor", help="check each configured provider route, without cost")
    doctor.set_defaults(run=lambda _: asyncio.run(examine(settings.current())))
    keys = commands.add_parser("keys", help="make, list and revoke API keys").add_subparsers(
        required=True, metavar="ACTION"
    )
    create = keys.add_parser("create", help="make a key; it is shown once")
    create.add_argument("--tenant", required=True, help="whose jobs, media and secrets the key reaches")
    create.add_argument("--name", default="", help="a note for the list")
    create.add_argument("--prefer", default="", help='default Prefer header, such as "wait=120"')
    create.set_defaults(run=lambda options: _with_keys(lambda store: _create(store, options)))
    listing = keys.add_parser("list", help="list keys, without their secrets")
    listing.set_defaults(run=lambda _: _with_keys(_list))
    revoke = keys.add_parser("revoke", help="end a key, within seconds on every replica")
    revoke.add_argument("id", help="the key's id, as `keys list` shows it")
    revoke.set_defaults(run=lambda options: _with_keys(lambda store: _revoke(store, options.id)))
    provider_keys.add(commands)
    secrets.add(commands)
    return parser


def _up(options: argparse.Namespace) -> int:
    current = settings.current()
    return up(current, First.of(current, image=options.first_image, key=options.first_key))


def _validate(_: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory() as folder:
        Stack.prepare(settings.current()).write_envoy(Path(folder))
        command = [binary("envoy"), "--mode", "validate", "--log-level", "warning", "-c", f"{folder}/envoy.yaml"]
        return subprocess.run(command, check=False, cwd=Path.cwd()).returncode


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
        made = datetime.fromtimestamp(key.created_at, UTC)
        tenant, prefer, name = map(printable, (key.tenant, key.prefer, key.name))
        print(f"{key.id}  {made:%Y-%m-%d %H:%M}  {tenant:20}  {prefer:12}  {name}")
    return 0


async def _revoke(store: KeyStore, key_id: str) -> int:
    key = await store.revoke(key_id)
    if key is None:
        print(f"imagegateway: there is no key {key_id}; `imagegateway keys list` shows them", file=sys.stderr)
        return 1
    print(f"revoked key {key.id} of tenant {key.tenant}")
    return 0
