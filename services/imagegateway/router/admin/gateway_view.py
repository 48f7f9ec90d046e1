"""Views of the running gateway: health of provider routes, and jobs of all tenants."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from imagegateway.admin.v1 import admin_service_pb2 as pb
from imagegateway.admin.v1.provider_pb2 import Circuit, Provider
from imagegateway.admin.v1.tenant_job_pb2 import TenantJob
from imagegateway.jobs.list_query import Query
from imagegateway.platform.errors import code_of
from imagegateway.platform.pages import page_size

if TYPE_CHECKING:
    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.jobs.circuit_breaker import CircuitBreakers, CircuitReport
    from imagegateway.router.catalog import Catalog
    from imagegateway.router.job_list import JobList
    from imagegateway.router.responses import ResponseBuilder

_DEFAULT_PAGE: Final = 20
_LARGEST_PAGE: Final = 100
_COPIED: Final = ("id", "object", "type", "modality", "status", "model", "provider", "created_at", "updated_at")
_OPTIONAL: Final = ("started_at", "completed_at", "progress", "error", "cost", "usage")


class ProviderHealth:
    """Health of provider routes, as this replica sees it."""

    def __init__(self, catalog: Catalog, breakers: CircuitBreakers) -> None:
        self._catalog = catalog
        self._breakers = breakers

    async def list(self) -> pb.ListProvidersResponse:
        """Return all routes, by name."""
        routes: dict[str, Provider] = {}
        for model in self._catalog.models.values():
            for route in model.routes:
                missing = self._catalog.missing(route)
                known = routes.setdefault(
                    route.name,
                    Provider(object="provider", route=route.name, available=not missing, missing_settings=missing),
                )
                known.models.append(model.id)
        for report in self._breakers.report():
            if report.route in routes:
                routes[report.route].circuits.append(_circuit(report))
        return pb.ListProvidersResponse(object="list", data=[routes[name] for name in sorted(routes)])


class JobsOfAllTenants:
    """List of the jobs of all tenants."""

    def __init__(self, catalog: Catalog, job_list: JobList, responses: ResponseBuilder) -> None:
        self._catalog = catalog
        self._job_list = job_list
        self._responses = responses

    async def list(self, request: pb.ListJobsRequest) -> pb.ListJobsResponse:
        """Return a page of jobs, newest first. Raises GatewayError."""
        size = page_size(request.page_size, _DEFAULT_PAGE, _LARGEST_PAGE)
        model = self._catalog.resolve(request.model).id if request.model else ""
        query = Query(request.tenant or None, request.status, model, size, request.page_token)
        page = await self._job_list.page(query)
        data = [self._described(entry.record) for entry in page.entries]
        return pb.ListJobsResponse(object="list", data=data, next_page_token=page.next_token)

    def _described(self, record: JobRecord) -> TenantJob:
        public = self._responses.job(record)
        job = TenantJob(tenant=record.tenant, key_id=record.key_id, request_id=record.request_id)
        for name in (*_COPIED, *(name for name in _OPTIONAL if public.HasField(name))):
            value = getattr(public, name)
            if isinstance(value, str | int):
                setattr(job, name, value)
            else:
                getattr(job, name).CopyFrom(value)
        return job


def _circuit(report: CircuitReport) -> Circuit:
    return Circuit(
        model=report.model,
        state=report.state,
        retry_in=math.ceil(report.open_seconds) or None,
        failures=report.failures,
        last_error="" if report.last_error is None else code_of(report.last_error),
    )
