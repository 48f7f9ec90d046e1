"""Results of providers: fetched at once, checked by their bytes, kept as they are."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urljoin

from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.v1.error_reason_pb2 import ErrorReason

from services.common import images, logs, svg
from services.common.adapter import Outgoing
from services.common.errors import GatewayError
from services.common.failures import Failure
from services.common.outbound import MAX_REDIRECTS, DownloadError
from services.common.references import reference
from services.common.store_retry import retry_until_available
from services.common.urlguard import OutboundError
from services.common.values import seed_of, text_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from services.common.adapter import Adapter, Call, Found, Reply
    from services.common.outbound import Outbound
    from services.common.store import MediaStore, Stored
    from services.common.targets import Target

    Send = Callable[[Adapter, Target, Outgoing, str], Awaitable[Reply | Failure]]

MAX_RESULT_BYTES: Final = 512 * 1024 * 1024
DOWNLOAD_SECONDS: Final = 900.0
"""Longest that a result may take to arrive; `IDLE_SECONDS` ends one that stands still."""
IDLE_SECONDS: Final = 60.0
_DOWNLOAD_TRIES: Final = 4
_NATIVE_ONLY: Final = frozenset({"", "gif", svg.FORMAT})
"""Wanted formats that only the provider can make: whatever it made is kept."""
_log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Results:
    """Takes results in. `send` calls the provider itself, for results that want its key."""

    outbound: Outbound
    store: MediaStore
    send: Send
    sleep: Callable[[float], Any]

    async def keep(
        self, adapter: Adapter, target: Target, call: Call, found: Found, store_seconds: float = 0.0
    ) -> pb.Artifact:
        """Fetch and store one result. `store_seconds`: how long a store that is away is waited for.

        Raises GatewayError PROVIDER_BAD_RESPONSE for what can't be used, StoreUnavailable.
        """
        data = found.data if found.data is not None else await self._download(adapter, target, call, found)
        facts: images.Facts | None = None
        if call.model.modality == "video":
            if data[4:8] != b"ftyp":
                raise _unusable("The provider's video is no MP4.")
        else:
            facts, data = await asyncio.to_thread(_checked, data, call)
        store = partial(self.store.put_result, data)
        stored = await retry_until_available(store, seconds=store_seconds, sleep=self.sleep)
        return pb.Artifact(
            # How large a video is, nothing tells.
            media=reference(stored, facts) if facts else _video(stored),
            # What can't be passed on is no reason to lose a picture that is paid for.
            revised_prompt=text_of(found.revised_prompt),
            seed=seed_of(found.seed),
        )

    async def _download(self, adapter: Adapter, target: Target, call: Call, found: Found) -> bytes:
        for attempt in range(1, _DOWNLOAD_TRIES + 1):
            try:
                return await self._fetch(adapter, target, call, found)
            except OutboundError as error:
                if not error.transient or attempt == _DOWNLOAD_TRIES:
                    _log.warning("result_download_failed", reason=error.reason)
                    raise _unusable(f"The provider's {call.model.modality} can't be fetched.") from None
            await self.sleep(0.5 * 2**attempt)
        raise AssertionError("unreachable")

    async def _fetch(self, adapter: Adapter, target: Target, call: Call, found: Found) -> bytes:
        """A result's bytes. With a key as long as the hosts are trusted, under the guard from the first other one."""
        url = target.url(found.url)
        for _ in range(MAX_REDIRECTS + 1):
            if not (found.keyed and target.trusts(url, adapter.hosts)):
                found_at = await self.outbound.download(
                    url,
                    tenant=call.tenant,
                    max_bytes=MAX_RESULT_BYTES,
                    seconds=DOWNLOAD_SECONDS,
                    idle_seconds=IDLE_SECONDS,
                )
                return found_at.data
            reply = await self.send(adapter, target, Outgoing("GET", url, seconds=DOWNLOAD_SECONDS), call.job_id)
            if isinstance(reply, Failure):
                raise DownloadError("no whole answer came", transient=True)
            if reply.status == 200:
                return reply.content
            if not (300 <= reply.status < 400 and reply.headers.get("location")):
                busy = reply.status >= 500 or reply.status in {408, 429}
                raise DownloadError(f"its server answered with status {reply.status}", transient=busy)
            url = urljoin(url, reply.headers["location"])
        raise DownloadError(f"it redirects more than {MAX_REDIRECTS} times")


def _checked(data: bytes, call: Call) -> tuple[images.Facts, bytes]:
    """The picture's facts, and the picture, in another format where the caller asked for one."""
    task = call.task
    drawing = svg.inspect(data) if svg.FORMAT in call.model.output_formats else None
    if drawing:
        return drawing, data
    try:
        facts = images.inspect(data, "image", images.RESULT_TYPES)
    except GatewayError:
        raise _unusable("The provider's answer is no whole PNG, JPEG, WebP or GIF image.") from None
    wanted = task.output_format
    if wanted in _NATIVE_ONLY or facts.media_type == f"image/{wanted}":
        return facts, data
    data = images.convert(data, wanted, task.output_compression if task.HasField("output_compression") else None)
    return images.inspect(data, "image"), data


def _video(stored: Stored) -> pb.MediaRef:
    """A reference without width and height."""
    return pb.MediaRef(key=stored.key, sha256=stored.sha256, media_type="video/mp4", size=stored.size)


def _unusable(message: str) -> GatewayError:
    return GatewayError(ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE, message)
