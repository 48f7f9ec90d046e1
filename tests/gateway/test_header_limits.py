"""Header size: one limit in Envoy for every protocol, and 431 beyond it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import grpc
import pytest
from imagegateway.v1 import image_service_pb2 as pb
from imagegateway.v1 import image_service_pb2_grpc as pb_grpc

from tests.gateway import cases, inputs, rest
from tests.gateway.inputs import FORM, file_part, form
from tests.gateway.rest import EDITS, GENERATIONS, SMALL, ask

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.stack import Stack

KIB: Final = 1024
GRPC_WEB: Final = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1"}
FITTING: Final = {
    "8 KiB": {"x-filling": "f" * 8 * KIB},
    "15 KiB": {"x-filling": "f" * 15 * KIB},
    "59 KiB": {"x-filling": "f" * 59 * KIB},
    "80 headers": {f"x-filling-{number}": "f" * 700 for number in range(80)},
}
OVER: Final = {
    "61 KiB": {"x-filling": "f" * 61 * KIB},
    "80 headers of 61 KiB": {f"x-filling-{number}": "f" * 780 for number in range(80)},
    "120 headers": {f"x-filling-{number}": "f" for number in range(120)},
}


def answers(stack: Stack, headers: Mapping[str, str]) -> list[rest.Answer]:
    """Call each kind of endpoint over HTTP/1.1: events, JSON, a form, a transcoded call, gRPC-Web, the page."""
    edit = form(file_part("image", inputs.image_bytes()), prompt="at night")
    message = pb.ListModelsRequest().SerializeToString()
    web = b"\0" + len(message).to_bytes(4) + message
    return [
        ask(stack, "POST", GENERATIONS, {**SMALL, "stream": True}, headers),
        ask(stack, "POST", GENERATIONS, dict(SMALL), headers),
        ask(stack, "POST", EDITS, edit, {**FORM, **headers}),
        ask(stack, "GET", "/v1/models", headers=headers),
        ask(stack, "POST", "/imagegateway.v1.ImageService/ListModels", web, {**GRPC_WEB, **headers}),
        ask(stack, "GET", "/healthz", headers=headers),
    ]


@pytest.mark.parametrize("headers", FITTING.values(), ids=FITTING)
def test_headers_within_the_limit_are_served_at_every_door(stack: Stack, headers: Mapping[str, str]) -> None:
    assert [answer.status for answer in answers(stack, headers)] == [200] * 6
    with cases.channel(stack) as channel:
        metadata = (cases.authorization(stack), *headers.items())
        assert (
            pb_grpc.ImageServiceStub(channel).ListModels(pb.ListModelsRequest(), metadata=metadata, timeout=30).data
        )


@pytest.mark.parametrize("headers", OVER.values(), ids=OVER)
def test_headers_over_the_limit_are_431_at_every_door(stack: Stack, headers: Mapping[str, str]) -> None:
    for answer in answers(stack, headers):
        if answer.headers["content-type"].startswith("application/grpc-web"):
            assert answer.headers["grpc-status"] == "3"
        else:
            rest.assert_error(answer, 431, "headers_too_large")


@pytest.mark.parametrize("headers", OVER.values(), ids=OVER)
def test_metadata_over_the_limit_is_an_invalid_argument(stack: Stack, headers: Mapping[str, str]) -> None:
    metadata = (cases.authorization(stack), *headers.items())
    with cases.channel(stack) as channel:
        stub = pb_grpc.ImageServiceStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.ListModels(pb.ListModelsRequest(), metadata=metadata, timeout=30)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "headers" in str(caught.value.details())


def test_path_of_55_kib_is_served(stack: Stack) -> None:
    assert ask(stack, "GET", f"/v1/models?api-version={'f' * 55 * KIB}").status == 200
