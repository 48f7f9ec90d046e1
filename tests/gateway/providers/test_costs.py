"""Costs as callers see them: in responses, jobs and headers, in plans, and in the list of models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.json_format import MessageToDict, ParseDict
from imagegateway.v1 import image_service_pb2 as pb

from tests.gateway import inputs, rest
from tests.gateway.jobs import wire
from tests.gateway.providers.asking import VIDEOS, over_both, request

if TYPE_CHECKING:
    from tests.gateway.jobs.calls import Caller
    from tests.gateway.providers.providers import Providers

DRY_RUN = {"prefer": "dry-run"}


@pytest.mark.parametrize(
    ("fields", "cost", "header"),
    [
        (request("local/sketch", size="64x64"), {"amount": 0.0, "currency": "USD", "estimated": False}, "0"),
        (request("bytedance/seedream-4.5", n=2), {"amount": 0.08, "currency": "USD", "estimated": True}, "0.08"),
        (request("recraft/recraft-v4-pro"), {"amount": 0.25, "currency": "USD", "estimated": False}, "0.25"),
    ],
    ids=lambda value: value.get("model") if isinstance(value, dict) else None,
)
def test_cost_is_in_the_response_its_job_and_the_header(
    caller: Caller, providers: Providers, fields: dict[str, Any], cost: dict[str, Any], header: str
) -> None:
    for reply in over_both(caller, fields):
        assert reply.failure is None, reply.failure
        assert (reply.document["cost"], reply.headers["x-cost"]) == (cost, header)
        answer = caller.ask("GET", f"/v1/jobs/{reply.document['id']}")
        assert (answer.json()["cost"], answer.headers["x-cost"]) == (cost, header)


def test_call_with_the_callers_own_key_costs_nothing(caller: Caller, providers: Providers) -> None:
    providers["openai"].key, operators = "sk-callers-own-key", providers["openai"].key
    try:
        for reply in over_both(caller, request("openai/gpt-image-2"), {"x-byok-openai": "sk-callers-own-key"}):
            assert reply.failure is None, reply.failure
            assert (reply.document["cost"], reply.headers["x-cost"]) == (
                {"amount": 0, "currency": "USD", "estimated": False},
                "0",
            )
    finally:
        providers["openai"].key = operators


def test_unfinished_job_has_no_cost_yet(caller: Caller, providers: Providers) -> None:
    job_id = caller.submit(delay=30)
    assert caller.ask("GET", f"/v1/jobs/{job_id}").headers["x-cost"] is None
    caller.ask("DELETE", f"/v1/jobs/{job_id}")


def test_plan_is_the_same_over_rest_and_grpc_and_calls_no_provider(caller: Caller, providers: Providers) -> None:
    fields = request("openai/gpt-image-2", size="1024x1024", quality="medium", n=3, seed=7)
    answer = caller.ask("POST", rest.GENERATIONS, {**fields, "stream": True}, DRY_RUN)
    assert (answer.status, answer.headers["preference-applied"]) == (200, "dry-run")
    document = answer.json()
    assert (document["object"], document["model"], document["provider"]) == ("plan", "openai/gpt-image-2", "openai")
    assert (document["size"], document["n"], document["quality"]) == ("1024x1024", 3, "medium")
    assert document["estimated_cost"]["amount"] == pytest.approx(0.159, abs=0.001)
    assert [warning["param"] for warning in document["warnings"]] == ["seed"]
    assert not {"id", "created", "data"} & document.keys()
    assert answer.headers["x-job-id"] is None
    with wire.public(caller) as stub:
        sent = ParseDict(fields, pb.GenerateRequest())
        response = stub.Generate(sent, metadata=wire.metadata(caller, **DRY_RUN), timeout=60)
    assert MessageToDict(response, preserving_proto_field_name=True) == document
    assert not providers["openai"].sent


def test_plan_of_a_video_and_of_edits_in_both_encodings(caller: Caller, providers: Providers) -> None:
    video = caller.ask("POST", VIDEOS, request("google/veo-3.1-fast", seconds=4), DRY_RUN).json()
    assert (video["type"], video["seconds"], video["estimated_cost"]["amount"]) == ("video.generation", 4, 0.4)
    fields = request("bria/fibo-edit/edit")
    as_json = caller.ask("POST", rest.EDITS, fields, DRY_RUN)
    body = inputs.form(
        inputs.file_part("image", inputs.image_bytes(96, 64)),
        inputs.file_part("mask", inputs.mask(96, 64)),
        model=fields["model"],
        prompt=fields["prompt"],
        stream="true",
    )
    as_form = caller.ask("POST", rest.EDITS, body, {**inputs.FORM, **DRY_RUN})
    for answer in (as_json, as_form):
        assert (answer.status, answer.headers["preference-applied"]) == (200, "dry-run"), answer.body
    assert as_json.json() == as_form.json()
    assert as_json.json()["estimated_cost"]["amount"] == 0.04
    assert not any(emulator.sent for emulator in providers.by_route.values())


def test_plan_makes_no_job_and_claims_no_idempotency_key(caller: Caller, providers: Providers) -> None:
    before = [job["id"] for job in caller.ask("GET", "/v1/jobs").json()["data"]]
    headers = {**DRY_RUN, "idempotency-key": "planned-first"}
    assert caller.generate(headers).json()["object"] == "plan"
    assert [job["id"] for job in caller.ask("GET", "/v1/jobs").json()["data"]] == before
    made = caller.generate({"idempotency-key": "planned-first"}, prompt="another prompt")
    assert made.status == 200
    assert made.json()["data"]


def test_plan_of_an_invalid_request_is_its_error(caller: Caller, providers: Providers) -> None:
    rest.assert_error(caller.generate(DRY_RUN, n=11), 400, "invalid_value", "n")
    strict = {"prefer": "dry-run, handling=strict"}
    answer = caller.ask("POST", rest.GENERATIONS, request("openai/gpt-image-2", seed=7), strict)
    rest.assert_error(answer, 400, "unsupported_parameter", "seed")


def test_models_show_price_and_estimate(caller: Caller) -> None:
    models = {model["id"]: model for model in caller.ask("GET", "/v1/models").json()["data"]}
    for name, pricing in {
        "local/sketch": ("image", 0, 0),
        "bfl/flux-2-pro": ("megapixel", 0.03, 0.03),
        "google/veo-3.1-fast": ("second", 0.1, 0.8),
        "openai/gpt-image-2": ("million_tokens", 30, 0.211),
        "recraft/remove-background": ("image", 0.01, 0.01),
    }.items():
        shown = models[name]["pricing"]
        assert shown["currency"] == "USD"
        assert (shown["unit"], shown["amount"], shown["estimate"]) == pricing
        assert caller.ask("GET", f"/v1/models/{name}").json()["pricing"] == shown
    assert "pricing" not in models["openai/dall-e-3"]
