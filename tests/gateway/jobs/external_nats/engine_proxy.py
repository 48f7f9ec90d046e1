"""A NATS server of the test process, behind a relay that can withhold its responses from one router."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.support.stack import eventually, free_port, short_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

_SERVER: Final = Path(sys.executable).parent / "nats-server"
_NAME: Final = re.compile(rb'"name": ?"([^"]*)"')
_WRITE: Final = re.compile(rb"PUB j\.")


@dataclass(slots=True)
class Relay:
    """A TCP relay that can withhold the server's responses."""

    server: int
    listener: socket.socket
    held: str = ""
    """Name of the client without responses from its next write of a job on."""
    silenced: bool = False
    """True from that write on: new connections of the client get no responses, either."""
    released: threading.Event = field(default_factory=threading.Event)
    sockets: list[socket.socket] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.listener.getsockname()[1]}"

    def hold(self, client: str) -> None:
        """Withhold the responses to a client, from its next write of a job on."""
        self.released.clear()
        self.silenced = False
        self.held = client

    def release(self) -> None:
        """Pass everything on, withheld responses included."""
        self.held = ""
        self.released.set()

    def accept(self) -> None:
        """Serve until the listener is closed."""
        while True:
            try:
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.server))
            except OSError:
                return
            self.sockets += [client, server]
            silent = threading.Event()
            threading.Thread(target=self._forth, args=(client, server, silent), daemon=True).start()
            threading.Thread(target=self._back, args=(server, client, silent), daemon=True).start()

    def _forth(self, client: socket.socket, server: socket.socket, silent: threading.Event) -> None:
        name = ""
        with suppress(OSError):
            while data := client.recv(1 << 16):
                found = _NAME.search(data)
                if found and not name:
                    name = found[1].decode()
                if self.held and name == self.held and (self.silenced or _WRITE.search(data)):
                    self.silenced = True
                    silent.set()
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)

    def _back(self, server: socket.socket, client: socket.socket, silent: threading.Event) -> None:
        with suppress(OSError):
            while data := server.recv(1 << 16):
                if silent.is_set():
                    self.released.wait(60)
                    silent.clear()
                client.sendall(data)
            client.shutdown(socket.SHUT_WR)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@contextmanager
def relayed() -> Iterator[Relay]:
    """Run the server and the relay."""
    with ExitStack() as cleanup:
        folder = cleanup.enter_context(short_folder())
        port = free_port()
        configuration = folder / "nats.conf"
        configuration.write_text(
            f'listen: "127.0.0.1:{port}"\nlog_file: "{folder}/log"\nmax_payload: 8388608\n'
            f'jetstream {{ store_dir: "{folder}/store", sync_interval: always }}\n'
        )
        process = subprocess.Popen([_SERVER, "-c", configuration])
        cleanup.callback(process.wait, 30)
        cleanup.callback(process.terminate)
        eventually(lambda: _listens(port), 30, "the NATS server listens")
        listener = socket.create_server(("127.0.0.1", 0))
        relay = Relay(port, listener)
        thread = threading.Thread(target=relay.accept, daemon=True)
        thread.start()
        try:
            yield relay
        finally:
            relay.release()
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            thread.join()
            for opened in relay.sockets:
                opened.close()
