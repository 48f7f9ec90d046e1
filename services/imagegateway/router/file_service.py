"""RestFileService: a job's files by name, for holders of the job's key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from google.api.httpbody_pb2 import HttpBody
from imagegateway.media import signed_links
from imagegateway.media.store import NotFound
from imagegateway.platform.errors import GatewayError, invalid
from imagegateway.router import call_context
from imagegateway.router.operations import job_not_found
from imagegateway.v1 import rest_edge_pb2 as pb
from imagegateway.v1 import rest_edge_pb2_grpc as pb_grpc
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from imagegateway.media.signed_links import LinkSigner
    from imagegateway.platform.grpc_server import Context
    from imagegateway.provider.v1 import provider_service_pb2 as provider
    from imagegateway.router.operations import Studio

_DEFAULT_SECONDS: Final = 3600


class RestFileService(pb_grpc.RestFileServiceServicer):
    """The bytes, or a link to them."""

    def __init__(self, studio: Studio, signer: LinkSigner) -> None:
        self._studio = studio
        self._links = signer

    async def DownloadFile(self, request: pb.DownloadFileRequest, context: Context) -> AsyncIterator[HttpBody]:
        call = call_context.current()
        media = await self._find(request.job_id, request.filename)
        call.headers[call_context.LENGTH] = str(media.size)
        call.headers["content-security-policy"] = signed_links.CONTENT_POLICY
        try:
            async for chunk in call_context.while_authorized(
                call, self._studio.store.stream(media.key, 0, media.size)
            ):
                yield HttpBody(content_type=media.media_type, data=chunk)
        except NotFound:
            raise _expired(request.job_id) from None

    async def SignFile(self, request: pb.SignFileRequest, context: Context) -> pb.SignFileResponse:
        seconds = request.expires_in or _DEFAULT_SECONDS
        if not signed_links.SHORTEST_LIFETIME <= seconds <= signed_links.LONGEST_LIFETIME:
            raise invalid("expires_in", "expires_in must be from 60 to 604800 seconds.")
        media = await self._find(request.job_id, request.filename)
        return pb.SignFileResponse(
            url=self._links.sign(media.key, request.filename, seconds),
            expires_at=self._links.expiry(media.key, seconds),
        )

    async def _find(self, job_id: str, filename: str) -> provider.MediaRef:
        """Raises GatewayError JOB_NOT_FOUND for another tenant's job and for a file that it does not have."""
        entry = await self._studio.job(job_id, call_context.current())
        for index, artifact in enumerate(entry.record.done.artifacts):
            media = artifact.media
            if filename == f"{index}.{signed_links.extension_of(media.media_type)}":
                if await self._studio.store.size(media.key) is None:
                    raise _expired(job_id)
                return media
        raise job_not_found(f"{job_id}/{filename[:40]}")


def _expired(job_id: str) -> GatewayError:
    return GatewayError(
        ErrorReason.ERROR_REASON_EXPIRED,
        f"The media of job {job_id} are gone: they live 7 days.",
        details={"job_id": job_id},
    )
