"""Connection to a stream: requests to its leader, and its messages through one ordered consumer."""

from __future__ import annotations

import asyncio
import base64
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar

import nats.errors
import orjson
from imagegateway.jobs.ordered_consumer import OrderedConsumer
from imagegateway.jobs.stream_errors import OutcomeUnknownError
from imagegateway.jobs.stream_messages import Message
from imagegateway.platform import patience
from imagegateway.platform.readiness import ELECTION_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from imagegateway.platform.nats_client import Client
    from nats.js import JetStreamContext, api

_T = TypeVar("_T")
NAME: Final = "JOBS"
SUBJECTS: Final = "j.>"

REQUEST_SECONDS: Final = 2.0
PATIENCE_SECONDS: Final = ELECTION_SECONDS
"""Longest time in seconds in which a caller's read or write is repeated. An outage ends it."""
RETRY_PAUSE: Final = 0.2
IDLE_SECONDS: Final = 1.0
"""Seconds without a message after which the consumer is compared with the stream."""
_RESUBSCRIBE_SECONDS: Final = 0.2
_NO_MESSAGE: Final = 10037
"""JetStream's error code for a message that the stream does not have; a missing stream has another one."""
_ABSENT: Final = (10043, 10057)
"""Error codes of the deletion of a message that does not exist."""


class StreamConnection:
    """A stream, by default that of the jobs, as this process's NATS connection reaches it."""

    def __init__(
        self, client: Client, name: str = NAME, subjects: str = SUBJECTS, outage: asyncio.Event | None = None
    ) -> None:
        """`subjects`: those of the stream's messages, as a NATS wildcard.

        While `outage` is set, `patiently` makes one attempt.
        """
        self._client = client
        self._name = name
        self._subjects = subjects
        self._outage = outage or asyncio.Event()
        self.js: JetStreamContext = client.jetstream()

    @property
    def connected(self) -> bool:
        """True if the NATS connection is open."""
        return self._client.is_connected

    @property
    def max_payload(self) -> int:
        """Largest message that the server accepts, headers included, in bytes."""
        return self._client.max_payload

    @property
    def has_outage(self) -> bool:
        """True if the engine does not answer for too long: callers wait no more."""
        return self._outage.is_set()

    async def patiently(self, attempt: Callable[[], Awaitable[_T]]) -> _T:
        """Return the result of an idempotent attempt. Repeat the attempt while the engine does not answer.

        Raises OutcomeUnknownError after `PATIENCE_SECONDS`, and in an outage.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        return await patience.repeat(
            attempt, OutcomeUnknownError, lambda: self.has_outage or time.monotonic() >= deadline, RETRY_PAUSE
        )

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
        answer: dict[str, Any] = orjson.loads(message.data)
        return answer

    async def get_message(self, query: dict[str, Any]) -> Message | None:
        """Return the leader's message for a JetStream query; None: not found. Raises OutcomeUnknownError."""
        answer = await self.request(f"$JS.API.STREAM.MSG.GET.{self._name}", orjson.dumps(query))
        error = answer.get("error")
        if error is not None:
            if error.get("err_code") == _NO_MESSAGE:
                return None
            raise OutcomeUnknownError
        message = answer["message"]
        return Message(message["subject"], message["seq"], base64.b64decode(message.get("data", "")))

    async def delete_message(self, seq: int) -> None:
        """Delete a message, whose bytes the server overwrites, if it exists. Raises OutcomeUnknownError."""
        answer = await self.request(f"$JS.API.STREAM.MSG.DELETE.{self._name}", orjson.dumps({"seq": seq}))
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
            async with asyncio.timeout(REQUEST_SECONDS):
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
        consumer = await OrderedConsumer.open(self._client, self.js, self._name, self._subjects, after)
        try:
            while True:
                message = await consumer.next(IDLE_SECONDS)
                if message:
                    after = message.seq
                    yield message
                    continue
                if await self.newest() > after:
                    return
                # The consumer may run on a follower that lags: only the leader knows that nothing is pending.
                after = max(after, goal)
                yield after
        finally:
            with suppress(nats.errors.Error):
                await consumer.close()
