"""Responses: jobs and their images as callers see them."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from imagegateway.jobs import states
from imagegateway.jobs.retention import media_expire_at
from imagegateway.media import signed_links
from imagegateway.media.store import NotFound
from imagegateway.platform.errors import REASONS, code_of
from imagegateway.router import openai_values
from imagegateway.router.job_errors import failure_message, media_expired, naming_job
from imagegateway.v1 import image_service_pb2 as pb
from imagegateway.v1 import job_pb2

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.media.signed_links import LinkSigner
    from imagegateway.media.store import MediaStore
    from imagegateway.provider.v1 import provider_service_pb2 as provider
    from imagegateway.router.call_context import Call
    from imagegateway.router.response_memory import ResponseMemory
    from imagegateway.router.validation.plan import Plan
    from imagegateway.v1.job_pb2 import Cost
_PROMPTS: Final = frozenset({"prompt", "negative_prompt"})
_REQUEST_FIELDS: Final = _PROMPTS | {
    "aspect_ratio",
    "quality",
    "style",
    "background",
    "moderation",
    "output_format",
    "output_compression",
    "seed",
    "seconds",
    "fps",
    "user",
    "input_fidelity",
    "strength",
    "complexity",
    "frame_count",
    "frame_duration_ms",
}
"""Fields of a task that JobRequest has, too."""


@dataclass(slots=True)
class ImagesResult:
    """Result of an image operation: images, or the job that makes them."""

    message: pb.ImagesResponse
    """Response without the bytes of images."""
    contents: list[bytes] = field(default_factory=list)
    """Bytes of each of `message.data` for a response with `b64_json`, else empty."""

    def whole_message(self) -> pb.ImagesResponse:
        """Move the bytes of the images into the message, and return it."""
        for image in self.message.data if self.contents else ():
            image.b64_json = self.contents.pop(0)
        return self.message


@dataclass(frozen=True, slots=True)
class PartialImage:
    """Unfinished image of a stream."""

    content: bytes
    index: int


class ResponseBuilder:
    """Builder of responses from job records. `clock` returns Unix seconds."""

    def __init__(
        self, store: MediaStore, links: LinkSigner, clock: Callable[[], float], memory: ResponseMemory
    ) -> None:
        self._store = store
        self._links = links
        self._clock = clock
        self._memory = memory

    async def images(self, record: JobRecord, call: Call, *, b64_json: bool) -> ImagesResult:
        """Return the response 200 of a completed job. The end of the call releases the memory of its images.

        Raises GatewayError: EXPIRED when the media are deleted, OVERLOADED without memory for the images.
        """
        if self._expired(record):
            raise media_expired(record.id)
        artifacts = record.done.artifacts
        data = [self._image(artifact, index) for index, artifact in enumerate(artifacts)]
        contents: list[bytes] = []
        if b64_json:
            size = sum(artifact.media.size for artifact in artifacts)
            call.at_end(await self._memory.reserve(record, call, size))
            try:
                contents = await asyncio.gather(*(self._store.read(artifact.media.key) for artifact in artifacts))
            except NotFound:
                raise media_expired(record.id) from None
            for image in data:
                image.ClearField("url")
        response = pb.ImagesResponse(
            created=record.completed_at // 1000,
            data=data,
            id=record.id,
            model=record.task.model,
            provider=record.task.route,
            warnings=_warnings(record),
            output_format=openai_values.output_format(artifacts[0].media.media_type),
            size=openai_values.size(artifacts[0].media.width, artifacts[0].media.height),
            quality=openai_values.quality(record.task.quality),
            background=openai_values.background(record.task.background),
            safety_identifier=record.task.user or None,
        )
        if record.done.HasField("usage"):
            response.usage.CopyFrom(record.done.usage)
        if record.done.HasField("svg_usage"):
            response.svg_usage.CopyFrom(record.done.svg_usage)
        if record.HasField("cost"):
            response.cost.CopyFrom(record.cost)
        return ImagesResult(response, contents)

    @asynccontextmanager
    async def partial_image(
        self, record: JobRecord, call: Call, stored: provider.PartialImage
    ) -> AsyncIterator[PartialImage]:
        """Return a partial image. The end of the context releases its memory. Raises GatewayError OVERLOADED."""
        release = await self._memory.reserve(record, call, stored.media.size)
        try:
            with naming_job(record):
                content = await self._store.read(stored.media.key)
            yield PartialImage(content, stored.index)
        finally:
            release()

    def accepted(self, record: JobRecord, queue_position: int | None) -> ImagesResult:
        """Return the response 202: the job, in the fields of ImagesResponse."""
        job = self.job(record, queue_position)
        message = pb.ImagesResponse(
            id=job.id,
            model=job.model,
            provider=job.provider,
            warnings=job.warnings,
            object=job.object,
            type=job.type,
            modality=job.modality,
            status=job.status,
            created_at=job.created_at,
            started_at=job.started_at if job.HasField("started_at") else None,
            updated_at=job.updated_at,
            progress=job.progress if job.HasField("progress") else None,
            queue_position=queue_position,
            metadata=job.metadata,
        )
        return ImagesResult(message)

    def plan(self, plan: Plan, cost: Cost | None) -> ImagesResult:
        """Return the response to `Prefer: dry-run`: the plan, in the fields of ImagesResponse."""
        task = plan.task
        message = pb.ImagesResponse(
            model=plan.model.id,
            provider=plan.route.name,
            warnings=plan.warnings,
            quality=openai_values.quality(task.quality),
            size=openai_values.size(*plan.size),
            object="plan",
            type=plan.job_type,
            modality=plan.model.modality,
            n=task.n,
            seconds=task.seconds if task.HasField("seconds") else None,
            estimated_cost=cost,
        )
        return ImagesResult(message)

    def job(self, record: JobRecord, queue_position: int | None = None) -> job_pb2.Job:
        """Return the public job, with newly signed links."""
        job = job_pb2.Job(
            id=record.id,
            object="job",
            type=record.type,
            modality=record.modality,
            status=states.PUBLIC[record.state],
            model=record.task.model,
            provider=record.task.route,
            created_at=record.created_at // 1000,
            started_at=record.started_at // 1000 or None,
            completed_at=record.completed_at // 1000 or None,
            updated_at=record.updated_at // 1000,
            progress=record.progress if record.HasField("progress") else None,
            queue_position=queue_position if record.state == states.QUEUED else None,
            warnings=_warnings(record),
            metadata=record.metadata,
            webhook_attempts=record.webhook.attempts,
        )
        if record.HasField("cost"):
            job.cost.CopyFrom(record.cost)
        if record.erased_at:
            job.erased_at = record.erased_at // 1000
        else:
            job.request.CopyFrom(_request(record))
        if record.state == states.COMPLETED:
            job.progress = 100
            if not record.erased_at:
                job.expires_at = media_expire_at(record)
            if record.done.HasField("usage"):
                job.usage.CopyFrom(record.done.usage)
            if not self._expired(record):
                data = [self._image(artifact, index) for index, artifact in enumerate(record.done.artifacts)]
                job.result.CopyFrom(
                    job_pb2.JobResult(created=record.completed_at // 1000, data=data, file_url=data[0].url)
                )
                job.result_url = data[0].url
        elif record.state == states.FAILED:
            job.error.CopyFrom(job_error(record.failed))
        job.partial_images.extend(self._partial_image(stored) for stored in record.partial_images)
        return job

    def _partial_image(self, stored: provider.PartialImage) -> job_pb2.Image:
        media = stored.media
        url = self._links.sign(media.key, f"{stored.index}.{signed_links.extension_of(media.media_type)}")
        return job_pb2.Image(url=url, media_type=media.media_type)

    def _image(self, artifact: provider.Artifact, index: int) -> job_pb2.Image:
        media = artifact.media
        return job_pb2.Image(
            url=self._links.sign(media.key, f"{index}.{signed_links.extension_of(media.media_type)}"),
            width=media.width or None,
            height=media.height or None,
            media_type=media.media_type,
            revised_prompt=artifact.revised_prompt or None,
            seed=artifact.seed if artifact.HasField("seed") else None,
        )

    def _expired(self, record: JobRecord) -> bool:
        return bool(record.erased_at) or self._clock() > media_expire_at(record)


def job_error(failed: provider.Failed) -> job_pb2.JobError:
    """Return the public error of a failed job."""
    return job_pb2.JobError(
        message=failure_message(failed),
        type=REASONS[failed.reason].type,
        param=failed.param or None,
        code=code_of(failed.reason),
    )


def _request(record: JobRecord) -> job_pb2.JobRequest:
    """Return the request as the model got it, without images and keys, and without prompts that are not kept."""
    task = record.task
    request = job_pb2.JobRequest(n=task.n, size=f"{task.width}x{task.height}" if task.width else None)
    shown = _REQUEST_FIELDS - _PROMPTS if record.drop_prompts else _REQUEST_FIELDS
    for each, value in task.ListFields():
        if each.name in shown:
            setattr(request, each.name, value)
    return request


def _warnings(record: JobRecord) -> list[job_pb2.Warning]:
    missing = [
        job_pb2.Warning(
            code="image_failed", message=f"An image is missing ({code_of(failed.reason)}): {failed.message}"
        )
        for failed in record.done.missing
    ]
    return [*record.warnings, *record.done.warnings, *missing]
