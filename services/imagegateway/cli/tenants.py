"""`imagegateway tenants`: limits and retention for all keys of a tenant together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter
from imagegateway.admin.v1 import admin_service_pb2 as pb
from imagegateway.cli.gateway import connected
from imagegateway.cli.keys import limits
from imagegateway.cli.messages import print_list, print_object
from imagegateway.cli.options import Json
from imagegateway.cli.policy_options import TenantPolicy, changes
from imagegateway.cli.target import Connection
from imagegateway.cli.terminal import print_table

if TYPE_CHECKING:
    from imagegateway.admin.v1.tenant_pb2 import Tenant

_EXAMPLES = """Examples:
  imagegateway tenants set acme --budget 100 --budget-period month
  imagegateway tenants set acme --media-days 30
  imagegateway tenants show acme --json"""
app = App(name="tenants", help_epilogue=_EXAMPLES)
_Name = Annotated[str, Parameter(help="The tenant's name.")]


@app.command(sort_key=1, name="set")
def set_tenant(
    name: _Name,
    /,
    *,
    policy: TenantPolicy = TenantPolicy(),
    json: Json = False,
    connection: Connection = Connection(),
) -> None:
    """Change the limits of a tenant, within seconds on every replica."""
    request = pb.UpdateTenantRequest(name=name, **changes(policy, "tenants set"))
    with connected(connection) as gateway:
        print_object(gateway.call(gateway.admin.UpdateTenant, request), as_json=json)


@app.command(sort_key=2)
def show(name: _Name, /, *, json: Json = False, connection: Connection = Connection()) -> None:
    """Show a tenant."""
    with connected(connection) as gateway:
        tenant = gateway.call(gateway.admin.GetTenant, pb.GetTenantRequest(name=name))
    print_object(tenant, as_json=json)


@app.command(sort_key=3, name="list")
def list_tenants(*, json: Json = False, connection: Connection = Connection()) -> None:
    """List the tenants that have a key or limits."""
    with connected(connection) as gateway:
        pages = gateway.pages(gateway.admin.ListTenants, pb.ListTenantsRequest())
        tenants = [tenant for page in pages for tenant in page.data]
    if json:
        print_list(tenants)
    else:
        print_table(("name", "limits", "retention"), map(_row, tenants))


def _row(tenant: Tenant) -> tuple[str, ...]:
    days = [
        f"{noun} {getattr(tenant, f'{field}_days')} d"
        for field, noun in (("media", "media"), ("record", "records"), ("usage", "usage"))
        if tenant.HasField(f"{field}_days")  # type: ignore[arg-type]  # the name is one of these
    ]
    return tenant.name, limits(tenant), ", ".join(days)
