"""A port whose connections take a while, as those of a busy machine or a distant network."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS: Final = 0.5
"""Time from a connection's acceptance to the first byte that passes."""


@contextmanager
def slow_port(port: int) -> Iterator[int]:
    """Yield a port of 127.0.0.1 whose one connection goes to `port` after `SECONDS`."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_relay, args=(listener, port))
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _relay(listener: socket.socket, port: int) -> None:
    with suppress(OSError):
        client, _ = listener.accept()
        time.sleep(SECONDS)
        with client, socket.create_connection(("127.0.0.1", port)) as server:
            back = threading.Thread(target=_pass_on, args=(server, client))
            back.start()
            _pass_on(client, server)
            back.join()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
