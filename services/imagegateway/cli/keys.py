"""`imagegateway keys`: API keys of tenants."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter
from imagegateway.admin.v1 import admin_service_pb2 as pb
from imagegateway.cli.gateway import connected
from imagegateway.cli.messages import print_json, print_list, print_object
from imagegateway.cli.options import Json, KeyId
from imagegateway.cli.policy_options import KeyPolicy, changes, given
from imagegateway.cli.target import Connection
from imagegateway.cli.terminal import print_table, when
from imagegateway.platform.printable import printable

if TYPE_CHECKING:
    from imagegateway.admin.v1.key_pb2 import Key

_EXAMPLES = """Examples:
  imagegateway keys create --tenant acme --scopes generate,edit --rpm 60
  imagegateway keys create --tenant acme --budget 50 --budget-period month
  imagegateway keys list --tenant acme
  imagegateway keys update 3f9a2c81 --rpm none
  imagegateway keys rotate 3f9a2c81 --overlap 1h"""
app = App(name="keys", help_epilogue=_EXAMPLES)


@app.command(sort_key=1)
def create(
    *,
    tenant: Annotated[str, Parameter(help="Owner of the jobs, media and secrets that the key reaches.")],
    policy: KeyPolicy = KeyPolicy(),
    json: Json = False,
    connection: Connection = Connection(),
) -> None:
    """Create a key; its secret is shown once."""
    request = pb.CreateKeyRequest(tenant=tenant, **given(policy))
    with connected(connection) as gateway:
        key = gateway.call(gateway.admin.CreateKey, request)
    _print_secret(key, as_json=json)


@app.command(sort_key=2, name="list")
def list_keys(
    *,
    tenant: Annotated[str, Parameter(help="Only keys of this tenant.")] = "",
    revoked: Annotated[bool, Parameter(help="Revoked keys, too.")] = False,
    json: Json = False,
    connection: Connection = Connection(),
) -> None:
    """List keys, without their secrets."""
    request = pb.ListKeysRequest(tenant=tenant, revoked=revoked)
    with connected(connection) as gateway:
        keys = [key for page in gateway.pages(gateway.admin.ListKeys, request) for key in page.data]
    if json:
        print_list(keys)
    else:
        header = ("id", "created", "tenant", "scopes", "models", "limits", "ends", "last used", "prefer", "name")
        print_table(header, map(_row, keys))


@app.command(sort_key=3)
def show(key_id: KeyId, /, *, json: Json = False, connection: Connection = Connection()) -> None:
    """Show a key, without its secret."""
    with connected(connection) as gateway:
        key = gateway.call(gateway.admin.GetKey, pb.GetKeyRequest(id=key_id))
    print_object(key, as_json=json)


@app.command(sort_key=4)
def update(
    key_id: KeyId, /, *, policy: KeyPolicy = KeyPolicy(), json: Json = False, connection: Connection = Connection()
) -> None:
    """Change a key's policy, within seconds on every replica."""
    request = pb.UpdateKeyRequest(id=key_id, **changes(policy, "keys update"))
    with connected(connection) as gateway:
        print_object(gateway.call(gateway.admin.UpdateKey, request), as_json=json)


@app.command(sort_key=5)
def rotate(
    key_id: KeyId,
    /,
    *,
    overlap: Annotated[str, Parameter(help="Time for which the old secret stays valid.")] = "24h",
    json: Json = False,
    connection: Connection = Connection(),
) -> None:
    """Replace a key's secret; the new one is shown once."""
    request = pb.RotateKeyRequest(id=key_id, overlap=overlap)
    with connected(connection) as gateway:
        key = gateway.call(gateway.admin.RotateKey, request)
    _print_secret(key, as_json=json)


@app.command(sort_key=6)
def revoke(key_id: KeyId, /, *, json: Json = False, connection: Connection = Connection()) -> None:
    """Revoke a key, within seconds on every replica."""
    with connected(connection) as gateway:
        key = gateway.call(gateway.admin.RevokeKey, pb.RevokeKeyRequest(id=key_id))
    if json:
        print_json(key)
    else:
        print(f"revoked key {key.id} of tenant {printable(key.tenant)}")


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


def _print_secret(key: Key, *, as_json: bool) -> None:
    if as_json:
        print_json(key)
        return
    print(key.key)
    tenant = printable(key.tenant)
    print(f"key {key.id} of tenant {tenant}: the line above is shown only this once", file=sys.stderr)
