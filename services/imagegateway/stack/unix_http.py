"""HTTP over UNIX sockets, for the side servers of this stack's processes and for Envoy's administration."""

from __future__ import annotations

import http.client
import socket
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_SECONDS: Final = 2.0


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def request(path: Path, method: str, url: str) -> tuple[int, bytes]:
    """Send a request to the server of a UNIX socket. Return its status and body.

    Raises OSError without a complete response within 2 s.
    """
    connection = _Connection(path)
    try:
        connection.request(method, url)
        response = connection.getresponse()
        return response.status, response.read()
    except http.client.HTTPException as error:
        raise OSError(f"no response: {error!r}") from error
    finally:
        connection.close()
