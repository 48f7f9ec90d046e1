"""ImageService: the typed methods, thin over `Studio`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Never

from imagegateway.v1 import image_service_pb2 as pb
from imagegateway.v1 import image_service_pb2_grpc as pb_grpc
from imagegateway.v1.error_reason_pb2 import ErrorReason

from services.common.errors import GatewayError, invalid
from services.router import caller, plan

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from imagegateway.v1 import job_pb2, model_pb2

    from services.common.server import Context
    from services.router.studio import Studio

NAME = pb.DESCRIPTOR.services_by_name["ImageService"].full_name


class ImageService(pb_grpc.ImageServiceServicer):
    """Serves native gRPC, and REST through Envoy's transcoder."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio

    async def Generate(self, request: pb.GenerateRequest, context: Context) -> pb.ImagesResponse:
        call = caller.current()
        plan.no_stream_here(request)
        return await self._studio.run(self._studio.plan_generate(request, call), call)

    async def Edit(self, request: pb.EditRequest, context: Context) -> pb.ImagesResponse:
        call = caller.current()
        plan.no_stream_here(request)
        async with self._studio.intake() as intake:
            return await self._studio.run(await self._studio.plan_edit(request, call, intake), call)

    async def GetJob(self, request: pb.GetJobRequest, context: Context) -> job_pb2.Job:
        _later()

    async def StreamJob(self, request: pb.StreamJobRequest, context: Context) -> AsyncIterator[pb.StreamJobResponse]:
        _later()
        yield

    async def CancelJob(self, request: pb.CancelJobRequest, context: Context) -> job_pb2.Job:
        _later()

    async def ListJobs(self, request: pb.ListJobsRequest, context: Context) -> pb.ListJobsResponse:
        _later()

    async def ListModels(self, request: pb.ListModelsRequest, context: Context) -> pb.ListModelsResponse:
        if request.modality not in {"", "image", "video"}:
            raise invalid("modality", "modality must be image or video.")
        models = self._studio.catalog.list(request.modality, request.provider)
        return pb.ListModelsResponse(object="list", data=models)

    async def GetModel(self, request: pb.GetModelRequest, context: Context) -> model_pb2.Model:
        catalog = self._studio.catalog
        return catalog.describe(catalog.resolve(request.model_id))


def _later() -> Never:
    raise GatewayError(ErrorReason.ERROR_REASON_NOT_IMPLEMENTED, "This gateway keeps no jobs yet.")
