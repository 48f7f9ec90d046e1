"""Calls of /v1/provider-keys and ProviderKeyService for tests."""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from itertools import count, takewhile
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.json_format import MessageToDict
from imagegateway.v1 import image_service_pb2 as images
from imagegateway.v1 import provider_key_service_pb2 as pb
from imagegateway.v1 import provider_key_service_pb2_grpc as pb_grpc

from tests.gateway import cases
from tests.gateway.jobs import wire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.gateway.jobs.calls import Caller

PATH: Final = "/v1/provider-keys"
WITHIN: Final = 20.0
"""Seconds until every router applies a stored or deleted key, on a busy machine."""


def new_key() -> str:
    return f"stored-{secrets.token_hex(20)}"


@contextmanager
def native(caller: Caller) -> Iterator[pb_grpc.ProviderKeyServiceStub]:
    with cases.channel(caller.stack) as channel:
        yield pb_grpc.ProviderKeyServiceStub(channel)


def put(caller: Caller, route: str, key: str) -> dict[str, Any]:
    answer = caller.ask("PUT", f"{PATH}/{route}", {"key": key})
    assert answer.status == 200, answer.body
    assert key.encode() not in answer.body
    document: dict[str, Any] = answer.json()
    return document


def listed(caller: Caller) -> dict[str, dict[str, Any]]:
    """Return the stored keys by route, after checking that both protocols agree."""
    answer = caller.ask("GET", PATH)
    assert answer.status == 200, answer.body
    document = answer.json()
    assert document["object"] == "list"
    with native(caller) as stub:
        response = stub.ListProviderKeys(pb.ListProviderKeysRequest(), metadata=authorized(caller), timeout=60)
    assert document["data"] == MessageToDict(response, preserving_proto_field_name=True).get("data", [])
    assert [item["route"] for item in document["data"]] == sorted(item["route"] for item in document["data"])
    return {item["route"]: item for item in document["data"]}


def delete(caller: Caller, route: str) -> dict[str, Any]:
    answer = caller.ask("DELETE", f"{PATH}/{route}")
    assert answer.status == 200, answer.body
    document: dict[str, Any] = answer.json()
    return document


def all_report(caller: Caller, model: str, *, ready: bool) -> bool:
    """Return True if every router, asked on its socket, reports this readiness: changes arrive with a delay."""
    request = images.GetModelRequest(model_id=model)
    for index in takewhile(lambda each: caller.stack.socket(f"router-{each}").exists(), count()):
        with wire.router(caller, index) as stub:
            if stub.GetModel(request, metadata=wire.metadata(caller), timeout=60).available is not ready:
                return False
    return True


def authorized(caller: Caller) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {caller.key}"),)
