"""Response stream: reads event streams, and stores and publishes the partial images in them at once."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from imagegateway.media.store import StoreUnavailable
from imagegateway.outbound import sse
from imagegateway.platform import logs
from imagegateway.platform.errors import GatewayError
from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.providers.kit.error_table import Failure, bad_response
from imagegateway.providers.kit.http_messages import HttpResponse
from imagegateway.providers.kit.outcomes import PARSE_ERRORS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from imagegateway.outbound.client import StreamingResponse
    from imagegateway.providers.kit.adapter import Adapter, StreamDecoder
    from imagegateway.providers.kit.call import Call
    from imagegateway.providers.kit.family import OnProgress
    from imagegateway.providers.kit.outcomes import Outcome, ResultMedia

    Store = Callable[[Call, ResultMedia], Awaitable[pb.Artifact]]

_log = logs.get(__name__)


@dataclass(slots=True)
class PartialImages:
    """Partial images of a task in the order of arrival, published through `on_progress`."""

    on_progress: OnProgress | None
    received: list[pb.PartialImage] = field(default_factory=list)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def add(self, partial_image: pb.PartialImage) -> None:
        """Add a partial image, and publish all so far."""
        async with self._lock:  # a task's calls run side by side
            self.received.append(partial_image)
            if self.on_progress is None:
                return
            try:
                await self.on_progress(pb.Running(partial_images=self.received))
            except Exception:  # noqa: BLE001  the listener is gone; the call goes on, as it is paid for
                _log.warning("partial_image_not_published", exc_info=True)
                self.on_progress = None


@dataclass(slots=True)
class ResponseReader:
    """Reader of the response to one submit: event by event where the adapter has a decoder, else whole."""

    adapter: Adapter
    call: Call
    store: Store
    partial_images: PartialImages
    receive: Callable[[StreamingResponse], Awaitable[HttpResponse]]
    """Receiver of a response that is no event stream."""
    decoder: StreamDecoder | None = None
    _parse_failure: Failure | None = None

    async def read(self, incoming: StreamingResponse) -> HttpResponse:
        """Return the response; an event stream has no content, and its events are in `decoder`, also if this raises.

        Raises as `StreamingResponse.chunks`.
        """
        head = HttpResponse(incoming.status, incoming.headers, b"")
        self.decoder = self.adapter.stream_decoder(self.call, head) if head.is_success else None
        if self.decoder is None:
            return await self.receive(incoming)
        parser = sse.Parser()
        async with aclosing(incoming.chunks()) as chunks:
            async for chunk in chunks:
                await self._decode(self.decoder, parser.feed(chunk))
        await self._decode(self.decoder, parser.end())
        return head

    def outcome(self, decoder: StreamDecoder, error: Failure | None) -> Outcome:
        """Return the outcome of the events; `error`: why they broke off. Raises one of PARSE_ERRORS."""
        return decoder.outcome(error or self._parse_failure)

    async def _decode(self, decoder: StreamDecoder, events: list[bytes]) -> None:
        for event in events:
            try:
                partial = decoder.decode(event)
            except PARSE_ERRORS as error:
                # A later event may hold an image that is paid for.
                _log.warning("upstream_unreadable", route=self.adapter.route, error=repr(error)[:200])
                self._parse_failure = bad_response("sent an event that can't be read.")
                continue
            if partial is None:
                continue
            try:
                stored = await self.store(self.call, partial.media)
            except (GatewayError, StoreUnavailable) as error:
                # The result, which is paid for, follows the partial image.
                _log.warning("partial_image_unusable", route=self.adapter.route, error=repr(error)[:200])
                continue
            await self.partial_images.add(pb.PartialImage(media=stored.media, index=partial.index))
