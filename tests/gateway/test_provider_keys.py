"""Stored provider keys of tenants: set, listed and deleted over both protocols; never shown, stored encrypted."""

from __future__ import annotations

import secrets
import time
from contextlib import contextmanager
from itertools import count, takewhile
from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from imagegateway.v1 import image_service_pb2 as images
from imagegateway.v1 import image_service_pb2_grpc as images_grpc
from imagegateway.v1 import provider_key_service_pb2 as pb
from imagegateway.v1 import provider_key_service_pb2_grpc as pb_grpc

from tests.gateway import cases, rest
from tests.gateway.jobs import wire
from tests.gateway.jobs.stacks import kill, new_caller, restartable_stack, wait_back
from tests.gateway.rest import assert_error
from tests.gateway.test_auth import holding
from tests.support.stack import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.gateway.cases import Failure
    from tests.gateway.jobs.calls import Caller
    from tests.gateway.jobs.stacks import RestartableStack
    from tests.support.stack import Stack

PATH: Final = "/v1/provider-keys"
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
WITHIN: Final = 5.0
"""Seconds until every router applies a stored or deleted key."""


@pytest.fixture
def caller(stack: Stack) -> Caller:
    """Return a tenant without stored keys."""
    return new_caller(stack, f"tenant-{secrets.token_hex(6)}")


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
        response = stub.ListProviderKeys(pb.ListProviderKeysRequest(), metadata=_authorized(caller), timeout=60)
    assert document["data"] == MessageToDict(response, preserving_proto_field_name=True).get("data", [])
    assert [item["route"] for item in document["data"]] == sorted(item["route"] for item in document["data"])
    return {item["route"]: item for item in document["data"]}


def delete(caller: Caller, route: str) -> dict[str, Any]:
    answer = caller.ask("DELETE", f"{PATH}/{route}")
    assert answer.status == 200, answer.body
    document: dict[str, Any] = answer.json()
    return document


def available(caller: Caller, model: str) -> bool:
    """Return the model's entry for this caller. Assert that both protocols agree, for one model and in the list."""
    answer = caller.ask("GET", f"/v1/models/{model}")
    assert answer.status == 200, answer.body
    one = answer.json()
    (same,) = (each for each in caller.ask("GET", "/v1/models").json()["data"] if each["id"] == one["id"])
    assert one == same
    with cases.channel(caller.stack) as channel:
        stub = images_grpc.ImageServiceStub(channel)
        response = stub.GetModel(images.GetModelRequest(model_id=model), metadata=_authorized(caller), timeout=60)
    assert response.available == bool(one["available"])
    assert ("unavailable_reason" in one) != one["available"]
    return bool(one["available"])


def all_report(caller: Caller, model: str, *, ready: bool) -> bool:
    """Return True if every router, asked on its socket, reports this readiness: changes arrive with a delay."""
    request = images.GetModelRequest(model_id=model)
    for index in takewhile(lambda each: caller.stack.socket(f"router-{each}").exists(), count()):
        with wire.router(caller, index) as stub:
            if stub.GetModel(request, metadata=wire.metadata(caller), timeout=60).available is not ready:
                return False
    return True


def await_readiness(caller: Caller, model: str, *, ready: bool) -> None:
    eventually(lambda: all_report(caller, model, ready=ready), WITHIN, f"every router knows whether {model} is ready")


def _authorized(caller: Caller) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {caller.key}"),)


# ---- set, list, delete


def test_nothing_is_stored_at_first(caller: Caller) -> None:
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
        stored = stub.SetProviderKey(request, metadata=_authorized(caller), timeout=60)
        assert (stored.object, stored.route, stored.last_four) == ("provider_key", "fal", first[-4:])
        put(caller, "fal", second)
        put(caller, "bfl", new_key())
        found = listed(caller)
        assert list(found) == ["bfl", "fal"]
        assert found["fal"]["last_four"] == second[-4:]
        asked = pb.DeleteProviderKeyRequest(route="fal")
        answer = stub.DeleteProviderKey(asked, metadata=_authorized(caller), timeout=60)
        assert (answer.route, answer.deleted) == ("fal", True)
    assert list(listed(caller)) == ["bfl"]


def test_deleting_is_harmless_to_repeat(caller: Caller) -> None:
    put(caller, "bria", new_key())
    assert delete(caller, "bria") == {"object": "provider_key", "route": "bria", "deleted": True}
    assert delete(caller, "bria") == {"object": "provider_key", "route": "bria", "deleted": False}
    put(caller, "bria", new_key())
    assert list(listed(caller)) == ["bria"]


@pytest.mark.parametrize("route", ROUTES)
def test_every_route_takes_a_key(caller: Caller, route: str) -> None:
    put(caller, route, new_key())
    assert list(listed(caller)) == [route]


def test_short_key_shows_none_of_its_characters(caller: Caller) -> None:
    assert "last_four" not in put(caller, "automatic1111", "me:password")
    assert "last_four" in put(caller, "automatic1111", "k" * 20)


# ---- refusals


def _set_failure(caller: Caller, route: str, key: str) -> Failure:
    with native(caller) as stub, pytest.raises(grpc.RpcError) as raised:
        stub.SetProviderKey(pb.SetProviderKeyRequest(route=route, key=key), metadata=_authorized(caller), timeout=60)
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


# ---- whose it is, and where it is


def test_key_is_its_tenants_alone(stack: Stack, caller: Caller) -> None:
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


def test_all_keys_of_a_tenant_share_what_it_stored(stack: Stack) -> None:
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
        stub.SetProviderKey(request, metadata=_authorized(caller), timeout=60)
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
    eventually(lambda: bool(stack.of_request(request_id)), 10, "the request is logged")
    (line,) = stack.of_request(request_id)
    assert (line["event"], line["operation"], line["provider"], line["status"], line["protocol"]) == (
        "request_finished",
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


def test_stored_key_does_not_stand_for_another_setting(caller: Caller) -> None:
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


# ---- the command


def command(stack: Stack, *arguments: str, key: str = "") -> tuple[int, str, str]:
    """Run `imagegateway provider-keys` with a key on its standard input."""
    done = stack.command("provider-keys", *arguments, standard_input=key)
    return done.returncode, done.stdout, done.stderr


def test_command_stores_lists_and_deletes(stack: Stack) -> None:
    tenant, key = f"tenant-{secrets.token_hex(6)}", new_key()
    caller = new_caller(stack, tenant)
    of = ("--tenant", tenant)
    status, out, err = command(stack, "set", *of, "--route", "openai", key=f"{key}\n")
    assert (status, err) == (0, "")
    assert key not in out
    assert listed(caller)["openai"]["last_four"] == key[-4:]
    eventually(lambda: all_report(caller, "openai/gpt-image-2", ready=True), WITHIN, "the router knows the key")
    status, out, err = command(stack, "list", *of)
    assert (status, err) == (0, "")
    assert "openai" in out
    assert key[-4:] in out
    assert key not in out
    assert command(stack, "delete", *of, "--route", "openai")[0] == 0
    assert listed(caller) == {}
    eventually(lambda: all_report(caller, "openai/gpt-image-2", ready=False), WITHIN, "the router drops the key")
    assert command(stack, "list", *of) == (0, "", "")


@pytest.mark.parametrize(
    ("arguments", "key", "message"),
    [
        (("set", "--tenant", "painters", "--route", "unknown"), "k", "stability"),
        (("set", "--tenant", "painters", "--route", "openai"), "", "key is required"),
        (("set", "--tenant", "painters", "--route", "openai"), "a\nb", "printable"),
        (("set", "--route", "openai"), "k", "--tenant"),
        (("set", "--tenant", "painters", "--route", "openai", "a-key"), "", "unrecognized"),
        (("delete", "--tenant", "painters", "--route", "openai"), "", "no stored key of openai"),
        (("list",), "", "--tenant"),
    ],
)
def test_command_that_can_not_be_done_says_why(
    stack: Stack, arguments: tuple[str, ...], key: str, message: str
) -> None:
    status, out, err = command(stack, *arguments, key=key)
    assert status != 0
    assert not out
    assert message in err
    assert "Traceback" not in err


# ---- restarts


def last_four(caller: Caller, route: str) -> str:
    try:
        answer = caller.ask("GET", PATH)
    except OSError:
        return ""
    if answer.status != 200:
        return ""
    return "".join(item["last_four"] for item in answer.json()["data"] if item["route"] == route)


@pytest.fixture(scope="module")
def restartable() -> Iterator[RestartableStack]:
    with restartable_stack(routers="2") as started:
        yield started


def test_keys_are_followed_by_every_router_and_survive_kills_and_a_restart(restartable: RestartableStack) -> None:
    caller, key = restartable.caller, new_key()
    put(caller, "ideogram", key)
    model = "ideogram/ideogram-v3"
    eventually(lambda: all_report(caller, model, ready=True), WITHIN, "both routers know the key")
    for name in ("nats", "router-0", "router-1"):
        wait_back(restartable.stack, name, kill(restartable.stack, name))
        eventually(lambda: last_four(caller, "ideogram") == key[-4:], 20, f"the key is there after a kill of {name}")
    restartable.stop()
    restartable.start()
    caller = restartable.caller
    assert last_four(caller, "ideogram") == key[-4:]
    assert all_report(caller, model, ready=True)
    delete(caller, "ideogram")
    eventually(lambda: all_report(caller, model, ready=False), WITHIN, "both routers drop the key")


def test_kill_in_the_middle_of_replacing_leaves_the_old_or_the_new_key(restartable: RestartableStack) -> None:
    caller = restartable.caller
    put(caller, "bfl", "old key of the tenant: aaaa")
    for name in ("router-0", "nats"):
        killed = kill(restartable.stack, name)
        try:
            answer = caller.ask("PUT", f"{PATH}/bfl", {"key": "new key of the tenant: bbbb"})
            stored = answer.status == 200
        except OSError:
            stored = False
        wait_back(restartable.stack, name, killed)
        eventually(lambda: bool(last_four(caller, "bfl")), 20, "a key is there")
        assert last_four(caller, "bfl") in ({"bbbb"} if stored else {"aaaa", "bbbb"})
        put(caller, "bfl", "old key of the tenant: aaaa")


def test_key_under_another_secret_is_not_used_and_says_so(restartable: RestartableStack) -> None:
    caller = restartable.caller
    put(caller, "google", new_key())
    restartable.stop()
    (restartable.stack.data_dir / "secret-key").write_text(secrets.token_urlsafe(32))
    restartable.start()
    caller = restartable.caller
    stored = listed(caller)["google"]
    assert stored == {"object": "provider_key", "route": "google"}
    for _ in range(2):
        answer = caller.ask("POST", rest.GENERATIONS, {"model": "google/imagen-4", "prompt": "a kite"})
        message = assert_error(answer, 502, "provider_credentials", kind="provider_error")
        assert "PUT /v1/provider-keys/google" in message
    assert not caller.jobs(model="google/imagen-4")
    status, out, _ = command(restartable.stack, "list", "--tenant", "default")
    assert (status, "unreadable" in out) == (0, True)
    put(caller, "google", new_key())
    assert "last_four" in listed(caller)["google"]
