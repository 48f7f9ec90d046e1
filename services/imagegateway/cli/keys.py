"""`imagegateway keys`: API keys of tenants."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from imagegateway.admin.v1 import admin_service_pb2 as pb
from imagegateway.cli.gateway import connected
from imagegateway.cli.output import print_json, print_list, print_object, print_table, when
from imagegateway.cli.policy_options import KEY_FIELDS, add_policy, changes, given
from imagegateway.platform.logs import printable

if TYPE_CHECKING:
    import argparse

    from imagegateway.admin.v1.key_pb2 import Key


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command with its actions."""
    group = commands.add_parser("keys", help="create, show, change, rotate and revoke API keys")
    actions = group.add_subparsers(required=True, metavar="ACTION")
    create = actions.add_parser("create", help="create a key; its secret is shown once")
    create.add_argument("--tenant", required=True, help="owner of the jobs, media and secrets that the key reaches")
    add_policy(create)
    create.set_defaults(run=_create)
    update = actions.add_parser("update", help="change a key's policy, within seconds on every replica")
    add_policy(update)
    update.set_defaults(run=_update, parser=update)
    show = actions.add_parser("show", help="show a key, without its secret")
    show.set_defaults(run=_show)
    listing = actions.add_parser("list", help="list keys, without their secrets")
    listing.add_argument("--tenant", default="", help="only keys of this tenant")
    listing.add_argument("--revoked", action="store_true", help="revoked keys, too")
    listing.set_defaults(run=_list)
    rotate = actions.add_parser("rotate", help="replace a key's secret; the new one is shown once")
    rotate.add_argument("--overlap", default="24h", help="time for which the old secret stays valid (default 24h)")
    rotate.set_defaults(run=_rotate)
    revoke = actions.add_parser("revoke", help="revoke a key, within seconds on every replica")
    revoke.set_defaults(run=_revoke)
    for action in (update, show, rotate, revoke):
        action.add_argument("id", help="the key's id, as `keys list` shows it")
    for action in (create, update, show, listing, rotate):
        action.add_argument("--json", action="store_true", help="print JSON")


def _create(options: argparse.Namespace) -> int:
    request = pb.CreateKeyRequest(tenant=options.tenant, **given(options, KEY_FIELDS))
    with connected() as gateway:
        key = gateway.call(gateway.admin.CreateKey, request)
    return _print_secret(key, options)


def _update(options: argparse.Namespace) -> int:
    request = pb.UpdateKeyRequest(id=options.id, **changes(options, KEY_FIELDS))
    with connected() as gateway:
        print_object(gateway.call(gateway.admin.UpdateKey, request), as_json=options.json)
    return 0


def _show(options: argparse.Namespace) -> int:
    with connected() as gateway:
        key = gateway.call(gateway.admin.GetKey, pb.GetKeyRequest(id=options.id))
    print_object(key, as_json=options.json)
    return 0


def _rotate(options: argparse.Namespace) -> int:
    request = pb.RotateKeyRequest(id=options.id, overlap=options.overlap)
    with connected() as gateway:
        key = gateway.call(gateway.admin.RotateKey, request)
    return _print_secret(key, options)


def _revoke(options: argparse.Namespace) -> int:
    with connected() as gateway:
        key = gateway.call(gateway.admin.RevokeKey, pb.RevokeKeyRequest(id=options.id))
    print(f"revoked key {key.id} of tenant {printable(key.tenant)}")
    return 0


def _list(options: argparse.Namespace) -> int:
    request = pb.ListKeysRequest(tenant=options.tenant, revoked=options.revoked)
    with connected() as gateway:
        keys = [key for page in gateway.pages(gateway.admin.ListKeys, request) for key in page.data]
    if options.json:
        print_list(keys)
    else:
        header = ("id", "created", "tenant", "scopes", "models", "limits", "ends", "last used", "prefer", "name")
        print_table(header, map(_row, keys))
    return 0


def _row(key: Key) -> tuple[str, ...]:
    end = f"revoked {when(key.revoked_at)}" if key.revoked_at else when(key.expires_at)
    return (
        key.id,
        when(key.created_at),
        key.tenant,
        ",".join(key.scopes),
        ",".join(key.models),
        limits(key),
        end,
        when(key.last_used_at),
        key.prefer,
        key.name,
    )


def limits(holder: Any) -> str:
    """Return the limits of a key or a tenant in a few words."""
    parts = [
        f"{getattr(holder, field)} {unit}"
        for field, unit in (
            ("requests_per_minute", "rpm"),
            ("images_per_minute", "ipm"),
            ("concurrent_jobs", "at once"),
        )
        if holder.HasField(field)
    ]
    if holder.HasField("budget"):
        spent = f"{holder.spent:g} of " if holder.HasField("spent") else ""
        parts.append(f"{spent}{holder.budget:g} USD/{holder.budget_period}")
    return ", ".join(parts)


def _print_secret(key: Key, options: argparse.Namespace) -> int:
    if options.json:
        print_json(key)
    else:
        print(key.key)
        tenant = printable(key.tenant)
        print(f"key {key.id} of tenant {tenant}: the line above is shown only this once", file=sys.stderr)
    return 0
