"""Result store: fetches providers' results at once, checks their bytes, and stores them unchanged."""

from __future__ import annotations

import io
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urljoin

from imagegateway.media import images, svg
from imagegateway.media.decoding import decoding_cost
from imagegateway.media.objects import ResultOwner
from imagegateway.media.store_retry import retry_until_available
from imagegateway.outbound.client import MAX_REDIRECTS, DownloadError
from imagegateway.outbound.url_guard import OutboundError
from imagegateway.platform import logs
from imagegateway.platform.cpu_work import run_sized
from imagegateway.platform.errors import GatewayError
from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.providers.catalog import Modality
from imagegateway.providers.kit.error_table import Failure
from imagegateway.providers.kit.http_messages import HttpRequest, HttpResponse
from imagegateway.providers.kit.parsing import parse_seed, parse_text
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from imagegateway.media.decoding import DecodeBudget
    from imagegateway.media.objects import MediaObject
    from imagegateway.media.store import MediaStore, Upload
    from imagegateway.outbound.client import Outbound, StreamingResponse, Write
    from imagegateway.providers.catalog import Model
    from imagegateway.providers.kit.adapter import Adapter
    from imagegateway.providers.kit.call import Call
    from imagegateway.providers.kit.endpoints import Endpoint
    from imagegateway.providers.kit.http_call import HttpSender
    from imagegateway.providers.kit.outcomes import ResultMedia

T = TypeVar("T")

MAX_IMAGE_BYTES: Final = 128 * 1024 * 1024
"""Largest image that is fetched; images are inspected in memory."""
MAX_VIDEO_BYTES: Final = 512 * 1024 * 1024
"""Largest video; videos go to the store in pieces."""
_MP4_HEAD: Final = 8
"""First bytes of an MP4: the length of its first box, and `ftyp`."""
DOWNLOAD_SECONDS: Final = 900.0
"""Longest time for a download, in seconds; `IDLE_SECONDS` ends one without progress."""
IDLE_SECONDS: Final = 60.0
_DOWNLOAD_ATTEMPTS: Final = 4
_NATIVE_ONLY: Final = frozenset({"", "gif", svg.FORMAT})
"""Requested formats that only the provider can make: its result is stored whatever its format."""
_log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class ResultStore:
    """Store of results. `sender` calls the provider itself, for results that require its key."""

    outbound: Outbound
    store: MediaStore
    decode_budget: DecodeBudget
    sender: HttpSender
    sleep: Callable[[float], Any]

    async def save(
        self, adapter: Adapter, endpoint: Endpoint, call: Call, result: ResultMedia, store_seconds: float = 0.0
    ) -> pb.Artifact:
        """Fetch and store one result; an unavailable store is retried for `store_seconds`.

        Raises GatewayError PROVIDER_BAD_RESPONSE for an unusable result, StoreUnavailable.
        """
        if call.model.modality == Modality.VIDEO:
            # A retry for an unavailable store begins at the provider: nothing holds a whole video.
            store = partial(self._with_retries, partial(self._store_video, adapter, endpoint, call, result), "video")
            media = _video(await retry_until_available(store, seconds=store_seconds, sleep=self.sleep))
        else:
            data = result.data
            if data is None:
                data = await self._with_retries(
                    partial(self._download_image, adapter, endpoint, call, result), "image"
                )
            facts, data = await self._converted(data, call)
            put = partial(self.store.put_result, data, ResultOwner.of(call.job_id, call.task))
            stored = await retry_until_available(put, seconds=store_seconds, sleep=self.sleep)
            media = stored.reference(facts)
        return pb.Artifact(
            media=media,
            # A malformed value must not lose an image that is paid for.
            revised_prompt=parse_text(result.revised_prompt),
            seed=parse_seed(result.seed),
        )

    async def _converted(self, data: bytes, call: Call) -> tuple[images.ImageInfo, bytes]:
        """Return an image's facts and its bytes, in the format that the caller requested."""
        facts = await run_sized(len(data), partial(_inspect, data, call.model))
        task = call.task
        wanted = task.output_format
        if wanted in _NATIVE_ONLY or facts.media_type in {f"image/{wanted}", svg.MEDIA_TYPE}:
            return facts, data
        compression = task.output_compression if task.HasField("output_compression") else None

        def convert() -> tuple[images.ImageInfo, bytes]:
            converted = images.convert(data, wanted, compression)
            return images.inspect(converted, "image"), converted

        # Without a time limit: the image is paid for.
        cost = decoding_cost(facts.width, facts.height, len(data), facts.media_type)
        async with self.decode_budget.admit(cost, tenant=call.tenant):
            return await self.decode_budget.run(convert)

    async def _with_retries(self, fetch: Callable[[], Awaitable[T]], modality: str) -> T:
        """Return what `fetch` returns, within four attempts. Raises GatewayError PROVIDER_BAD_RESPONSE."""
        for attempt in range(1, _DOWNLOAD_ATTEMPTS + 1):
            try:
                return await fetch()
            except OutboundError as error:
                if not error.transient or attempt == _DOWNLOAD_ATTEMPTS:
                    _log.warning("result_download_failed", reason=error.reason)
                    raise _unusable(f"The provider's {modality} can't be fetched.") from None
            await self.sleep(0.5 * 2**attempt)
        raise AssertionError("unreachable")

    async def _download_image(self, adapter: Adapter, endpoint: Endpoint, call: Call, result: ResultMedia) -> bytes:
        """Return an image's bytes."""
        body = io.BytesIO()

        async def write(piece: bytes) -> None:
            body.write(piece)

        await self._download(adapter, endpoint, call, result, write, max_bytes=MAX_IMAGE_BYTES)
        return body.getvalue()

    async def _store_video(
        self, adapter: Adapter, endpoint: Endpoint, call: Call, result: ResultMedia
    ) -> MediaObject:
        """Store a video as it arrives, once its first bytes are those of an MP4."""
        async with self.store.result(MAX_VIDEO_BYTES, ResultOwner.of(call.job_id, call.task)) as upload:
            sink = _VideoSink(upload)
            if result.data is None:
                await self._download(adapter, endpoint, call, result, sink.write, max_bytes=MAX_VIDEO_BYTES)
            else:
                await sink.write(result.data)
            return await sink.finish()

    async def _download(
        self, adapter: Adapter, endpoint: Endpoint, call: Call, result: ResultMedia, write: Write, *, max_bytes: int
    ) -> None:
        """Pass a result's bytes to `write` as they arrive.

        Redirects keep the key as long as their hosts are trusted; from the first other host on the URL guard applies.
        Raises DownloadError.
        """

        async def read(incoming: StreamingResponse) -> HttpResponse:
            if incoming.status != 200:
                return HttpResponse(incoming.status, incoming.headers, b"")
            async with aclosing(incoming.chunks()) as chunks:
                async for chunk in chunks:
                    await write(chunk)
            return HttpResponse(incoming.status, incoming.headers, b"")

        url = endpoint.url(result.url)
        for _ in range(MAX_REDIRECTS + 1):
            if not (result.needs_credentials and endpoint.trusts(url, adapter.trusted_hosts)):
                await self.outbound.stream(
                    url,
                    write,
                    tenant=call.tenant,
                    max_bytes=max_bytes,
                    seconds=DOWNLOAD_SECONDS,
                    idle_seconds=IDLE_SECONDS,
                )
                return
            request = HttpRequest("GET", url, timeout_seconds=DOWNLOAD_SECONDS)
            response = await self.sender.send(adapter, endpoint, request, call.job_id, read, max_bytes=max_bytes)
            if isinstance(response, Failure):
                raise DownloadError("no whole answer came", transient=True)
            if response.status == 200:
                return
            if not (300 <= response.status < 400 and response.headers.get("location")):
                busy = response.status >= 500 or response.status in {408, 429}
                raise DownloadError(f"its server answered with status {response.status}", transient=busy)
            url = urljoin(url, response.headers["location"])
        raise DownloadError(f"it redirects more than {MAX_REDIRECTS} times")


class _VideoSink:
    """Sink that checks a video on its way into the store.

    Raises GatewayError PROVIDER_BAD_RESPONSE unless its first bytes are an MP4's.
    """

    def __init__(self, upload: Upload) -> None:
        self._upload = upload
        self._head = b""
        """First bytes, until there are enough to check; pieces may have any length."""
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

    async def finish(self) -> MediaObject:
        if not self._checked:
            raise _no_mp4()
        return await self._upload.finish()


def _inspect(data: bytes, model: Model) -> images.ImageInfo:
    """Return the facts of a provider's image. Raises GatewayError PROVIDER_BAD_RESPONSE."""
    drawing = svg.inspect(data) if svg.FORMAT in model.output_formats else None
    if drawing:
        return drawing
    try:
        return images.inspect(data, "image", images.RESULT_TYPES)
    except GatewayError:
        raise _unusable("The provider's answer is no whole PNG, JPEG, WebP or GIF image.") from None


def _video(stored: MediaObject) -> pb.MediaRef:
    """Return a video's reference, without width and height."""
    return pb.MediaRef(key=stored.key, sha256=stored.sha256, media_type="video/mp4", size=stored.size)


def _no_mp4() -> GatewayError:
    return _unusable("The provider's video is no MP4.")


def _unusable(message: str) -> GatewayError:
    return GatewayError(ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE, message)
