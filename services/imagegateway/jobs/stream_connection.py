"""Connection to a stream: requests to its leader, and its messages through one ordered consumer."""

from __future__ import annotations

import asyncio
import base64
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import nats.errors
from imagegateway.jobs.stream_errors import OutcomeUnknownError
from imagegateway.jobs.stream_messages import Message
from nats.js import api

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nats.aio.client import Client
    from nats.js import JetStreamContext

NAME: Final = "JOBS"
SUBJECTS: Final = "j.>"

REQUEST_SECONDS: Final = 2.0
IDLE_SECONDS: Final = 1.0
"""Seconds without a message after which the consumer is compared with the stream."""
_RESUBSCRIBE_SECONDS: Final = 0.2
_NO_MESSAGE: Final = 10037
"""JetStream's error code for a message that the stream does not have; a missing stream has another one."""
_ABSENT: Final = (10043, 10057)
"""Error codes of the deletion of a message that does not exist."""


class StreamConnection:
    """A stream, by default that of the jobs, as this process's NATS connection reaches it."""

    def __init__(self, client: Client, name: str = NAME, subjects: str = SUBJECTS) -> None:
        """`subjects`: those of the stream's messages, as a NATS wildcard."""
        self._client = client
        self._name = name
        self._subjects = subjects
        self.js: JetStreamContext = client.jetstream()

    @property
    def connected(self) -> bool:
        """True if the NATS connection is open."""
        return self._client.is_connected

    @property
    def max_payload(self) -> int:
        """Largest message that the server accepts, headers included, in bytes."""
        return self._client.max_payload

    async def request(
        self, subject: str, data: bytes, headers: dict[str, str] | None = None, seconds: float | None = None
    ) -> dict[str, Any]:
        """Send a message and return the server's JSON answer. `seconds`: timeout, 2 s by default.

        Raises OutcomeUnknownError.
        """
        if not self.connected:
            raise OutcomeUnknownError
        timeout = REQUEST_SECONDS if seconds is None else seconds
        try:
            message = await self._client.request(subject, data, timeout=timeout, headers=headers)
        except (nats.errors.Error, OSError) as error:
            raise OutcomeUnknownError from error
        answer: dict[str, Any] = json.loads(message.data)
        return answer

    async def get_message(self, query: dict[str, Any]) -> Message | None:
        """Return the leader's message for a JetStream query; None: not found. Raises OutcomeUnknownError."""
        answer = await self.request(f"$JS.API.STREAM.MSG.GET.{self._name}", json.dumps(query).encode())
        error = answer.get("error")
        if error is not None:
            if error.get("err_code") == _NO_MESSAGE:
                return None
            raise OutcomeUnknownError
        message = answer["message"]
        return Message(message["subject"], message["seq"], base64.b64decode(message.get("data", "")))

    async def delete_message(self, seq: int) -> None:
        """Delete a message, whose bytes the server overwrites, if it exists. Raises OutcomeUnknownError."""
        answer = await self.request(f"$JS.API.STREAM.MSG.DELETE.{self._name}", json.dumps({"seq": seq}).encode())
        error = answer.get("error")
        if error is not None and error.get("err_code") not in _ABSENT:
            raise OutcomeUnknownError

    async def newest(self) -> int:
        """Return the sequence of the newest message that the stream keeps; 0: none. Raises OutcomeUnknownError."""
        message = await self.get_message({"last_by_subj": self._subjects})
        return message.seq if message else 0

    async def last_sequence(self) -> int:
        """Return the stream's last sequence, also where its message has expired. Raises OutcomeUnknownError."""
        return (await self._state()).last_seq

    async def used_bytes(self) -> int:
        """Return the stream's size in bytes. Raises OutcomeUnknownError."""
        return (await self._state()).bytes

    async def _state(self) -> api.StreamState:
        try:
            return (await self.js.stream_info(self._name)).state
        except (nats.errors.Error, OSError) as error:
            raise OutcomeUnknownError from error

    async def messages(self, after: int) -> AsyncIterator[Message | int]:
        """Yield all messages after a sequence, in order, without gaps and without end.

        A bare number means that every message up to this sequence has been seen. A consumer that goes silent is
        compared with the stream and replaced, so the iteration survives a restart of the server.
        """
        while True:
            with suppress(nats.errors.Error, OutcomeUnknownError, OSError):
                async for item in self._consume(after):
                    after = item if isinstance(item, int) else item.seq
                    yield item
            await asyncio.sleep(_RESUBSCRIBE_SECONDS)

    async def _consume(self, after: int) -> AsyncIterator[Message | int]:
        goal = await self.newest()
        subscription = await self.js.subscribe(
            self._subjects,
            stream=self._name,
            ordered_consumer=True,
            config=api.ConsumerConfig(deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=after + 1),
        )
        try:
            while True:
                try:
                    message = await subscription.next_msg(timeout=IDLE_SECONDS)
                except nats.errors.TimeoutError:
                    if await self.newest() > after:
                        return
                    # The consumer may run on a follower that lags: only the leader knows that nothing is pending.
                    after = max(after, goal)
                    yield after
                    continue
                seq = message.metadata.sequence.stream
                if seq > after:  # a lower sequence: nats-py has restarted the consumer from the first record
                    after = seq
                    yield Message(message.subject, seq, message.data)
        finally:
            with suppress(nats.errors.Error):
                await subscription.unsubscribe()
