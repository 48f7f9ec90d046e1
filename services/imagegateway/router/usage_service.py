"""UsageService, and its REST form with JSON and CSV."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from google.api.httpbody_pb2 import HttpBody
from imagegateway.router import call_context, usage_report
from imagegateway.router.json_rendering import to_json
from imagegateway.router.rest_bodies import json_response
from imagegateway.v1 import rest_edge_pb2_grpc, usage_service_pb2_grpc
from imagegateway.v1 import usage_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from imagegateway.jobs.usage.query import UsageQuery
    from imagegateway.platform.grpc_server import Context, Server
    from imagegateway.router.ports import UsageReader

NAME: Final = pb.DESCRIPTOR.services_by_name["UsageService"].full_name
_CSV: Final = "text/csv"
_CSV_PAGE: Final = 1000


def add_usage_services(server: Server, usage: UsageReader) -> None:
    """Add UsageService and RestUsageService to a server."""
    service = UsageService(usage)
    usage_service_pb2_grpc.add_UsageServiceServicer_to_server(service, server.grpc)
    rest_edge_pb2_grpc.add_RestUsageServiceServicer_to_server(RestUsageService(service), server.grpc)


class UsageService(usage_service_pb2_grpc.UsageServiceServicer):
    """Service of usage reports."""

    def __init__(self, usage: UsageReader) -> None:
        self._usage = usage

    async def GetUsage(self, request: pb.GetUsageRequest, context: Context) -> pb.GetUsageResponse:
        query = self.query(request)
        report = await self._usage.report(query)
        return pb.GetUsageResponse(
            object="list",
            data=[usage_report.row(query, each) for each in report.rows],
            total=usage_report.totals(report.total),
            next_page_token=report.next_token,
        )

    async def csv(self, request: pb.GetUsageRequest) -> AsyncIterator[bytes]:
        """Yield a whole report as CSV, from the request's page on."""
        query = replace(self.query(request), size=_CSV_PAGE)
        yield usage_report.csv_header(query)
        while True:
            report = await self._usage.report(query)
            yield usage_report.csv_rows(report.rows)
            if not report.next_token:
                return
            query = replace(query, token=report.next_token)

    def query(self, request: pb.GetUsageRequest) -> UsageQuery:
        """Return the query of the current call. Raises GatewayError."""
        return usage_report.read_request(request, call_context.current(), time.time())


class RestUsageService(rest_edge_pb2_grpc.RestUsageServiceServicer):
    """UsageService for REST."""

    def __init__(self, service: UsageService) -> None:
        self._service = service

    async def GetUsage(self, request: pb.GetUsageRequest, context: Context) -> AsyncIterator[HttpBody]:
        call = call_context.current()
        if _CSV in call.metadata.get("accept", "").lower():
            call.headers["content-disposition"] = 'attachment; filename="usage.csv"'
            async for piece in self._service.csv(request):
                yield HttpBody(content_type=f"{_CSV}; charset=utf-8", data=piece)
        else:
            yield json_response(call, to_json(await self._service.GetUsage(request, context)))
