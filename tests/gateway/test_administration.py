"""Administration through Envoy: every method over REST and gRPC, only for admin keys."""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import MessageToDict
from imagegateway.admin.v1 import admin_service_pb2 as pb
from imagegateway.admin.v1 import admin_service_pb2_grpc as pb_grpc
from imagegateway.keys.policy import Scope

from tests.gateway import cases
from tests.gateway.jobs.calls import Caller
from tests.gateway.jobs.stacks import new_caller
from tests.gateway.rest import assert_error
from tests.gateway.test_auth import WITHIN
from tests.support.stack import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.message import Message

    from tests.support.stack import Stack

KEYS: Final = "/v1/admin/keys"
ADMIN: Final = frozenset({Scope.ADMIN})
NO_KEY: Final = "0" * 12
VOLATILE: Final = ("id", "key", "created_at", "last_used_at", "revoked_at")


def _is_refused(caller: Caller) -> bool:
    return caller.generate().status == 401


@pytest.fixture
def admin(stack: Stack) -> Caller:
    return new_caller(stack, "operators", scopes=ADMIN)


@pytest.fixture
def tenant() -> str:
    return f"tenant-{secrets.token_hex(6)}"


@contextmanager
def native(caller: Caller) -> Iterator[pb_grpc.AdminServiceStub]:
    with cases.channel(caller.stack) as channel:
        yield pb_grpc.AdminServiceStub(channel)


def call(caller: Caller, method: str, request: Message) -> dict[str, Any]:
    """Call a method over gRPC. Return the response as JSON shows it."""
    with native(caller) as stub:
        response = getattr(stub, method)(request, metadata=(("authorization", f"Bearer {caller.key}"),), timeout=60)
    return MessageToDict(response, preserving_proto_field_name=True)


def rest(caller: Caller, verb: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    answer = caller.ask(verb, path, body)
    assert answer.status == 200, answer.body
    document: dict[str, Any] = answer.json()
    return document


def facts(key: dict[str, Any]) -> dict[str, Any]:
    """Return a key without what differs from one to the next."""
    return {name: value for name, value in key.items() if name not in VOLATILE}


def test_key_has_the_same_life_over_both_protocols(admin: Caller, tenant: str) -> None:
    fields: dict[str, Any] = {
        "tenant": tenant,
        "name": "shop",
        "scopes": ["generate"],
        "models": ["local/*"],
        "requests_per_minute": 60,
        "budget": 0.5,
    }
    made = [rest(admin, "POST", KEYS, fields), call(admin, "CreateKey", pb.CreateKeyRequest(**fields))]
    assert facts(made[0]) == facts(made[1]) == {"object": "key", "budget_period": "month", "spent": 0, **fields}
    by_rest, by_grpc = (Caller(admin.stack, key["key"]) for key in made)
    assert by_rest.generate().status == by_grpc.generate().status == 200
    first, second = (key["id"] for key in made)
    changed = [
        rest(admin, "PATCH", f"{KEYS}/{first}", {"requests_per_minute": None, "budget": 2}),
        call(
            admin,
            "UpdateKey",
            pb.UpdateKeyRequest(id=second, budget=2, update_mask=FieldMask(paths=["requests_per_minute", "budget"])),
        ),
    ]
    assert facts(changed[0]) == facts(changed[1])
    assert changed[0]["budget"] == 2
    assert "requests_per_minute" not in changed[0]
    rotated = [
        rest(admin, "POST", f"{KEYS}/{first}/rotate", {"overlap": "0s"}),
        call(admin, "RotateKey", pb.RotateKeyRequest(id=second, overlap="0s")),
    ]
    assert [key["id"] for key in rotated] == [first, second]
    for old, new in zip((by_rest, by_grpc), (Caller(admin.stack, key["key"]) for key in rotated), strict=True):
        assert new.generate().status == 200
        eventually(partial(_is_refused, old), WITHIN, "the replaced secret is refused")
    listed = rest(admin, "GET", f"{KEYS}?tenant={tenant}")["data"]
    by_list = call(admin, "ListKeys", pb.ListKeysRequest(tenant=tenant))["data"]
    assert list(map(facts, listed)) == list(map(facts, by_list))
    assert {key["id"] for key in listed} == {first, second}
    assert not [key for key in listed if "key" in key]
    assert facts(rest(admin, "GET", f"{KEYS}/{first}")) == facts(call(admin, "GetKey", pb.GetKeyRequest(id=first)))
    assert rest(admin, "DELETE", f"{KEYS}/{first}")["revoked_at"]
    assert call(admin, "RevokeKey", pb.RevokeKeyRequest(id=second))["revoked_at"]
    for key in rotated:
        eventually(partial(_is_refused, Caller(admin.stack, key["key"])), WITHIN, "the key is refused")
    assert rest(admin, "GET", f"{KEYS}?tenant={tenant}") == {"object": "list", "data": []}


def test_rotation_without_a_body_keeps_the_previous_secret(admin: Caller, tenant: str) -> None:
    key = rest(admin, "POST", KEYS, {"tenant": tenant})
    rotated = rest(admin, "POST", f"{KEYS}/{key['id']}/rotate")
    for secret in (key["key"], rotated["key"]):
        assert Caller(admin.stack, secret).ask("GET", "/v1/models").status == 200


def test_tenant_is_changed_over_both_protocols(admin: Caller, tenant: str) -> None:
    path = f"/v1/admin/tenants/{tenant}"
    assert_error(admin.ask("GET", path), 404, "not_found", "name")
    changed = rest(admin, "PATCH", path, {"images_per_minute": 9, "media_days": 3})
    assert changed == {"object": "tenant", "name": tenant, "images_per_minute": 9, "media_days": 3}
    request = pb.UpdateTenantRequest(
        name=tenant, usage_days=30, update_mask=FieldMask(paths=["usage_days", "media_days"])
    )
    assert call(admin, "UpdateTenant", request) == {
        "object": "tenant",
        "name": tenant,
        "images_per_minute": 9,
        "usage_days": 30,
    }
    assert rest(admin, "GET", path) == call(admin, "GetTenant", pb.GetTenantRequest(name=tenant))
    names = [each["name"] for each in rest(admin, "GET", "/v1/admin/tenants")["data"]]
    assert names == [each["name"] for each in call(admin, "ListTenants", pb.ListTenantsRequest())["data"]]
    assert {tenant, "operators"} <= set(names)
    assert names == sorted(names)


def test_name_of_a_tenant_may_hold_a_slash_and_a_blank(admin: Caller, tenant: str) -> None:
    path = f"/v1/admin/tenants/{tenant}%2Fa%20b"
    assert rest(admin, "PATCH", path, {"concurrent_jobs": 2})["name"] == f"{tenant}/a b"
    assert rest(admin, "GET", path)["concurrent_jobs"] == 2


def test_providers_are_listed_with_their_missing_settings(admin: Caller) -> None:
    listed = rest(admin, "GET", "/v1/admin/providers")["data"]
    assert listed == call(admin, "ListProviders", pb.ListProvidersRequest())["data"]
    routes = {each["route"]: each for each in listed}
    assert routes["local"]["available"]
    assert "local/sketch" in routes["local"]["models"]
    assert not routes["bfl"]["available"]
    assert routes["bfl"]["missing_settings"] == ["IMAGEGATEWAY_BFL_API_KEY"]


def test_jobs_of_all_tenants_are_listed_without_prompt_and_media(admin: Caller, tenant: str) -> None:
    owner = new_caller(admin.stack, tenant)
    ids = [owner.generate(metadata={"secret": "of the tenant"}).json()["id"] for _ in range(3)]
    newest = rest(admin, "GET", "/v1/admin/jobs?page_size=2")["data"]
    assert len(newest) == 2
    page = rest(admin, "GET", f"/v1/admin/jobs?tenant={tenant}&status=completed&page_size=2")
    assert [job["id"] for job in page["data"]] == ids[:0:-1]
    assert {job["tenant"] for job in page["data"]} == {tenant}
    request = pb.ListJobsRequest(tenant=tenant, page_token=page["next_page_token"])
    (last,) = call(admin, "ListJobs", request)["data"]
    assert last["id"] == ids[0]
    assert last["key_id"]
    assert not {"result", "result_url", "request", "metadata"} & last.keys()
    seen: list[str] = []
    token = ""
    while len(seen) < 1000:
        page = rest(admin, "GET", f"/v1/admin/jobs?page_size=100&page_token={token}")
        seen += [job["id"] for job in page["data"]]
        token = page.get("next_page_token", "")
        if not token:
            break
    assert seen == sorted(set(seen), reverse=True)
    assert set(ids) <= set(seen)


def test_changes_and_reads_are_audit_events_without_secrets(admin: Caller, tenant: str) -> None:
    key = rest(admin, "POST", KEYS, {"tenant": tenant, "budget": 5})
    assert admin.ask("PATCH", f"{KEYS}/{key['id']}", {"budget": None, "models": ["a b"]}).status == 400
    call(admin, "GetKey", pb.GetKeyRequest(id=key["id"]))
    answer = admin.ask("GET", f"/v1/admin/audit?key_id={key['id']}")
    assert key["key"].encode() not in answer.body
    newest = answer.json()["data"]
    listed = call(admin, "ListAuditEvents", pb.ListAuditEventsRequest(key_id=key["id"]))["data"]
    assert [event for event in listed if event["method"] != "ListAuditEvents"] == newest
    got, updated, created = newest
    assert [event["method"] for event in newest] == ["GetKey", "UpdateKey", "CreateKey"]
    assert [event["outcome"] for event in newest] == ["succeeded", "failed", "succeeded"]
    assert (updated["error"], updated["fields"]) == ("invalid_value", {"budget": "", "models": "a b"})
    assert (created["target"], created["tenant"], created["fields"]) == (key["id"], tenant, {"budget": "5"})
    for event in (got, updated, created):
        assert event["actor"]["type"] == "key"
        assert event["actor"]["tenant"] == "operators"
        assert event["request_id"]
        assert event["address"]

    def logged() -> list[str]:
        return [event["audit_id"] for event in admin.stack.events() if event["event"] == "audit_event"]

    eventually(lambda: created["id"] in logged(), 10, "the event is logged")


@pytest.mark.parametrize(
    ("verb", "path", "body", "error"),
    [
        ("POST", KEYS, {"tenant": "t", "rpm": 5}, (400, "unsupported_parameter", "rpm")),
        ("POST", KEYS, {"tenant": "t", "update_mask": "budget"}, (400, "unsupported_parameter", "update_mask")),
        ("POST", KEYS, {"tenant": "t", "scopes": []}, (400, "invalid_value", "scopes")),
        ("POST", KEYS, {"tenant": "t", "budget": "much"}, (400, "invalid_value", "budget")),
        ("POST", KEYS, {}, (400, "invalid_value", "tenant")),
        ("PATCH", f"{KEYS}/{NO_KEY}", {"tenant": "t"}, (400, "unsupported_parameter", "tenant")),
        ("PATCH", f"{KEYS}/{NO_KEY}", {"name": "n"}, (404, "not_found", "id")),
        ("POST", f"{KEYS}/{NO_KEY}/rotate", {"overlap": "91d"}, (400, "invalid_value", "overlap")),
        ("POST", f"{KEYS}/{NO_KEY}/rotate", {}, (404, "not_found", "id")),
        ("DELETE", f"{KEYS}/{NO_KEY}", None, (404, "not_found", "id")),
        ("GET", f"{KEYS}/{NO_KEY}", None, (404, "not_found", "id")),
        ("GET", f"{KEYS}?page_size=-1", None, (400, "invalid_value", "page_size")),
        ("GET", "/v1/admin/audit?page_token=x", None, (400, "invalid_value", "page_token")),
        ("GET", "/v1/admin/jobs?status=done", None, (400, "invalid_value", "status")),
        ("PATCH", "/v1/admin/tenants/t", {"media_days": 0}, (400, "invalid_value", "media_days")),
        ("PUT", KEYS, {}, (405, "method_not_allowed", None)),
        ("GET", "/v1/admin/nothing", None, (404, "unknown_url", None)),
    ],
)
def test_wrong_request_is_refused_by_name(
    admin: Caller, verb: str, path: str, body: dict[str, Any] | None, error: tuple[int, str, str | None]
) -> None:
    assert_error(admin.ask(verb, path, body), *error)


def test_key_without_the_scope_reads_and_changes_nothing(admin: Caller, stack: Stack, tenant: str) -> None:
    caller = new_caller(stack, tenant)
    (key,) = rest(admin, "GET", f"{KEYS}?tenant={tenant}")["data"]
    for verb, path, body in (
        ("POST", KEYS, {"tenant": tenant, "scopes": ["admin"]}),
        ("PATCH", f"{KEYS}/{key['id']}", {"scopes": ["admin"]}),
        ("DELETE", f"{KEYS}/{key['id']}", None),
        ("GET", "/v1/admin/audit", None),
        ("PATCH", f"/v1/admin/tenants/{tenant}", {"budget": 1}),
    ):
        assert_error(caller.ask(verb, path, body), 403, "insufficient_scope", None, "permission_error")
    (left,) = rest(admin, "GET", f"{KEYS}?tenant={tenant}")["data"]
    assert {**left, "last_used_at": 0} == {**key, "last_used_at": 0}
    assert rest(admin, "GET", f"/v1/admin/tenants/{tenant}") == {"object": "tenant", "name": tenant}
