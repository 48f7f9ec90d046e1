"""Policies of keys and tenants from the fields of requests, and back."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from imagegateway.admin.v1 import admin_service_pb2 as pb
from imagegateway.admin.v1.key_pb2 import Key
from imagegateway.admin.v1.tenant_pb2 import Tenant
from imagegateway.keys.policy import ANY_MODEL, DEFAULT_SCOPES, BudgetPeriod, PolicyError, Scope
from imagegateway.platform.errors import GatewayError, invalid
from imagegateway.router.admin.durations import check_end, end_of
from imagegateway.router.call_context import Preferences

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imagegateway.keys.api_keys import ApiKey
    from imagegateway.keys.policy import Quota
    from imagegateway.keys.tenants import TenantPolicy

KeyRequest: TypeAlias = pb.CreateKeyRequest | pb.UpdateKeyRequest
_LIMITS: Final = ("requests_per_minute", "images_per_minute", "concurrent_jobs")
_DAYS: Final = ("media_days", "record_days", "usage_days")
_NOT_POLICY: Final = frozenset({"id", "tenant", "update_mask"})


def changed_fields(request: pb.UpdateKeyRequest | pb.UpdateTenantRequest) -> frozenset[str]:
    """Return the names of the fields that a request changes. Raises GatewayError naming `update_mask`."""
    fixed = _NOT_POLICY | ({"name"} if isinstance(request, pb.UpdateTenantRequest) else set())
    if not request.HasField("update_mask"):
        return frozenset(field.name for field, _ in request.ListFields()) - fixed
    names = frozenset(request.update_mask.paths)
    unknown = names - (frozenset(request.DESCRIPTOR.fields_by_name.keys()) - fixed)
    if unknown:
        raise invalid("update_mask", f"update_mask: there is no field {min(unknown)[:100]!r} to change.")
    return names


def set_fields(request: pb.CreateKeyRequest) -> frozenset[str]:
    """Return the names of the fields of a policy that a request sets."""
    return frozenset(field.name for field, _ in request.ListFields()) - _NOT_POLICY


def with_key_fields(key: ApiKey, request: KeyRequest, names: frozenset[str], now: float) -> ApiKey:
    """Return the key with the named fields of the request. A field that is not set gets its default.

    Raises GatewayError INVALID_VALUE naming the field. The store checks ranges.
    """
    changes: dict[str, Any] = {name: getattr(request, name) for name in names & {"name", "response_format"}}
    if "scopes" in names:
        changes["scopes"] = frozenset(map(_scope, request.scopes)) or DEFAULT_SCOPES
    if "models" in names:
        changes["models"] = tuple(request.models) or ANY_MODEL
    if "prefer" in names:
        changes["prefer"] = _preference(request.prefer)
    if {"expires_at", "expires"} <= names and request.expires and request.expires_at:
        raise invalid("expires", "Send either expires or expires_at.")
    if "expires_at" in names and request.expires_at:
        check_end(request.expires_at, "expires_at", now)
    if names & {"expires_at", "expires"}:
        changes["expires_at"] = end_of(request.expires, "expires", now) if request.expires else request.expires_at
    return replace(key, quota=_with_limits(key.quota, request, names), **changes)


def with_tenant_fields(policy: TenantPolicy, request: pb.UpdateTenantRequest, names: frozenset[str]) -> TenantPolicy:
    """Return the policy with the named fields of the request, as `with_key_fields` does."""
    days: dict[str, Any] = {name: _optional(request, name) for name in names.intersection(_DAYS)}
    return replace(policy, quota=_with_limits(policy.quota, request, names), **days)


@contextmanager
def policy_errors() -> Iterator[None]:
    """Raise GatewayError INVALID_VALUE for a PolicyError of the body."""
    try:
        yield
    except PolicyError as error:
        text = str(error).removesuffix(".")
        if not text.startswith(error.field):
            text = text[:1].upper() + text[1:]
        raise invalid(error.field, f"{text}.") from None


def key_message(key: ApiKey, *, secret: str = "", spent: float | None = None, last_used_at: int = 0) -> Key:
    """Return a key as callers see it."""
    return Key(
        object="key",
        id=key.id,
        tenant=key.tenant,
        name=key.name,
        key=secret,
        scopes=[scope for scope in Scope if scope in key.scopes],
        models=key.models,
        prefer=key.prefer,
        response_format=key.response_format,
        created_at=key.created_at,
        expires_at=min((at for at in (key.expires_at, key.left_at) if at), default=None),
        last_used_at=last_used_at or None,
        revoked_at=key.revoked_at or None,
        spent=spent,
        **_limits(key.quota),
    )


def tenant_message(policy: TenantPolicy, spent: float | None = None) -> Tenant:
    """Return a tenant as callers see it."""
    return Tenant(
        object="tenant",
        name=policy.name,
        media_days=policy.media_days,
        record_days=policy.record_days,
        usage_days=policy.usage_days,
        spent=spent,
        **_limits(policy.quota),
    )


def _limits(quota: Quota) -> dict[str, Any]:
    """Return the fields of a quota. Without a budget, none of them says so."""
    limits = {name: getattr(quota, name) for name in _LIMITS}
    if quota.budget is None:
        return limits
    return limits | {"budget": float(quota.budget), "budget_period": quota.budget_period}


def _with_limits(quota: Quota, request: KeyRequest | pb.UpdateTenantRequest, names: frozenset[str]) -> Quota:
    changes: dict[str, Any] = {name: _optional(request, name) for name in names.intersection(_LIMITS)}
    quota = replace(quota, **changes)
    if "budget" in names:
        quota = replace(quota, budget=Decimal(repr(request.budget)) if request.HasField("budget") else None)
    if "budget_period" in names:
        quota = replace(quota, budget_period=_period(request.budget_period))
    return quota


def _optional(request: KeyRequest | pb.UpdateTenantRequest, name: str) -> int | None:
    """Return a number. None: the field is not set."""
    value: int = getattr(request, name)
    return value if request.HasField(name) else None  # type: ignore[arg-type]  # the name is one of the tables


def _scope(name: str) -> Scope:
    try:
        return Scope(name)
    except ValueError:
        raise invalid("scopes", f"scopes: there is no {name[:40]!r}; scopes are {', '.join(Scope)}.") from None


def _period(name: str) -> BudgetPeriod:
    try:
        return BudgetPeriod(name or BudgetPeriod.MONTH)
    except ValueError:
        raise invalid("budget_period", f"budget_period must be one of {', '.join(BudgetPeriod)}.") from None


def _preference(header: str) -> str:
    try:
        Preferences.parse(header)
    except GatewayError as error:
        raise invalid("prefer", error.message) from None
    return header
