"""NATS client: nats-py's, with requests and subscriptions that need no task, queue or message copy of their own.

nats-py keeps connection, TLS, reconnection and subscriptions. The overridden methods are private there: the lock file
pins the version, and `tests/jobs/test_nats_client.py` fails where a new one no longer calls them.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any, TypeAlias, Unpack

import nats.errors
from nats.aio import client as nats_py

if TYPE_CHECKING:
    from collections.abc import Callable

    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription

    _Received: TypeAlias = tuple[bytes, bytes, bytes, bytes | None]
    """Subject, reply subject, data, and the block of headers of a message; None: no headers."""
    Receiver: TypeAlias = Callable[[Unpack[_Received]], None]


class Client(nats_py.Client):
    """Client of one connection."""

    def __init__(self) -> None:
        super().__init__()
        self._receivers: dict[int, Receiver] = {}
        """Receivers by the id of their subscription."""
        self._inbox = ""
        """Start of the subjects of answers."""
        self._numbers = count()
        self._is_write_due = False
        """True while requests of this turn of the event loop wait for `_write_pending`."""
        self._waiting: dict[bytes, asyncio.Future[_Received | None]] = {}
        """Requests without an answer, by the last token of its subject."""

    async def receive(self, subject: str, receiver: Receiver) -> Subscription:
        """Subscribe. `receiver` gets each message at once, in the task that reads the connection.

        Raises nats.errors.Error.
        """
        subscription = await self.subscribe(subject)
        self._receivers[subscription._id] = receiver
        return subscription

    async def close(self) -> None:
        """Close the connection. Between two connections, drop the commands that wait for the next one."""
        if not self.is_connected:
            self._pending = []
            self._pending_data_size = 0
        await super().close()

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        """Use TLS with a server whose URL has the scheme `tls`, also where the server only offers TLS.

        nats-py follows the server alone, and would send the credentials in clear text. Raises SecureConnWantedError.
        """
        server = self._current_server
        if initial_connection and server and server.uri.scheme == "tls" and not info.get("tls_required"):
            if not info.get("tls_available"):
                raise nats.errors.SecureConnWantedError
            info["tls_required"] = True
        await super()._process_info(info, initial_connection)

    async def _request_new_style(
        self,
        subject: str,
        payload: bytes,
        timeout: float = 1,  # noqa: ASYNC109  the name is nats-py's
        headers: dict[str, Any] | None = None,
    ) -> Msg:
        """Send a request, and return the answer. `timeout` in seconds. Raises nats.errors.Error."""
        if not self._inbox:
            self._inbox = f"{self.new_inbox()}."
            await self.receive(f"{self._inbox}*", self._on_answer)
        number = str(next(self._numbers))
        token = number.encode()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[_Received | None] = loop.create_future()
        self._waiting[token] = answer
        timer = loop.call_later(timeout, _expire, answer)
        try:
            await self._send(subject, self._inbox + number, payload, headers)
            received = await answer
        finally:
            timer.cancel()
            del self._waiting[token]
        if received is None:
            raise nats.errors.TimeoutError
        answered, reply, data, header_block = received
        message: Msg = self._build_message(0, answered, reply, data, await self._process_headers(header_block))
        return message

    async def _send(self, subject: str, reply: str, payload: bytes, headers: dict[str, Any] | None) -> None:
        """Publish a request, whose subjects and headers are the gateway's own: `publish` checks each by patterns.

        Raises nats.errors.Error.
        """
        if not self.is_connected or len(payload) > self.max_payload:
            await self.publish(subject, payload, reply, headers)  # buffers, or raises the error
            return
        block = b""
        if headers:
            lines = "".join(f"{': '.join(header)}\r\n" for header in headers.items())  # nats-py names some by an enum
            block = f"NATS/1.0\r\n{lines}\r\n".encode()
            verb, sizes = "HPUB", f"{len(block)} {len(block) + len(payload)}"
        else:
            verb, sizes = "PUB", str(len(payload))
        command = b"%b%b%b\r\n" % (f"{verb} {subject} {reply} {sizes}\r\n".encode(), block, payload)
        self._pending.append(command)
        self._pending_data_size += len(command)
        if not self._is_write_due:
            self._is_write_due = True
            asyncio.get_running_loop().call_soon(self._write_pending)

    def _write_pending(self) -> None:
        """Write the commands of one turn of the event loop together: each write wakes the server."""
        self._is_write_due = False
        if self._pending and self.is_connected and self._transport:
            with suppress(OSError, RuntimeError):  # the connection has just ended: the next one sends them
                self._transport.write(b"".join(self._pending))
                self._pending = []
                self._pending_data_size = 0

    def _on_answer(self, *received: *_Received) -> None:
        answer = self._waiting.get(received[0][len(self._inbox) :])
        if answer and not answer.done():
            answer.set_result(received)

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        receiver = self._receivers.get(sid)
        if receiver is None:
            await super()._process_msg(sid, subject, reply, data, headers)
        else:
            receiver(subject, reply, data, headers or None)

    def _remove_sub(self, sid: int, max_msgs: int = 0) -> None:
        super()._remove_sub(sid, max_msgs)
        self._receivers.pop(sid, None)


def _expire(answer: asyncio.Future[_Received | None]) -> None:
    if not answer.done():
        answer.set_result(None)
