"""Stored provider keys of tenants: set, listed and deleted over both protocols; never shown, stored encrypted."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Final

import grpc
import pytest
from imagegateway.v1 import image_service_pb2 as images
from imagegateway.v1 import image_service_pb2_grpc as images_grpc
from imagegateway.v1 import provider_key_service_pb2 as pb

from tests.gateway import cases, rest
from tests.gateway.jobs.stacks import new_caller
from tests.gateway.provider_keys import PATH, WITHIN, all_report, authorized, delete, listed, native, new_key, put
from tests.gateway.rest import assert_error
from tests.support.files import holding
from tests.support.stack import eventually

if TYPE_CHECKING:
    from tests.gateway.cases import Failure
    from tests.gateway.jobs.calls import Caller
    from tests.support.stack import Stack

ROUTES: Final = [
    "automatic1111",
    "bfl",
    "bria",
    "bytedance",
    "cloudflare",
    "fal",
    "google",
    "ideogram",
    "openai",
    "recraft",
    "replicate",
    "stability",
]


@pytest.fixture
def caller(stack: Stack) -> Caller:
    """Return a tenant without stored keys."""
    return new_caller(stack, f"tenant-{secrets.token_hex(6)}")


def available(caller: Caller, model: str) -> bool:
    """Return the model's entry for this caller. Assert that both protocols agree, for one model and in the list."""
    answer = caller.ask("GET", f"/v1/models/{model}")
    assert answer.status == 200, answer.body
    one = answer.json()
    (same,) = (each for each in caller.ask("GET", "/v1/models").json()["data"] if each["id"] == one["id"])
    assert one == same
    with cases.channel(caller.stack) as channel:
        stub = images_grpc.ImageServiceStub(channel)
        response = stub.GetModel(images.GetModelRequest(model_id=model), metadata=authorized(caller), timeout=60)
    assert response.available == bool(one["available"])
    assert ("unavailable_reason" in one) != one["available"]
    return bool(one["available"])


def await_readiness(caller: Caller, model: str, *, ready: bool) -> None:
    eventually(lambda: all_report(caller, model, ready=ready), WITHIN, f"every router knows whether {model} is ready")


# ---- set, list, delete


def test_new_tenant_has_no_stored_keys(caller: Caller) -> None:
    assert listed(caller) == {}


def test_key_stored_over_rest_is_listed_without_itself(caller: Caller) -> None:
    key, before = new_key(), int(time.time())
    stored = put(caller, "openai", key)
    assert before <= stored.pop("created_at") <= time.time()
    assert stored == {"object": "provider_key", "route": "openai", "last_four": key[-4:]}
    assert listed(caller)["openai"].keys() == {"object", "route", "created_at", "last_four"}


def test_key_stored_over_grpc_is_replaced_over_rest_and_deleted_over_grpc(caller: Caller) -> None:
    first, second = new_key(), new_key()
    with native(caller) as stub:
        request = pb.SetProviderKeyRequest(route="fal", key=first)
        stored = stub.SetProviderKey(request, metadata=authorized(caller), timeout=60)
        assert (stored.object, stored.route, stored.last_four) == ("provider_key", "fal", first[-4:])
        put(caller, "fal", second)
        put(caller, "bfl", new_key())
        found = listed(caller)
        assert list(found) == ["bfl", "fal"]
        assert found["fal"]["last_four"] == second[-4:]
        asked = pb.DeleteProviderKeyRequest(route="fal")
        answer = stub.DeleteProviderKey(asked, metadata=authorized(caller), timeout=60)
        assert (answer.route, answer.deleted) == ("fal", True)
    assert list(listed(caller)) == ["bfl"]


def test_repeated_delete_reports_that_no_key_was_deleted(caller: Caller) -> None:
    put(caller, "bria", new_key())
    assert delete(caller, "bria") == {"object": "provider_key", "route": "bria", "deleted": True}
    assert delete(caller, "bria") == {"object": "provider_key", "route": "bria", "deleted": False}
    put(caller, "bria", new_key())
    assert list(listed(caller)) == ["bria"]


@pytest.mark.parametrize("route", ROUTES)
def test_key_of_every_route_is_stored(caller: Caller, route: str) -> None:
    put(caller, route, new_key())
    assert list(listed(caller)) == [route]


def test_short_key_shows_none_of_its_characters(caller: Caller) -> None:
    assert "last_four" not in put(caller, "automatic1111", "me:password")
    assert "last_four" in put(caller, "automatic1111", "k" * 20)


# ---- refusals


def _set_failure(caller: Caller, route: str, key: str) -> Failure:
    with native(caller) as stub, pytest.raises(grpc.RpcError) as raised:
        stub.SetProviderKey(pb.SetProviderKeyRequest(route=route, key=key), metadata=authorized(caller), timeout=60)
    return cases.read_status(raised.value)


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ("", "missing_parameter"),
        (" ", "invalid_value"),
        ("k" * 4097, "invalid_value"),
        ("k\r\nx-admin: 1", "invalid_value"),
        ("key\n", "invalid_value"),
        (" key", "invalid_value"),
        ("k\x00", "invalid_value"),
        ("k\x7f", "invalid_value"),
        ("schlüssel", "invalid_value"),
    ],
    ids=["empty", "space", "long", "crlf", "newline", "leading space", "nul", "delete", "umlaut"],
)
def test_key_that_no_header_can_carry_is_refused(caller: Caller, key: str, code: str) -> None:
    message = assert_error(caller.ask("PUT", f"{PATH}/openai", {"key": key}), 400, code, "key")
    if key.strip():
        assert key not in message
    assert (failure := _set_failure(caller, "openai", key)).message == message
    assert (failure.code, failure.param) == (code, "key")
    assert listed(caller) == {}


def test_longest_key_is_stored(caller: Caller) -> None:
    put(caller, "google", "k" * 4096)
    assert list(listed(caller)) == ["google"]


def test_body_without_a_key_is_refused(caller: Caller) -> None:
    assert_error(caller.ask("PUT", f"{PATH}/openai", {}), 400, "missing_parameter", "key")


@pytest.mark.parametrize("route", ["local", "unknown", "OpenAI", "open.ai", "%3E", "*"])
def test_unknown_route_is_refused_and_the_known_ones_named(caller: Caller, route: str) -> None:
    message = assert_error(caller.ask("PUT", f"{PATH}/{route}", {"key": new_key()}), 400, "invalid_value", "route")
    assert ", ".join(ROUTES) in message
    assert assert_error(caller.ask("DELETE", f"{PATH}/{route}"), 400, "invalid_value", "route") == message
    if "%" not in route:
        assert _set_failure(caller, route, new_key()).message == message


@pytest.mark.parametrize(("method", "path"), [("GET", PATH), ("PUT", f"{PATH}/fal"), ("DELETE", f"{PATH}/fal")])
def test_call_without_a_gateway_key_is_401(stack: Stack, method: str, path: str) -> None:
    body = {"key": new_key()} if method == "PUT" else None
    answer = rest.ask(stack, method, path, body, key="igw_wrong")
    assert_error(answer, 401, "invalid_api_key", kind="authentication_error")


@pytest.mark.parametrize(
    "body", ['{{"key": "{key}"', '{{"key": {key}}}', '{{"key": ["{key}"]}}', '{{"key": {{"{key}": 1}}}}', '"{key}"']
)
def test_malformed_body_is_refused_without_the_key_in_answer_or_log(caller: Caller, body: str) -> None:
    key, request_id = new_key(), f"malformed-{secrets.token_hex(8)}"
    headers = {**rest.JSON, "x-request-id": request_id}
    answer = caller.ask("PUT", f"{PATH}/openai", body.format(key=key).encode(), headers)
    assert answer.status == 400
    assert answer.error["message"]
    assert key.encode() not in answer.body
    eventually(lambda: bool(caller.stack.of_request(request_id)), 10, "the request is logged")
    assert key not in caller.stack.text()


# ---- tenants, storage and availability


def test_stored_key_serves_its_tenant_only(stack: Stack, caller: Caller) -> None:
    stranger = new_caller(stack, f"tenant-{secrets.token_hex(6)}")
    put(caller, "openai", new_key())
    assert listed(stranger) == {}
    assert delete(stranger, "openai")["deleted"] is False
    await_readiness(caller, "openai/gpt-image-2", ready=True)
    assert available(caller, "openai/gpt-image-2")
    assert not available(stranger, "openai/gpt-image-2")
    put(stranger, "openai", "of the stranger: 0000")
    assert listed(caller)["openai"]["last_four"] != "0000"
    answer = stranger.ask("POST", rest.GENERATIONS, {"model": "google/imagen-4", "prompt": "a kite"})
    assert answer.error["code"] == "provider_not_configured"


def test_api_keys_of_one_tenant_share_its_stored_keys(stack: Stack) -> None:
    tenant = f"tenant-{secrets.token_hex(6)}"
    first, second = new_caller(stack, tenant), new_caller(stack, tenant)
    put(first, "recraft", new_key())
    assert list(listed(second)) == ["recraft"]


def test_key_is_nowhere_in_the_data_directory_nor_in_the_log(stack: Stack, caller: Caller) -> None:
    keys = [new_key(), new_key(), new_key()]
    for key in keys[:2]:
        put(caller, "stability", key)
    with native(caller) as stub:
        request = pb.SetProviderKeyRequest(route="fal", key=keys[2])
        stub.SetProviderKey(request, metadata=authorized(caller), timeout=60)
    caller.ask("PUT", f"{PATH}/unknown", {"key": keys[0]})
    caller.ask("PUT", f"{PATH}/fal?key={keys[1]}", {"key": keys[1]})
    listed(caller)
    delete(caller, "stability")
    for key in keys:
        assert not holding(stack.data_dir, key)
        assert key not in stack.text()


def test_request_is_logged_by_route_and_tenant(stack: Stack, caller: Caller) -> None:
    request_id = f"stored-{secrets.token_hex(8)}"
    caller.ask("PUT", f"{PATH}/ideogram", {"key": new_key()}, {"x-request-id": request_id})

    def finished() -> list[dict[str, object]]:
        return [line for line in stack.of_request(request_id) if line["event"] == "request_finished"]

    eventually(lambda: bool(finished()), 10, "the request is logged")
    (line,) = finished()
    assert (line["operation"], line["provider"], line["status"], line["protocol"]) == (
        "SetProviderKey",
        "ideogram",
        200,
        "rest",
    )


def test_stored_key_makes_the_models_of_its_route_available(caller: Caller) -> None:
    assert not available(caller, "ideogram/ideogram-v3")
    put(caller, "ideogram", new_key())
    await_readiness(caller, "ideogram/ideogram-v3", ready=True)
    assert available(caller, "ideogram/ideogram-v3")
    assert not available(caller, "openai/gpt-image-2")
    delete(caller, "ideogram")
    await_readiness(caller, "ideogram/ideogram-v3", ready=False)
    assert not available(caller, "ideogram/ideogram-v3")


def test_stored_key_replaces_no_other_required_setting(caller: Caller) -> None:
    """Only the operator sets the address of a self-hosted server."""
    put(caller, "automatic1111", new_key())
    assert not available(caller, "stability-ai/sdxl")
    put(caller, "fal", new_key())
    await_readiness(caller, "stability-ai/sdxl", ready=True)
    model = caller.ask("GET", "/v1/models/stability-ai/sdxl").json()
    assert {route["name"]: bool(route.get("available")) for route in model["routes"]} == {
        "replicate": False,
        "fal": True,
        "automatic1111": False,
    }
