"""Bounds of the request fields of administration, as JSON Schema keywords. See `request_bounds`."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

Json: TypeAlias = dict[str, Any]

_LINE: Final = r"^([!-~]([ -~]*[!-~])?)?$"
_RATE: Final[Json] = {"minimum": 1, "maximum": 1_000_000}
_DAYS: Final[Json] = {"minimum": 1, "maximum": 3660}
_LIMITS: Final[Json] = {
    "requests_per_minute": _RATE,
    "images_per_minute": _RATE,
    "concurrent_jobs": _RATE,
    "budget": {"minimum": 0, "maximum": 1_000_000_000},
    "budget_period": {"enum": ["day", "month", "total"]},
}
_KEY: Final[Json] = _LIMITS | {
    "name": {"maxLength": 200, "pattern": _LINE},
    "scopes": {"minItems": 1, "items": {"type": "string", "enum": ["generate", "edit", "video", "read", "admin"]}},
    "models": {
        "minItems": 1,
        "maxItems": 100,
        "items": {"type": "string", "pattern": r"^[A-Za-z0-9_./*?:!-]{1,200}$", "examples": ["openai/*"]},
    },
    "prefer": {"enum": ["wait=120", "respond-async", "handling=strict"]},
    "response_format": {"enum": ["url", "b64_json"]},
    "expires_at": {"minimum": 4_102_444_800, "maximum": 4_294_967_295},
    "expires": {"pattern": "^([1-9][0-9]{0,3}[smhd]|20[3-9][0-9]-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8]))$"},
}
_ID: Final[Json] = {"id": {"pattern": "^[0-9a-f]{12}$"}}
_TENANT: Final[Json] = {"minLength": 1, "maxLength": 100, "pattern": r"^[!-~]([ -~]*[!-~])?$"}
_NAME: Final[Json] = {"name": {"minLength": 1, "maxLength": 100, "pattern": r"^[A-Za-z0-9_-]+$"}}
_PAGE: Final[Json] = {"page_size": {"minimum": 1}}
_STATUS: Final[Json] = {"status": {"enum": ["queued", "running", "completed", "failed", "cancelled"]}}

FIELDS: Final[dict[str, Json]] = {
    "AdminCreateKeyRequest": _KEY | {"tenant": _TENANT},
    "AdminUpdateKeyRequest": _KEY | _ID,
    "AdminGetKeyRequest": _ID,
    "AdminRevokeKeyRequest": _ID,
    "AdminRotateKeyRequest": _ID | {"overlap": {"pattern": "^([0-9]{1,6}s|[0-9]{1,5}m|[0-9]{1,3}h|[1-8]?[0-9]d)$"}},
    "AdminGetTenantRequest": _NAME,
    "AdminUpdateTenantRequest": _LIMITS | _NAME | {"media_days": _DAYS, "record_days": _DAYS, "usage_days": _DAYS},
    "AdminListKeysRequest": _PAGE,
    "AdminListTenantsRequest": _PAGE,
    "AdminListAuditEventsRequest": _PAGE,
    "AdminListJobsRequest": _PAGE | _STATUS | {"model": {"pattern": "^[!-~]+$"}},
}
"""Keywords by message and field."""

_CLOSED: Final[Json] = {"additionalProperties": False}
_ONE_END: Final[Json] = {
    "not": {"required": ["expires", "expires_at"], "properties": {"expires": {}, "expires_at": {}}}
}

OBJECTS: Final[dict[str, Json]] = {
    "AdminCreateKeyRequest": _CLOSED | _ONE_END,
    "AdminUpdateKeyRequest": _CLOSED | _ONE_END,
    "AdminRotateKeyRequest": _CLOSED,
    "AdminUpdateTenantRequest": _CLOSED,
}
"""Keywords by message, for combinations of fields."""
