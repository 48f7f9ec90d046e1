"""Content of a job's result: images inline within a bound, and links to all files."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from imagegateway.mcp.api import ApiError
from mcp_types import CallToolResult, ImageContent, ResourceLink, TextContent

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from imagegateway.mcp.api import GatewayApi
    from imagegateway.mcp.results import File, Job
    from mcp_types import ContentBlock

    Preview = Callable[[bytes, int], Awaitable[bytes | None]]
    """Returns an image as JPEG of at most so many bytes, or None for one that can't be decoded."""
    Transfer = Callable[[], AbstractAsyncContextManager[None]]
    """Returns the context in which a call may hold a whole file."""

MAX_INLINE_BYTES: Final = 700_000
"""Bytes of all inline images of a result: Claude Desktop refuses results over 1 MB, and base64 adds a third."""
MAX_PREVIEW_SOURCE_BYTES: Final = 26_214_400
"""Largest file of which a preview is made."""
MAX_INLINE_SIDE: Final = 2000
"""Longest side of an inline image in pixels: Claude refuses larger ones in a conversation with many images."""
_SHOWN: Final = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif"})
"""Media types that models see."""


@dataclass(frozen=True, slots=True)
class ResultContent:
    """Maker of one call's result."""

    api: GatewayApi
    preview: Preview
    transfer: Transfer

    async def of(self, job: Job) -> CallToolResult:
        """Return the result for a job: a sentence, images, and links. Images over the bound are shown as previews."""
        content: list[ContentBlock] = [TextContent(type="text", text=job.sentence())]
        shown = [file for file in job.files if file.media_type in _SHOWN]
        for file in job.files:
            if file in shown and (image := await self._image(job, file, MAX_INLINE_BYTES // len(shown))):
                content.append(image)
            content.append(_link(job, file))
        failed = job.status in {"failed", "cancelled"}
        return CallToolResult(content=content, structured_content=job.structured(), is_error=failed)

    async def _image(self, job: Job, file: File, max_bytes: int) -> ImageContent | None:
        """Return a file as image content of at most `max_bytes`, or None where only the link remains."""
        media_type = file.media_type or ""
        async with self.transfer():
            try:
                data = await self.api.file(job.job_id, file.name, MAX_PREVIEW_SOURCE_BYTES)
            except ApiError:
                return None  # the images are paid for, and the link shows them
            if data and (len(data) > max_bytes or max(file.width or 0, file.height or 0) > MAX_INLINE_SIDE):
                data, media_type = await self.preview(data, max_bytes), "image/jpeg"
        if not data:
            return None
        return ImageContent(type="image", data=base64.b64encode(data).decode(), mime_type=media_type)


def _link(job: Job, file: File) -> ResourceLink:
    return ResourceLink(
        type="resource_link",
        uri=file.url,
        name=f"{job.job_id}/{file.name}",
        description="The original file. The link is valid for 24 hours.",
        mime_type=file.media_type,
    )
