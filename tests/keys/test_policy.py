"""Policy of keys: scopes by method, model lists, stored records of earlier versions, expiry."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from imagegateway.keys.api_keys import ApiKey, current_records, decode, encode, with_policy_of
from imagegateway.keys.policy import (
    ALL_SCOPES,
    ANY_MODEL,
    DEFAULT_SCOPES,
    NO_LIMITS,
    BudgetPeriod,
    PolicyError,
    Quota,
    Scope,
    allows,
    key_account,
    tenant_account,
)

DIGEST = "0123456789abcdef" * 4
NOW = 1_780_000_000


def key(**fields: object) -> ApiKey:
    return ApiKey(**{"id": DIGEST[:12], "tenant": "acme", "name": "", "created_at": NOW, "digest": DIGEST} | fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("models", "model_id", "allowed"),
    [
        (("*",), "openai/dall-e-3", True),
        (("openai/*",), "openai/dall-e-3", True),
        (("OpenAI/*",), "openai/dall-e-3", True),
        (("openai/*",), "bfl/flux-2-pro", False),
        (("openai/*", "local/sketch"), "local/sketch", True),
        (("openai/gpt-image-?",), "openai/gpt-image-1", True),
        (("openai/gpt-image-?",), "openai/gpt-image-1-mini", False),
        (("bria/fibo*",), "bria/fibo-edit/edit", True),
    ],
)
def test_models_are_allowed_by_patterns(models: tuple[str, ...], model_id: str, allowed: bool) -> None:
    assert allows(models, model_id) is allowed


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"tenant": ""}, "tenant"),
        ({"scopes": frozenset()}, "scopes"),
        ({"models": ()}, "models"),
        ({"models": ("two words",)}, "models"),
        ({"models": ("a/*",) * 101}, "models"),
        ({"response_format": "png"}, "response_format"),
        ({"quota": Quota(requests_per_minute=0)}, "requests_per_minute"),
        ({"quota": Quota(images_per_minute=1_000_001)}, "images_per_minute"),
        ({"quota": Quota(concurrent_jobs=-1)}, "concurrent_jobs"),
        ({"quota": Quota(budget=Decimal(-1))}, "budget"),
        ({"quota": Quota(budget=Decimal("NaN"))}, "budget"),
        ({"quota": Quota(budget=Decimal("1e12"))}, "budget"),
    ],
)
def test_field_out_of_range_is_named(fields: dict[str, object], named: str) -> None:
    with pytest.raises(PolicyError) as raised:
        key(**fields).check()
    assert raised.value.field == named


def test_stored_key_reads_back_unchanged() -> None:
    full = key(
        name="n",
        prefer="wait=5",
        response_format="b64_json",
        scopes=frozenset({Scope.READ, Scope.VIDEO}),
        models=("openai/*",),
        quota=Quota(1, 2, 3, Decimal("0.50"), BudgetPeriod.DAY),
        expires_at=NOW + 60,
        issued_at=NOW,
        retired_at=NOW + 30,
        root="abcd",
    )
    assert decode(DIGEST, encode(full)) == full
    free = key(quota=Quota(budget=Decimal(0)))
    assert decode(DIGEST, encode(free)).quota.budget == 0


RECORD_OF_0_1 = {
    "id": DIGEST[:12],
    "tenant": "acme",
    "name": "ci",
    "created_at": NOW,
    "prefer": "wait=120",
    "revoked_at": 0,
    "adopted_by": [],
    "session_of": "",
    "root": "r",
}


@pytest.mark.parametrize(
    ("further", "scopes"),
    [
        ({}, DEFAULT_SCOPES),
        ({"adopted_by": ["gateway"]}, ALL_SCOPES),
        ({"session_of": "gateway"}, ALL_SCOPES),
        ({"name": "made at the first start"}, ALL_SCOPES),
    ],
)
def test_record_of_an_earlier_version_has_no_limits(further: dict[str, object], scopes: frozenset[Scope]) -> None:
    read = decode(DIGEST, json.dumps(RECORD_OF_0_1 | further).encode())
    assert (read.scopes, read.models, read.quota, read.ends_at) == (scopes, ANY_MODEL, NO_LIMITS, 0)
    assert (read.id, read.tenant, read.prefer) == (DIGEST[:12], "acme", "wait=120")


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"scopes": ["root"]}, "root"),
        ({"quota": []}, "object"),
        ({"quota": {"budget": "many"}}, "budget"),
        ({"quota": {"budget_period": "week"}}, "week"),
        ({"models": [1]}, "models"),
        ({"expires_at": "soon"}, "expires_at"),
    ],
)
def test_malformed_record_is_refused(wrong: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        decode(DIGEST, json.dumps(RECORD_OF_0_1 | wrong).encode())


@pytest.mark.parametrize(
    ("fields", "at", "over"),
    [
        ({}, NOW, False),
        ({"expires_at": NOW}, NOW - 0.5, False),
        ({"expires_at": NOW}, NOW, True),
        ({"retired_at": NOW}, NOW, True),
        ({"retired_at": NOW + 9, "expires_at": NOW}, NOW, True),
        ({"revoked_at": NOW}, NOW - 9, True),
    ],
)
def test_key_is_over_from_its_end_on(fields: dict[str, object], at: float, over: bool) -> None:
    assert key(**fields).is_over(at) is over


def test_newest_secret_defines_the_policy_of_all() -> None:
    old = key(retired_at=NOW + 60, models=("old/*",))
    new = key(digest="f" * 64, issued_at=NOW + 1, models=("new/*",))
    assert current_records([new, old]) == {old.id: new}
    assert with_policy_of(old, new).models == ("new/*",)
    assert with_policy_of(old, new).ends_at == NOW + 60


def test_interrupted_rotation_leaves_both_secrets_with_the_newer_policy() -> None:
    old, new = key(), key(digest="f" * 64, issued_at=NOW + 1)
    assert current_records([old, new]) == {old.id: new}


def test_revoked_record_revokes_all_secrets_of_its_key() -> None:
    assert current_records([key(revoked_at=NOW), key(digest="f" * 64, issued_at=NOW + 1)]) == {}


def test_accounts_are_names_of_a_bucket() -> None:
    assert key_account("0123456789ab") == "key.0123456789ab"
    assert tenant_account("a b/c") != tenant_account("a b/d")
    assert tenant_account("ä").replace("tenant.", "").isalnum()


def test_every_key_field_is_stored() -> None:
    stored = json.loads(encode(key()))
    fields = set(ApiKey.__dataclass_fields__) - {"digest"}
    assert stored.keys() == fields
