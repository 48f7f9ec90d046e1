"""ImageService: the typed methods, for native gRPC and for REST through Envoy's transcoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from imagegateway.jobs.list_query import Query
from imagegateway.platform.errors import invalid
from imagegateway.platform.pages import page_size
from imagegateway.providers.catalog import Modality
from imagegateway.router import call_context
from imagegateway.router.etags import etag, matches
from imagegateway.router.image_operations import POLL_SECONDS
from imagegateway.router.model_description import describe_model, describe_models
from imagegateway.router.validation.request import refuse_stream
from imagegateway.v1 import image_service_pb2 as pb
from imagegateway.v1 import image_service_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from imagegateway.jobs.stream import Entry
    from imagegateway.keys.provider_keys import ProviderKeys
    from imagegateway.platform.grpc_server import Context
    from imagegateway.router.call_context import Call
    from imagegateway.router.catalog import Catalog
    from imagegateway.router.image_operations import ImageOperations
    from imagegateway.router.job_list import JobList
    from imagegateway.router.job_operations import JobOperations
    from imagegateway.router.request_planner import RequestPlanner
    from imagegateway.router.responses import ResponseBuilder
    from imagegateway.v1 import job_pb2, model_pb2

NAME = pb.DESCRIPTOR.services_by_name["ImageService"].full_name
_DEFAULT_PAGE: Final = 20
_MAX_PAGE: Final = 100


class ImageService(pb_grpc.ImageServiceServicer):
    """Service of images, jobs and the catalog. `default_models`: ids by operation."""

    def __init__(
        self,
        *,
        planner: RequestPlanner,
        images: ImageOperations,
        jobs: JobOperations,
        job_list: JobList,
        responses: ResponseBuilder,
        catalog: Catalog,
        provider_keys: ProviderKeys,
        default_models: Mapping[str, str],
    ) -> None:
        self._planner = planner
        self._images = images
        self._jobs = jobs
        self._job_list = job_list
        self._responses = responses
        self._catalog = catalog
        self._provider_keys = provider_keys
        self._default_models = default_models

    async def Generate(self, request: pb.GenerateRequest, context: Context) -> pb.ImagesResponse:
        call = call_context.current()
        refuse_stream(request)
        call.body_idempotency_key = request.request_id
        result = await self._images.run(self._planner.plan_generation(request, call), call)
        return result.whole_message()

    async def Edit(self, request: pb.EditRequest, context: Context) -> pb.ImagesResponse:
        call = call_context.current()
        refuse_stream(request)
        call.body_idempotency_key = request.request_id
        async with self._planner.open_inputs(call) as inputs:
            plan = await self._planner.plan_edit(request, call, inputs)
            return (await self._images.run(plan, call, inputs)).whole_message()

    async def GetJob(self, request: pb.GetJobRequest, context: Context) -> job_pb2.Job:
        call = call_context.current()
        entry = await self._jobs.get(request.job_id, call)
        known_tag = call.metadata.get("if-none-match", "")
        if call.stated.wait and not entry.ended:
            entry = await self._long_poll(entry, known_tag, call.stated.wait, call)
        call.headers["etag"] = etag(entry)
        if not entry.ended:
            call.headers["retry-after"] = str(POLL_SECONDS)
        if matches(known_tag, etag(entry)):
            call.headers[call_context.STATUS] = "304"
        return self._jobs.respond(entry, call)

    async def StreamJob(self, request: pb.StreamJobRequest, context: Context) -> AsyncIterator[pb.StreamJobResponse]:
        call = call_context.current()
        async for event in self._jobs.follow(request, call):
            if event is not None:
                yield event

    async def CancelJob(self, request: pb.CancelJobRequest, context: Context) -> job_pb2.Job:
        call = call_context.current()
        return self._jobs.respond(await self._jobs.cancel(request.job_id, call), call)

    async def EraseJob(self, request: pb.EraseJobRequest, context: Context) -> job_pb2.Job:
        call = call_context.current()
        return self._jobs.respond(await self._jobs.erase(request.job_id, call), call)

    async def ListJobs(self, request: pb.ListJobsRequest, context: Context) -> pb.ListJobsResponse:
        call = call_context.current()
        size = page_size(request.page_size, _DEFAULT_PAGE, _MAX_PAGE)
        model = self._catalog.resolve(request.model).id if request.model else ""
        page = await self._job_list.page(Query(call.tenant, request.status, model, size, request.page_token))
        jobs = [self._responses.job(entry.record) for entry in page.entries]
        return pb.ListJobsResponse(object="list", data=jobs, next_page_token=page.next_token)

    async def ListModels(self, request: pb.ListModelsRequest, context: Context) -> pb.ListModelsResponse:
        if request.modality and request.modality not in tuple(Modality):
            raise invalid("modality", "modality must be image or video.")
        models = describe_models(
            self._catalog,
            modality=request.modality,
            provider=request.provider,
            stored=self._stored_keys(),
            defaults=self._default_models,
            shows=call_context.current().permissions.shows,
        )
        return pb.ListModelsResponse(object="list", data=models)

    async def GetModel(self, request: pb.GetModelRequest, context: Context) -> model_pb2.Model:
        shows = call_context.current().permissions.shows
        model = self._catalog.resolve(request.model_id, shows)
        if not shows(model.id):
            raise self._catalog.not_found(request.model_id, shows)
        return describe_model(self._catalog, model, self._stored_keys(), self._default_models)

    def _stored_keys(self) -> Mapping[str, bytes]:
        return self._provider_keys.of(call_context.current().tenant)

    async def _long_poll(self, entry: Entry, known_tag: str, seconds: int, call: Call) -> Entry:
        """Return the job as soon as it differs from the one that the caller knows, or as soon as it has ended."""
        call.headers["preference-applied"] = f"wait={seconds}"
        if known_tag and not matches(known_tag, etag(entry)):
            return entry
        seen = entry.seq

        def is_wanted(newer: Entry) -> bool:
            return newer.ended or bool(known_tag and newer.seq > seen)

        return await self._jobs.wait(entry.record.id, is_wanted, seconds, call)
