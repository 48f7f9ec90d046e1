"""Calls of commands to the gateway by gRPC."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

import grpc
from imagegateway.admin.v1 import admin_service_pb2 as pb
from imagegateway.admin.v1 import admin_service_pb2_grpc as pb_grpc

from tests.support import command

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS: Final = 0.5
"""Time that the gateway takes for a connection: less than a busy machine, more than a round trip of TLS."""


class Keys(pb_grpc.AdminServiceServicer):
    """Administration without keys."""

    def ListKeys(self, request: pb.ListKeysRequest, context: grpc.ServicerContext) -> pb.ListKeysResponse:
        return pb.ListKeysResponse(object="list")


def pipe(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@contextmanager
def slow_gateway() -> Iterator[str]:
    """Yield the URL of a gateway that takes a while for its one connection."""
    server = grpc.server(ThreadPoolExecutor(1))
    pb_grpc.add_AdminServiceServicer_to_server(Keys(), server)  # type: ignore[no-untyped-call]  # no stubs
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def relay() -> None:
            client, _ = listener.accept()
            time.sleep(SECONDS)
            with client, socket.create_connection(("127.0.0.1", port)) as connected:
                back = threading.Thread(target=pipe, args=(connected, client))
                back.start()
                pipe(client, connected)
                back.join()

        thread = threading.Thread(target=relay)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.stop(None).wait()
            thread.join()


def test_command_waits_for_a_gateway_that_is_slow_to_connect() -> None:
    with slow_gateway() as url:
        done = command.run("keys", "list", "--json", url=url, key="k" * 20)
    assert (done.returncode, done.stderr) == (0, "")
