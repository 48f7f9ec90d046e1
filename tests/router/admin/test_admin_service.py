"""AdminService in one router: keys, tenants, providers, jobs; strict errors; nothing without the scope."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import MessageToDict
from imagegateway.admin.v1 import admin_service_pb2 as pb
from imagegateway.keys.api_keys import ApiKey
from imagegateway.router.admin.policy_fields import key_message

from tests.router.admin.conftest import Admin, Refusal

if TYPE_CHECKING:
    from google.protobuf.message import Message

ALL_BUT_ADMIN = ["generate", "edit", "video", "read"]


def fields(message: Message) -> dict[str, Any]:
    return MessageToDict(message, preserving_proto_field_name=True)


async def test_life_of_a_key(admin: Admin) -> None:
    before = int(time.time())
    created = await admin.create_key(
        name="for the shop",
        scopes=["generate", "edit"],
        models=["openai/*"],
        requests_per_minute=60,
        images_per_minute=30,
        concurrent_jobs=2,
        budget=12.5,
        budget_period="day",
        prefer="wait=120",
        response_format="b64_json",
        expires="30d",
    )
    shown = fields(created)
    assert shown.pop("key").startswith("igw_")
    assert before <= shown.pop("created_at") <= time.time()
    assert before <= shown.pop("expires_at") - 30 * 86_400 <= time.time()
    assert shown == {
        "object": "key",
        "id": created.id,
        "tenant": "acme",
        "name": "for the shop",
        "scopes": ["generate", "edit"],
        "models": ["openai/*"],
        "requests_per_minute": 60,
        "images_per_minute": 30,
        "concurrent_jobs": 2,
        "budget": 12.5,
        "budget_period": "day",
        "spent": 0.0,
        "prefer": "wait=120",
        "response_format": "b64_json",
    }
    assert await admin.call("GetKey", pb.GetKeyRequest(id=created.id)) == _without_secret(created)
    changed = await admin.call("UpdateKey", pb.UpdateKeyRequest(id=created.id, budget=0, name="shop"))
    assert (changed.budget, changed.name, changed.budget_period) == (0, "shop", "day")
    mask = FieldMask(paths=["budget", "expires_at", "scopes", "models"])
    cleared = await admin.call("UpdateKey", pb.UpdateKeyRequest(id=created.id, update_mask=mask))
    assert not {"budget", "budget_period", "spent", "expires_at"} & fields(cleared).keys()
    assert (cleared.scopes, cleared.models) == (ALL_BUT_ADMIN, ["*"])
    rotated = await admin.call("RotateKey", pb.RotateKeyRequest(id=created.id, overlap="1h"))
    assert rotated.id == created.id
    assert rotated.key not in {"", created.key}
    revoked = await admin.call("RevokeKey", pb.RevokeKeyRequest(id=created.id))
    assert revoked.revoked_at >= before
    assert created.id not in [key.id for key in (await admin.call("ListKeys", pb.ListKeysRequest())).data]
    (listed,) = (
        key for key in (await admin.call("ListKeys", pb.ListKeysRequest(revoked=True))).data if key.id == created.id
    )
    assert listed.revoked_at == revoked.revoked_at
    assert await admin.call("RevokeKey", pb.RevokeKeyRequest(id=created.id)) == listed


def _without_secret(key: Any) -> Any:
    copied = type(key)()
    copied.CopyFrom(key)
    copied.ClearField("key")
    return copied


async def test_key_with_defaults_has_every_scope_but_admin_and_no_limit(admin: Admin) -> None:
    shown = fields(await admin.create_key())
    for name in ("id", "key", "created_at"):
        del shown[name]
    assert shown == {"object": "key", "tenant": "acme", "scopes": ALL_BUT_ADMIN, "models": ["*"]}


INVALID: list[tuple[dict[str, Any], str]] = [
    ({"tenant": ""}, "tenant"),
    ({"tenant": "two\nlines"}, "tenant"),
    ({"name": "x" * 201}, "name"),
    ({"scopes": ["paint"]}, "scopes"),
    ({"models": ["a b"]}, "models"),
    ({"requests_per_minute": 0}, "requests_per_minute"),
    ({"images_per_minute": 1_000_001}, "images_per_minute"),
    ({"concurrent_jobs": 0}, "concurrent_jobs"),
    ({"budget": -1}, "budget"),
    ({"budget": float("nan")}, "budget"),
    ({"budget_period": "year"}, "budget_period"),
    ({"prefer": "wait=soon"}, "prefer"),
    ({"response_format": "png"}, "response_format"),
    ({"expires": "soon"}, "expires"),
    ({"expires": "2020-01-01"}, "expires"),
    ({"expires": "2027-13-01"}, "expires"),
    ({"expires_at": 1}, "expires_at"),
    ({"expires": "1d", "expires_at": 4_000_000_000}, "expires"),
]
"""Fields of a new key, and the one that is invalid."""


async def test_invalid_field_is_named_and_no_key_is_made(admin: Admin) -> None:
    for given, param in INVALID:
        with pytest.raises(Refusal) as refused:
            await admin.create_key(**given)
        assert (refused.value.code, refused.value.param) == ("invalid_value", param), given
    assert not (await admin.call("ListKeys", pb.ListKeysRequest())).data


def test_suspended_key_is_shown_with_the_time_of_its_end() -> None:
    key = ApiKey("id", "default", "of a setting", created_at=1, adopted_by=("gateway",), left_at=5)
    assert key_message(key).expires_at == 5
    assert key_message(replace(key, expires_at=3)).expires_at == 3
    assert key.is_over(5)
