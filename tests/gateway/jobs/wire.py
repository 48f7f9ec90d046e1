"""Jobs over native gRPC: on the public port, or on the socket of one router."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, cast

import grpc
from google.protobuf.json_format import ParseDict
from imagegateway.v1 import image_service_pb2 as pb
from imagegateway.v1 import image_service_pb2_grpc as pb_grpc

from tests.gateway.cases import read_status
from tests.gateway.rest import SMALL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.gateway.cases import Failure
    from tests.gateway.jobs.calls import Caller

SECONDS: Final = 60
Metadata = tuple[tuple[str, str], ...]


def metadata(caller: Caller, **more: str) -> Metadata:
    """Return authorization and more metadata; `_` in names becomes `-`."""
    return (
        ("authorization", f"Bearer {caller.key}"),
        *((name.replace("_", "-"), text) for name, text in more.items()),
    )


@contextmanager
def public(caller: Caller) -> Iterator[pb_grpc.ImageServiceStub]:
    """Yield a stub of the service on the public port."""
    with grpc.insecure_channel(caller.stack.address) as channel:
        yield pb_grpc.ImageServiceStub(channel)


@contextmanager
def router(caller: Caller, index: int) -> Iterator[pb_grpc.ImageServiceStub]:
    """Yield a stub of one router's service on its socket."""
    with grpc.insecure_channel(f"unix:{caller.stack.socket(f'router-{index}')}") as channel:
        yield pb_grpc.ImageServiceStub(channel)


def small(**fields: Any) -> pb.GenerateRequest:
    """Return a small generation; `fields` as in JSON."""
    return ParseDict({**SMALL, **fields}, pb.GenerateRequest())


def submit(stub: pb_grpc.ImageServiceStub, caller: Caller, delay: float = 0, **fields: Any) -> str:
    """Start a job and return its id."""
    options = {"provider_options": {"delay": delay}} if delay else {}
    answer = stub.Generate(
        small(**{**options, **fields}), metadata=metadata(caller, prefer="respond-async"), timeout=SECONDS
    )
    assert answer.object == "job"
    return answer.id


def failure(error: grpc.RpcError) -> Failure:
    """Return the error of a failed call, after checking its details."""
    return read_status(error)


def code(error: grpc.RpcError) -> grpc.StatusCode:
    return cast("grpc.Call", error).code()
