"""Calls of commands to the gateway by gRPC."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import grpc
from imagegateway.admin.v1 import admin_service_pb2 as pb

from tests.support import command
from tests.support.slow_connection import slow_port

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def gateway() -> Iterator[int]:
    """Yield the port of an AdminService that lists no key."""
    server = grpc.server(ThreadPoolExecutor(1))
    list_keys = grpc.unary_unary_rpc_method_handler(
        lambda _request, _context: pb.ListKeysResponse(object="list"),
        request_deserializer=pb.ListKeysRequest.FromString,
        response_serializer=pb.ListKeysResponse.SerializeToString,
    )
    service = pb.DESCRIPTOR.services_by_name["AdminService"].full_name
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {"ListKeys": list_keys})])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait()


def test_command_waits_for_a_gateway_that_is_slow_to_connect() -> None:
    with gateway() as port, slow_port(port) as slow:
        done = command.run("keys", "list", url=f"http://127.0.0.1:{slow}", key="k" * 20)
    assert (done.returncode, done.stderr) == (0, "")
