"""AdminService: administration over native gRPC, and over REST for the methods without a body."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from imagegateway.admin.v1 import admin_service_pb2 as pb
from imagegateway.admin.v1 import admin_service_pb2_grpc as pb_grpc
from imagegateway.platform.pages import page_size, unknown_token

if TYPE_CHECKING:
    from imagegateway.admin.v1.audit_event_pb2 import AuditEvent
    from imagegateway.admin.v1.key_pb2 import Key
    from imagegateway.admin.v1.tenant_pb2 import Tenant
    from imagegateway.keys.audit_log import AuditLog
    from imagegateway.platform.grpc_server import Context
    from imagegateway.router.admin.audit_trail import AuditTrail
    from imagegateway.router.admin.gateway_view import JobsOfAllTenants, ProviderHealth
    from imagegateway.router.admin.key_administration import KeyAdministration
    from imagegateway.router.admin.tenant_administration import TenantAdministration

_DEFAULT_PAGE: Final = 50
_LARGEST_PAGE: Final = 100
_POSITION: Final = re.compile(r"[0-9]{1,18}")


class AdminService(pb_grpc.AdminServiceServicer):
    """Service for keys with the scope `admin`, which the interceptor checks. Each call is an audit event."""

    def __init__(
        self,
        *,
        keys: KeyAdministration,
        tenants: TenantAdministration,
        providers: ProviderHealth,
        jobs: JobsOfAllTenants,
        log: AuditLog,
        trail: AuditTrail,
    ) -> None:
        self._keys = keys
        self._tenants = tenants
        self._providers = providers
        self._jobs = jobs
        self._log = log
        self._trail = trail

    async def CreateKey(self, request: pb.CreateKeyRequest, context: Context) -> Key:
        return await self._trail.change(request, lambda: self._keys.create(request), about=_about_key)

    async def ListKeys(self, request: pb.ListKeysRequest, context: Context) -> pb.ListKeysResponse:
        return await self._trail.read(request, self._keys.list(request))

    async def GetKey(self, request: pb.GetKeyRequest, context: Context) -> Key:
        return await self._trail.read(request, self._keys.get(request.id), request.id)

    async def UpdateKey(self, request: pb.UpdateKeyRequest, context: Context) -> Key:
        return await self._trail.change(request, lambda: self._keys.update(request), request.id, _about_key)

    async def RotateKey(self, request: pb.RotateKeyRequest, context: Context) -> Key:
        return await self._trail.change(request, lambda: self._keys.rotate(request), request.id, _about_key)

    async def RevokeKey(self, request: pb.RevokeKeyRequest, context: Context) -> Key:
        return await self._trail.change(request, lambda: self._keys.revoke(request.id), request.id, _about_key)

    async def ListTenants(self, request: pb.ListTenantsRequest, context: Context) -> pb.ListTenantsResponse:
        return await self._trail.read(request, self._tenants.list(request))

    async def GetTenant(self, request: pb.GetTenantRequest, context: Context) -> Tenant:
        return await self._trail.read(request, self._tenants.get(request.name), request.name)

    async def UpdateTenant(self, request: pb.UpdateTenantRequest, context: Context) -> Tenant:
        return await self._trail.change(
            request, lambda: self._tenants.update(request), request.name, lambda tenant: (tenant.name, tenant.name)
        )

    async def ListProviders(self, request: pb.ListProvidersRequest, context: Context) -> pb.ListProvidersResponse:
        return await self._trail.read(request, self._providers.list())

    async def ListJobs(self, request: pb.ListJobsRequest, context: Context) -> pb.ListJobsResponse:
        return await self._trail.read(request, self._jobs.list(request))

    async def ListAuditEvents(
        self, request: pb.ListAuditEventsRequest, context: Context
    ) -> pb.ListAuditEventsResponse:
        return await self._trail.read(request, self._audit_events(request))

    async def _audit_events(self, request: pb.ListAuditEventsRequest) -> pb.ListAuditEventsResponse:
        if request.page_token and not _POSITION.fullmatch(request.page_token):
            raise unknown_token()

        def is_wanted(event: AuditEvent) -> bool:
            return (
                (not request.tenant or request.tenant in {event.tenant, event.actor.tenant})
                and (not request.key_id or request.key_id in {event.target, event.actor.id})
                and (not request.method or request.method == event.method)
            )

        size = page_size(request.page_size, _DEFAULT_PAGE, _LARGEST_PAGE)
        page = await self._log.page(is_wanted, size, int(request.page_token or 0))
        token = str(page.position) if page.position else ""
        return pb.ListAuditEventsResponse(object="list", data=page.events, next_page_token=token)


def _about_key(key: Key) -> tuple[str, str]:
    """Return target and tenant of the audit event of a change."""
    return key.id, key.tenant
