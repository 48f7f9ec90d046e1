"""`Prefer: dry-run` over native gRPC: the plan of a call, its expected cost, and no effect."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from imagegateway.v1 import image_service_pb2 as pb

from tests.gateway import inputs
from tests.router.test_arbitrary_requests import serving

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

_METADATA = (("authorization", "Bearer key"), ("prefer", "dry-run"))


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def plan(folder: Path, request: pb.GenerateRequest | pb.EditRequest, *more: tuple[str, str]) -> dict[str, Any]:
    """Return the plan. Assert that the response says so and the media store stays empty."""
    async with serving(folder) as stub:
        method: Any = stub.Generate if isinstance(request, pb.GenerateRequest) else stub.Edit
        call = method(request, metadata=(*_METADATA, *more), timeout=20)
        response = await call
        assert dict(await call.initial_metadata())["preference-applied"] == "dry-run"
    assert not files(folder)
    found: dict[str, Any] = MessageToDict(response, preserving_proto_field_name=True)
    return found


async def test_plan_names_model_route_size_and_expected_cost(tmp_path: Path) -> None:
    request = pb.GenerateRequest(model="bfl/flux-2-pro", prompt="a fox", n=2, size="2048x1025", seed=5)
    found = await plan(tmp_path, request)
    assert found.pop("warnings")[0]["code"] == "size_adjusted"
    assert found == {
        "object": "plan",
        "type": "image.generation",
        "modality": "image",
        "model": "bfl/flux-2-pro",
        "provider": "bfl",
        "size": "2048x1024",
        "n": 2,
        "estimated_cost": {"amount": 0.09, "currency": "USD", "estimated": True},
    }


async def test_plan_of_an_edit_counts_its_inputs_and_keeps_none(tmp_path: Path) -> None:
    request = pb.EditRequest(model="bfl/flux-2-pro", prompt="a fox", image_content=[inputs.image_bytes()] * 2)
    found = await plan(tmp_path, request)
    assert (found["type"], found["estimated_cost"]["amount"]) == ("image.edit", 0.06)


async def test_plan_of_a_model_without_a_price_has_no_cost(tmp_path: Path) -> None:
    found = await plan(tmp_path, pb.GenerateRequest(model="openai/dall-e-3", prompt="a fox"))
    assert "estimated_cost" not in found


async def test_plan_with_the_callers_own_key_costs_nothing(tmp_path: Path) -> None:
    request = pb.GenerateRequest(model="openai/dall-e-3", prompt="a fox")
    found = await plan(tmp_path, request, ("x-byok-openai", "sk-caller-own-key"))
    assert found["estimated_cost"]["amount"] == 0


@pytest.mark.parametrize(
    ("fields", "more", "param"),
    [
        ({"n": 11}, (), "n"),
        ({"size": "big"}, (), "size"),
        ({"webhook_url": "http://127.0.0.1/hook"}, (), "webhook_url"),
        ({}, (("idempotency-key", "k" * 256),), "Idempotency-Key"),
    ],
)
async def test_plan_of_an_invalid_request_is_the_error_of_the_call(
    tmp_path: Path, fields: dict[str, Any], more: tuple[tuple[str, str], ...], param: str
) -> None:
    request = pb.GenerateRequest(**{"model": "local/sketch", "prompt": "a fox", **fields})
    async with serving(tmp_path) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Generate(request, metadata=(*_METADATA, *more), timeout=20)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert param.lower() in str(caught.value.details()).lower().replace("an idempotency key", "idempotency-key")
