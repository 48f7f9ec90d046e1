"""`imagegateway tenants`: limits and retention for all keys of a tenant together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.field_mask_pb2 import FieldMask
from imagegateway.admin.v1 import admin_service_pb2 as pb
from imagegateway.cli.gateway import connected
from imagegateway.cli.keys import limits
from imagegateway.cli.output import print_json, print_list, print_object, print_table
from imagegateway.cli.policy_options import TENANT_FIELDS, add_limits, add_retention, given

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
    fields = given(options, TENANT_FIELDS)
    if not fields:
        options.parser.error("name at least one option to change")
    values = {name: value for name, value in fields.items() if value is not None}
    request = pb.UpdateTenantRequest(name=options.tenant, update_mask=FieldMask(paths=fields), **values)
    with connected() as gateway:
        _print(gateway.call(gateway.admin.UpdateTenant, request), options)
    return 0


def _show(options: argparse.Namespace) -> int:
    with connected() as gateway:
        _print(gateway.call(gateway.admin.GetTenant, pb.GetTenantRequest(name=options.tenant)), options)
    return 0


def _list(options: argparse.Namespace) -> int:
    tenants: list[Tenant] = []
    request = pb.ListTenantsRequest()
    with connected() as gateway:
        while True:
            page = gateway.call(gateway.admin.ListTenants, request)
            tenants += page.data
            request.page_token = page.next_page_token
            if not request.page_token:
                break
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


def _print(tenant: Tenant, options: argparse.Namespace) -> None:
    (print_json if options.json else print_object)(tenant)
