"""`imagegateway tenants`: limits and retention for all keys of a tenant together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagegateway.admin.v1 import admin_service_pb2 as pb
from imagegateway.cli.gateway import connected
from imagegateway.cli.keys import limits
from imagegateway.cli.output import print_list, print_object, print_table
from imagegateway.cli.policy_options import TENANT_FIELDS, add_limits, add_retention, changes

if TYPE_CHECKING:
    import argparse

    from imagegateway.admin.v1.tenant_pb2 import Tenant


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command with its actions."""
    group = commands.add_parser("tenants", help="set and show limits and retention of tenants")
    actions = group.add_subparsers(required=True, metavar="ACTION")
    change = actions.add_parser("set", help="change the limits of a tenant, within seconds on every replica")
    add_limits(change)
    add_retention(change)
    change.set_defaults(run=_set, parser=change)
    show = actions.add_parser("show", help="show a tenant")
    show.set_defaults(run=_show)
    listing = actions.add_parser("list", help="list the tenants that have a key or limits")
    listing.set_defaults(run=_list)
    for action in (change, show):
        action.add_argument("tenant", metavar="NAME", help="the tenant's name")
    for action in (change, show, listing):
        action.add_argument("--json", action="store_true", help="print JSON")


def _set(options: argparse.Namespace) -> int:
    request = pb.UpdateTenantRequest(name=options.tenant, **changes(options, TENANT_FIELDS))
    with connected() as gateway:
        print_object(gateway.call(gateway.admin.UpdateTenant, request), as_json=options.json)
    return 0


def _show(options: argparse.Namespace) -> int:
    with connected() as gateway:
        tenant = gateway.call(gateway.admin.GetTenant, pb.GetTenantRequest(name=options.tenant))
    print_object(tenant, as_json=options.json)
    return 0


def _list(options: argparse.Namespace) -> int:
    with connected() as gateway:
        pages = gateway.pages(gateway.admin.ListTenants, pb.ListTenantsRequest())
        tenants = [tenant for page in pages for tenant in page.data]
    if options.json:
        print_list(tenants)
    else:
        print_table(("name", "limits", "retention"), map(_row, tenants))
    return 0


def _row(tenant: Tenant) -> tuple[str, ...]:
    days = [
        f"{noun} {getattr(tenant, f'{field}_days')} d"
        for field, noun in (("media", "media"), ("record", "records"), ("usage", "usage"))
        if tenant.HasField(f"{field}_days")  # type: ignore[arg-type]  # the name is one of these
    ]
    return tenant.name, limits(tenant), ", ".join(days)
