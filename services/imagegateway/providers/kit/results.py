"""Results of providers: fetched at once, checked by their bytes, kept as they are."""

from __future__ import annotations

import asyncio
import io
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urljoin

from imagegateway.media import images, svg
from imagegateway.media.decoding import decoding_cost
from imagegateway.media.references import reference
from imagegateway.media.store_retry import retry_until_available
from imagegateway.outbound.client import MAX_REDIRECTS, DownloadError
from imagegateway.outbound.url_guard import OutboundError
from imagegateway.platform import logs
from imagegateway.platform.errors import GatewayError
from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.providers.kit.adapter import Outgoing, Reply
from imagegateway.providers.kit.error_table import Failure
from imagegateway.providers.kit.parsing import seed_of, text_of
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from imagegateway.media.decoding import DecodeGate
    from imagegateway.media.store import MediaStore, Stored, Upload
    from imagegateway.outbound.client import Incoming, Outbound, Write
    from imagegateway.providers.catalog import Model
    from imagegateway.providers.kit.adapter import Adapter, Call, Found
    from imagegateway.providers.kit.endpoints import Target
    from imagegateway.providers.kit.http_call import Sender

T = TypeVar("T")

MAX_IMAGE_BYTES: Final = 128 * 1024 * 1024
"""Largest image that is fetched; images are inspected in memory."""
MAX_VIDEO_BYTES: Final = 512 * 1024 * 1024
"""Largest video; videos go to the store in pieces."""
_MP4_HEAD: Final = 8
"""First bytes of an MP4: the length of its first box, and `ftyp`."""
DOWNLOAD_SECONDS: Final = 900.0
"""Longest that a result may take to arrive; `IDLE_SECONDS` ends one that stands still."""
IDLE_SECONDS: Final = 60.0
_DOWNLOAD_TRIES: Final = 4
_NATIVE_ONLY: Final = frozenset({"", "gif", svg.FORMAT})
"""Wanted formats that only the provider can make: whatever it made is kept."""
_log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Results:
    """Takes results in. `sender` calls the provider itself, for results that want its key."""

    outbound: Outbound
    store: MediaStore
    gate: DecodeGate
    sender: Sender
    sleep: Callable[[float], Any]

    async def keep(
        self, adapter: Adapter, target: Target, call: Call, found: Found, store_seconds: float = 0.0
    ) -> pb.Artifact:
        """Fetch and store one result. `store_seconds`: how long a store that is away is waited for.

        Raises GatewayError PROVIDER_BAD_RESPONSE for what can't be used, StoreUnavailable.
        """
        if call.model.modality == "video":
            # A store that is away is tried again from the provider on: nothing holds a whole video.
            store = partial(self._try_often, partial(self._store_video, adapter, target, call, found), "video")
            media = _video(await retry_until_available(store, seconds=store_seconds, sleep=self.sleep))
        else:
            data = found.data
            if data is None:
                data = await self._try_often(partial(self._download, adapter, target, call, found), "image")
            facts, data = await self._as_wanted(data, call)
            put = partial(self.store.put_result, data)
            stored = await retry_until_available(put, seconds=store_seconds, sleep=self.sleep)
            media = reference(stored, facts)
        return pb.Artifact(
            media=media,
            # What can't be passed on is no reason to lose a picture that is paid for.
            revised_prompt=text_of(found.revised_prompt),
            seed=seed_of(found.seed),
        )

    async def _as_wanted(self, data: bytes, call: Call) -> tuple[images.Facts, bytes]:
        """Return an image's facts and the image, in the format that the caller asked for."""
        facts = await asyncio.to_thread(_inspect, data, call.model)
        task = call.task
        wanted = task.output_format
        if wanted in _NATIVE_ONLY or facts.media_type in {f"image/{wanted}", svg.MEDIA_TYPE}:
            return facts, data
        compression = task.output_compression if task.HasField("output_compression") else None

        def convert() -> tuple[images.Facts, bytes]:
            converted = images.convert(data, wanted, compression)
            return images.inspect(converted, "image"), converted

        # Without a time limit: the image is paid for.
        cost = decoding_cost(facts.width, facts.height, len(data), facts.media_type)
        async with self.gate.admit(cost, tenant=call.tenant):
            return await self.gate.run(convert)

    async def _try_often(self, fetch: Callable[[], Awaitable[T]], modality: str) -> T:
        """Fetch a result, four times at most. Raises GatewayError PROVIDER_BAD_RESPONSE."""
        for attempt in range(1, _DOWNLOAD_TRIES + 1):
            try:
                return await fetch()
            except OutboundError as error:
                if not error.transient or attempt == _DOWNLOAD_TRIES:
                    _log.warning("result_download_failed", reason=error.reason)
                    raise _unusable(f"The provider's {modality} can't be fetched.") from None
            await self.sleep(0.5 * 2**attempt)
        raise AssertionError("unreachable")

    async def _download(self, adapter: Adapter, target: Target, call: Call, found: Found) -> bytes:
        """Return an image's bytes."""
        body = io.BytesIO()

        async def write(piece: bytes) -> None:
            body.write(piece)

        await self._fetch(adapter, target, call, found, write, max_bytes=MAX_IMAGE_BYTES)
        return body.getvalue()

    async def _store_video(self, adapter: Adapter, target: Target, call: Call, found: Found) -> Stored:
        """Store a video as it arrives, from its first bytes on that say that it is one."""
        async with self.store.result(MAX_VIDEO_BYTES) as upload:
            video = _VideoSink(upload)
            if found.data is None:
                await self._fetch(adapter, target, call, found, video.write, max_bytes=MAX_VIDEO_BYTES)
            else:
                await video.write(found.data)
            return await video.finish()

    async def _fetch(
        self, adapter: Adapter, target: Target, call: Call, found: Found, write: Write, *, max_bytes: int
    ) -> None:
        """Hand on a result's bytes as they come: with a key while the hosts are trusted, from the first other host on
        under the guard.
        """

        async def read(incoming: Incoming) -> Reply:
            if incoming.status != 200:
                return Reply(incoming.status, incoming.headers, b"")
            async with aclosing(incoming.chunks()) as chunks:
                async for chunk in chunks:
                    await write(chunk)
            return Reply(incoming.status, incoming.headers, b"")

        url = target.url(found.url)
        for _ in range(MAX_REDIRECTS + 1):
            if not (found.keyed and target.trusts(url, adapter.hosts)):
                await self.outbound.stream(
                    url,
                    write,
                    tenant=call.tenant,
                    max_bytes=max_bytes,
                    seconds=DOWNLOAD_SECONDS,
                    idle_seconds=IDLE_SECONDS,
                )
                return
            outgoing = Outgoing("GET", url, seconds=DOWNLOAD_SECONDS)
            reply = await self.sender.send(adapter, target, outgoing, call.job_id, read, max_bytes=max_bytes)
            if isinstance(reply, Failure):
                raise DownloadError("no whole answer came", transient=True)
            if reply.status == 200:
                return
            if not (300 <= reply.status < 400 and reply.headers.get("location")):
                busy = reply.status >= 500 or reply.status in {408, 429}
                raise DownloadError(f"its server answered with status {reply.status}", transient=busy)
            url = urljoin(url, reply.headers["location"])
        raise DownloadError(f"it redirects more than {MAX_REDIRECTS} times")


class _VideoSink:
    """A video on its way into the store.

    Raises GatewayError PROVIDER_BAD_RESPONSE unless its first bytes are an MP4's.
    """

    def __init__(self, upload: Upload) -> None:
        self._upload = upload
        self._head = b""
        """The first bytes, until there are enough to tell; pieces may be of any length."""
        self._checked = False

    async def write(self, piece: bytes) -> None:
        if not self._checked:
            piece = self._head + piece
            if len(piece) < _MP4_HEAD:
                self._head = piece
                return
            if piece[4:8] != b"ftyp":
                raise _no_mp4()
            self._checked = True
        await self._upload.write(piece)

    async def finish(self) -> Stored:
        if not self._checked:
            raise _no_mp4()
        return await self._upload.finish()


def _inspect(data: bytes, model: Model) -> images.Facts:
    """Return the facts of a provider's image. Raises GatewayError PROVIDER_BAD_RESPONSE."""
    drawing = svg.inspect(data) if svg.FORMAT in model.output_formats else None
    if drawing:
        return drawing
    try:
        return images.inspect(data, "image", images.RESULT_TYPES)
    except GatewayError:
        raise _unusable("The provider's answer is no whole PNG, JPEG, WebP or GIF image.") from None


def _video(stored: Stored) -> pb.MediaRef:
    """A reference without width and height."""
    return pb.MediaRef(key=stored.key, sha256=stored.sha256, media_type="video/mp4", size=stored.size)


def _no_mp4() -> GatewayError:
    return _unusable("The provider's video is no MP4.")


def _unusable(message: str) -> GatewayError:
    return GatewayError(ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE, message)
