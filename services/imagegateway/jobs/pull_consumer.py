"""Pull consumer: a stream's messages in batches, each message until one replica acknowledges it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import nats.errors
import orjson
from imagegateway.jobs.stream_messages import Message, is_delivery, sequences

if TYPE_CHECKING:
    from imagegateway.platform.nats_client import Client
    from nats.aio.subscription import Subscription

_END_SECONDS: Final = 2.0
"""Seconds within which the end of a request must arrive."""
_ENDS: Final = (b"404", b"408")
"""Statuses of a request that has ended as expected."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message, and the subject of its acknowledgement."""

    message: Message
    reply: str


class PullConsumer:
    """Reader of a durable consumer."""

    def __init__(self, client: Client, stream: str, consumer: str) -> None:
        self._client = client
        self._next = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._inbox = client.new_inbox()
        self._subscription: Subscription | None = None
        self._arrived: list[Delivery] = []
        self._error = ""
        self._most = 0
        self._end: asyncio.Future[None] | None = None

    async def fetch(self, most: int) -> list[Delivery]:
        """Return the messages that wait at the server, at most `most`. Raises nats.errors.Error."""
        if self._subscription is None:
            self._subscription = await self._client.receive(self._inbox, self._receive)
        loop = asyncio.get_running_loop()
        self._most, self._error = most, ""
        self._end = loop.create_future()
        if len(self._arrived) < most:
            request = {"batch": most - len(self._arrived), "no_wait": True}
            await self._client.publish(self._next, orjson.dumps(request), self._inbox)
            timer = loop.call_later(_END_SECONDS, self._finish)
            try:
                await self._end
            finally:
                timer.cancel()
        arrived, self._arrived = self._arrived, []
        if self._error and not arrived:
            raise nats.errors.Error(self._error)
        return arrived

    async def acknowledge(self, delivery: Delivery) -> None:
        """Report to the server that a message is done. Raises nats.errors.Error."""
        await self._client.publish(delivery.reply)

    def _receive(self, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
        """Take in a message of the stream, or the status of a request."""
        if is_delivery(reply):
            self._arrived.append(Delivery(Message(subject.decode(), sequences(reply)[0], data), reply.decode()))
            if len(self._arrived) >= self._most:
                self._finish()
            return
        status = (headers or b"").partition(b"\r\n")[0].partition(b" ")[2]
        if not status.startswith(_ENDS):
            self._error = status.decode("latin-1")
        self._finish()

    def _finish(self) -> None:
        """Let `fetch` return the messages that have arrived."""
        if self._end and not self._end.done():
            self._end.set_result(None)
