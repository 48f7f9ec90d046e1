"""Answers that come in parts: read event by event, the previews in them kept and told of at once."""

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
from imagegateway.providers.kit.adapter import UNREADABLE, Reply
from imagegateway.providers.kit.error_table import Failure, bad_response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from imagegateway.outbound.client import Incoming
    from imagegateway.providers.kit.adapter import Adapter, Call, Found, Outcome, Reading
    from imagegateway.providers.kit.family import Tell

    Keep = Callable[[Call, Found], Awaitable[pb.Artifact]]

_log = logs.get(__name__)


@dataclass(slots=True)
class Previews:
    """All previews of a task, in the order in which they came. `tell` hears of each."""

    tell: Tell | None
    shown: list[pb.Preview] = field(default_factory=list)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def add(self, preview: pb.Preview) -> None:
        async with self._turn:  # a task's calls run side by side
            self.shown.append(preview)
            if self.tell is None:
                return
            try:
                await self.tell(pb.Running(partial_images=self.shown))
            except Exception:  # noqa: BLE001  whoever listened is gone; the call goes on, as it is paid for
                _log.warning("preview_not_told", exc_info=True)
                self.tell = None


@dataclass(slots=True)
class Listener:
    """Reads the answer to one submit: event by event where the adapter reads such, else the whole of it."""

    adapter: Adapter
    call: Call
    keep: Keep
    previews: Previews
    receive: Callable[[Incoming], Awaitable[Reply]]
    """Receives an answer that is no stream of events."""
    reading: Reading | None = None
    _unreadable: Failure | None = None

    async def read(self, incoming: Incoming) -> Reply:
        """Raises as `Incoming.chunks`: what had come until then is in `reading`."""
        head = Reply(incoming.status, incoming.headers, b"")
        self.reading = self.adapter.reading(self.call, head) if 200 <= head.status < 300 else None
        if self.reading is None:
            return await self.receive(incoming)
        parser = sse.Parser()
        async with aclosing(incoming.chunks()) as chunks:
            async for chunk in chunks:
                await self._take(self.reading, parser.feed(chunk))
        await self._take(self.reading, parser.end())
        return head

    def outcome(self, reading: Reading, broken: Failure | None) -> Outcome:
        """What the events came to; `broken` says how they broke off. Raises as `Adapter.read_submit`."""
        return reading.outcome(broken or self._unreadable)

    async def _take(self, reading: Reading, events: list[bytes]) -> None:
        for event in events:
            try:
                stage = reading.event(event)
            except UNREADABLE as error:
                # The events after it may hold a picture that is paid for.
                _log.warning("upstream_unreadable", route=self.adapter.route, error=repr(error)[:200])
                self._unreadable = bad_response("sent an event that can't be read.")
                continue
            if stage is None:
                continue
            try:
                kept = await self.keep(self.call, stage.found)
            except (GatewayError, StoreUnavailable) as error:
                # The result comes behind it, and is paid for.
                _log.warning("preview_unusable", route=self.adapter.route, error=repr(error)[:200])
                continue
            await self.previews.add(pb.Preview(media=kept.media, index=stage.index))
