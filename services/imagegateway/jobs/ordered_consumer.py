"""Ordered consumer: the messages of a stream after a sequence, in order and without gaps."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

import nats.errors
from imagegateway.jobs.stream_messages import Message, is_delivery, sequences
from nats.js import api

if TYPE_CHECKING:
    from imagegateway.platform.nats_client import Client
    from nats.aio.subscription import Subscription
    from nats.js import JetStreamContext

_HEARTBEAT_SECONDS: Final = 5.0
"""Pause after which the server sends a heartbeat: flow control needs them."""
_STALLED: Final = b"\r\nNats-Consumer-Stalled: "
"""Header of a heartbeat from a server that waits for the answer of a request for flow control."""


class OrderedConsumer:
    """Ephemeral push consumer. The server removes it when nothing subscribes to its messages.

    The server sends more messages only after the reader has taken the earlier ones (flow control).
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._subscription: Subscription | None = None
        self._arrived: deque[Message | str] = deque()
        """Messages, and the subjects of requests for flow control: each is answered after the messages before it."""
        self._delivered = 0
        self._has_gap = False
        self._wake: asyncio.Future[bool] | None = None
        """Result: True for a message, False for the end of the wait."""

    @classmethod
    async def open(
        cls, client: Client, js: JetStreamContext, stream: str, subjects: str, after: int
    ) -> OrderedConsumer:
        """Consume a stream's messages after a sequence. Raises nats.errors.Error."""
        consumer = cls(client)
        inbox = client.new_inbox()
        consumer._subscription = await client.receive(inbox, consumer._receive)
        config = api.ConsumerConfig(
            deliver_subject=inbox,
            deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=after + 1,
            filter_subject=subjects,
            ack_policy=api.AckPolicy.NONE,
            max_deliver=1,
            flow_control=True,
            idle_heartbeat=_HEARTBEAT_SECONDS,
            num_replicas=1,
            mem_storage=True,
        )
        try:
            await js.add_consumer(stream, config)
        except BaseException:
            await consumer.close()
            raise
        return consumer

    async def next(self, seconds: float) -> Message | None:
        """Return the next message; None after `seconds` without one.

        Raises nats.errors.Error where a message is missing, or the connection is closed.
        """
        loop = asyncio.get_running_loop()
        while True:
            while self._arrived:
                item = self._arrived.popleft()
                if isinstance(item, Message):
                    return item
                await self._client.publish(item)
            if self._has_gap:
                raise nats.errors.Error("a message of the stream is missing")
            self._wake = loop.create_future()
            timer = loop.call_later(seconds, self._notify, False)
            try:
                has_arrived = await self._wake
            finally:
                timer.cancel()
            if not has_arrived and not self._arrived:
                return None

    async def close(self) -> None:
        """End the subscription. Raises nats.errors.Error."""
        if self._subscription:
            await self._subscription.unsubscribe()

    def _receive(self, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
        """Take in a message of the subscription: one of the stream, or one about the consumer."""
        if not is_delivery(reply):
            _, stalled, rest = (headers or b"").partition(_STALLED)
            answer = rest.partition(b"\r\n")[0] if stalled else reply
            if answer:
                self._arrived.append(answer.decode())
        elif not self._has_gap:
            seq, number = sequences(reply)
            self._delivered += 1
            self._has_gap = number != self._delivered
            if not self._has_gap:
                self._arrived.append(Message(subject.decode(), seq, data))
        self._notify(True)

    def _notify(self, has_arrived: bool) -> None:
        if self._wake and not self._wake.done():
            self._wake.set_result(has_arrived)
