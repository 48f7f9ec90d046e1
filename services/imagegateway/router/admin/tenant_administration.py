"""Administration of tenants' policies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagegateway.admin.v1 import admin_service_pb2 as pb
from imagegateway.keys.tenants import TenantPolicy
from imagegateway.router.admin.lists import not_found, page_of
from imagegateway.router.admin.policy_fields import (
    changed_fields,
    policy_errors,
    tenant_message,
    with_tenant_fields,
)

if TYPE_CHECKING:
    from imagegateway.admin.v1.tenant_pb2 import Tenant
    from imagegateway.keys.key_store import KeyStore
    from imagegateway.keys.tenants import TenantStore
    from imagegateway.router.admin.spending import Spending


class TenantAdministration:
    """Operations on tenants. A tenant exists by a key or by a policy."""

    def __init__(self, *, store: TenantStore, keys: KeyStore, spending: Spending) -> None:
        self._store = store
        self._keys = keys
        self._spending = spending

    async def list(self, request: pb.ListTenantsRequest) -> pb.ListTenantsResponse:
        """Return a page of tenants, by name. Raises GatewayError INVALID_VALUE."""
        policies = sorted((await self._all()).values(), key=lambda policy: policy.name)
        page, token = page_of(policies, lambda policy: policy.name, request.page_size, request.page_token)
        data = [tenant_message(policy, await self._spending.of_tenant(policy)) for policy in page]
        return pb.ListTenantsResponse(object="list", data=data, next_page_token=token)

    async def get(self, name: str) -> Tenant:
        """Return a tenant. Raises GatewayError NOT_FOUND."""
        policy = (await self._all()).get(name)
        if policy is None:
            raise not_found("name", f"There is no tenant {name[:100]!r}.")
        return tenant_message(policy, await self._spending.of_tenant(policy))

    async def update(self, request: pb.UpdateTenantRequest) -> Tenant:
        """Change a tenant's policy, and return the tenant. Raises GatewayError INVALID_VALUE."""
        names = changed_fields(request)
        with policy_errors():
            policy = await self._store.update(request.name, lambda policy: with_tenant_fields(policy, request, names))
        return tenant_message(policy, await self._spending.of_tenant(policy))

    async def _all(self) -> dict[str, TenantPolicy]:
        """Return the policies of all tenants by name. A tenant without a stored one has no limits."""
        known = {key.tenant: TenantPolicy(key.tenant) for key in await self._keys.list()}
        return known | {policy.name: policy for policy in await self._store.list()}
