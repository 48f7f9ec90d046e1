"""Services of administration: their stores, composition and registration."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from imagegateway.admin.v1 import (
    admin_service_pb2,
    admin_service_pb2_grpc,
    rest_admin_service_pb2,
    rest_admin_service_pb2_grpc,
)
from imagegateway.keys.audit_log import AuditLog
from imagegateway.keys.key_store import KeyStore
from imagegateway.keys.tenants import TenantStore
from imagegateway.router.admin.admin_service import AdminService
from imagegateway.router.admin.audit_trail import AuditTrail
from imagegateway.router.admin.gateway_view import JobsOfAllTenants, ProviderHealth
from imagegateway.router.admin.key_administration import KeyAdministration
from imagegateway.router.admin.rest_admin_service import RestAdminService
from imagegateway.router.admin.spending import Spending
from imagegateway.router.admin.tenant_administration import TenantAdministration

if TYPE_CHECKING:
    import asyncio

    from imagegateway.jobs.engine import JobEngine
    from imagegateway.keys.root_secret import RootSecret
    from imagegateway.keys.tenancy import Tenancy
    from imagegateway.platform.grpc_server import Server
    from imagegateway.platform.settings import Settings
    from imagegateway.router.body_budget import BodyBudget
    from imagegateway.router.catalog import Catalog
    from imagegateway.router.job_list import JobList
    from imagegateway.router.responses import ResponseBuilder
    from nats.aio.client import Client

NAMES: Final = tuple(
    service.full_name
    for file in (admin_service_pb2, rest_admin_service_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
)


@dataclass(frozen=True, slots=True)
class AdminStores:
    """Stores that administration changes."""

    keys: KeyStore
    tenants: TenantStore
    audit: AuditLog

    @classmethod
    async def open(cls, client: Client, settings: Settings, root: RootSecret, outage: asyncio.Event) -> AdminStores:
        """Open the buckets. While `outage` is set, calls do not wait for NATS.

        Raises nats.errors.Error without a connection to JetStream."""
        return cls(
            keys=await KeyStore.open(client, settings.nats_replicas, root, outage),
            tenants=await TenantStore.open(client, settings.nats_replicas, outage),
            audit=await AuditLog.open(client, settings, outage),
        )


def add_admin_services(
    server: Server,
    *,
    stores: AdminStores,
    tenancy: Tenancy,
    catalog: Catalog,
    engine: JobEngine,
    job_list: JobList,
    responses: ResponseBuilder,
    budget: BodyBudget,
) -> None:
    """Add AdminService and RestAdminService to a server."""
    spending = Spending(engine.budgets)
    service = AdminService(
        keys=KeyAdministration(store=stores.keys, last_use=tenancy.last_use, spending=spending, clock=time.time),
        tenants=TenantAdministration(store=stores.tenants, keys=stores.keys, spending=spending),
        providers=ProviderHealth(catalog, engine.breakers),
        jobs=JobsOfAllTenants(catalog, job_list, responses),
        log=stores.audit,
        trail=AuditTrail(stores.audit, engine.execution.tasks),
    )
    admin_service_pb2_grpc.add_AdminServiceServicer_to_server(service, server.grpc)
    rest = RestAdminService(service, budget)
    rest_admin_service_pb2_grpc.add_RestAdminServiceServicer_to_server(rest, server.grpc)
