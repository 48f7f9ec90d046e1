"""RestFileService: files of a job by name, for callers with the tenant's API key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from google.api.httpbody_pb2 import HttpBody
from imagegateway.media import signed_links
from imagegateway.media.store import NotFound
from imagegateway.platform.errors import invalid
from imagegateway.router import call_context
from imagegateway.router.job_errors import job_not_found, media_expired
from imagegateway.v1 import rest_edge_pb2 as pb
from imagegateway.v1 import rest_edge_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from imagegateway.media.signed_links import LinkSigner
    from imagegateway.media.store import MediaStore
    from imagegateway.platform.grpc_server import Context
    from imagegateway.provider.v1 import provider_service_pb2 as provider
    from imagegateway.router.job_lookup import JobLookup

_LIFETIMES: Final = range(signed_links.SHORTEST_LIFETIME, signed_links.LONGEST_LIFETIME + 1)
_DEFAULT_SECONDS: Final = 3600
"""Default lifetime of a link."""


class RestFileService(pb_grpc.RestFileServiceServicer):
    """Service of a job's files: their bytes, and signed links."""

    def __init__(self, *, lookup: JobLookup, store: MediaStore, links: LinkSigner) -> None:
        self._lookup = lookup
        self._store = store
        self._links = links

    async def DownloadFile(self, request: pb.DownloadFileRequest, context: Context) -> AsyncIterator[HttpBody]:
        call = call_context.current()
        media = await self._find(request.job_id, request.filename)
        call.headers[call_context.LENGTH] = str(media.size)
        call.headers["content-security-policy"] = signed_links.CONTENT_POLICY
        try:
            chunks = self._store.stream(media.key, 0, media.size)
            async for chunk in call_context.stop_on_revocation(call, chunks):
                yield HttpBody(content_type=media.media_type, data=chunk)
        except NotFound:
            raise media_expired(request.job_id) from None

    async def SignFile(self, request: pb.SignFileRequest, context: Context) -> pb.SignFileResponse:
        seconds = request.expires_in or _DEFAULT_SECONDS
        if seconds not in _LIFETIMES:
            raise invalid("expires_in", f"expires_in must be from {_LIFETIMES[0]} to {_LIFETIMES[-1]} seconds.")
        media = await self._find(request.job_id, request.filename)
        return pb.SignFileResponse(
            url=self._links.sign(media.key, request.filename, seconds),
            expires_at=self._links.expiry(media.key, seconds),
        )

    async def _find(self, job_id: str, filename: str) -> provider.MediaRef:
        """Return the media of a file. Raises GatewayError JOB_NOT_FOUND, EXPIRED."""
        entry = await self._lookup.get(job_id, call_context.current())
        for index, artifact in enumerate(entry.record.done.artifacts):
            media = artifact.media
            if filename == f"{index}.{signed_links.extension_of(media.media_type)}":
                if await self._store.size(media.key) is None:
                    raise media_expired(job_id)
                return media
        raise job_not_found(f"{job_id}/{filename[:40]}")
