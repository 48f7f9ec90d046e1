"""Examples of administration. See `examples`."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from tools.openapi.examples import JOB_ID, Example

Json: TypeAlias = dict[str, Any]

_ID: Final = {"id": "0f3a9c27b1d4"}
_KEY: Final[Json] = {
    "object": "key",
    "id": "0f3a9c27b1d4",
    "tenant": "design",
    "name": "Website",
    "scopes": ["generate", "read"],
    "models": ["openai/*", "local/*"],
    "requests_per_minute": 60,
    "budget": 50.0,
    "budget_period": "month",
    "spent": 0.0,
    "created_at": 1764406827,
}
_SECRET: Final = {"key": "igw_5h2k9d3m7q1s8v4x6z0b2c4e6g8j"}
_TENANT: Final[Json] = {"object": "tenant", "name": "design", "concurrent_jobs": 4, "media_days": 30}
_NEW: Final[Json] = {
    "tenant": "design",
    "name": "Website",
    "scopes": ["generate", "read"],
    "models": ["openai/*", "local/*"],
    "requests_per_minute": 60,
    "budget": 50,
}
_JOB: Final[Json] = {
    "id": JOB_ID,
    "object": "job",
    "tenant": "default",
    "key_id": "ed370891447b",
    "type": "image.generation",
    "modality": "image",
    "status": "completed",
    "model": "local/sketch",
    "provider": "local",
    "created_at": 1764406827,
    "started_at": 1764406827,
    "completed_at": 1764406829,
    "updated_at": 1764406829,
    "progress": 100,
    "cost": {"amount": 0.0, "currency": "USD", "estimated": False},
    "request_id": "req_01kb3c9x5v8e2t7m4q6r0w1y3z",
}
_EVENT: Final[Json] = {
    "object": "audit_event",
    "id": "audit_01kb3c9x5v8e2t7m4q6r0w1y3z",
    "created_at": 1764406827,
    "actor": {"type": "key", "id": "ed370891447b", "tenant": "default", "name": "first key"},
    "method": "CreateKey",
    "target": "0f3a9c27b1d4",
    "tenant": "design",
    "fields": {"tenant": "design", "budget": "50"},
    "outcome": "succeeded",
    "request_id": "req_01kb3c9x5v8e2t7m4q6r0w1y3z",
    "address": "127.0.0.1",
}
_PROVIDER: Final[Json] = {
    "object": "provider",
    "route": "openai",
    "available": True,
    "models": ["openai/gpt-image-2"],
    "circuits": [
        {
            "model": "openai/gpt-image-2",
            "state": "open",
            "retry_in": 42,
            "failures": 3,
            "last_error": "provider_error",
        }
    ],
}


def _page(*items: Json) -> Json:
    return {"object": "list", "data": list(items)}


EXAMPLES: Final[dict[str, tuple[Example, ...]]] = {
    "AdminCreateKey": (Example("budget", "Key with a budget", body=_NEW, response=_KEY | _SECRET),),
    "AdminListKeys": (Example("tenant", "Keys of a tenant", query={"tenant": "design"}, response=_page(_KEY)),),
    "AdminGetKey": (Example("key", "Key", path=_ID, response=_KEY),),
    "AdminUpdateKey": (
        Example(
            "budget",
            "New budget, without a limit of requests",
            path=_ID,
            body={"budget": 100, "requests_per_minute": None},
            response={k: v for k, v in _KEY.items() if k != "requests_per_minute"} | {"budget": 100.0},
        ),
    ),
    "AdminRotateKey": (
        Example(
            "overlap", "Previous secret valid for an hour", path=_ID, body={"overlap": "1h"}, response=_KEY | _SECRET
        ),
    ),
    "AdminRevokeKey": (Example("revoked", "Revoked key", path=_ID, response=_KEY | {"revoked_at": 1764410400}),),
    "AdminUpdateTenant": (
        Example(
            "limits",
            "Limits of a tenant",
            path={"name": "design"},
            body={"concurrent_jobs": 4, "media_days": 30},
            response=_TENANT,
        ),
    ),
    "AdminGetTenant": (Example("tenant", "Tenant", path={"name": "design"}, response=_TENANT),),
    "AdminListTenants": (Example("all", "All tenants", response=_page(_TENANT)),),
    "AdminListProviders": (Example("all", "All routes", response=_page(_PROVIDER)),),
    "AdminListJobs": (Example("completed", "Completed jobs", query={"status": "completed"}, response=_page(_JOB)),),
    "AdminListAuditEvents": (
        Example("method", "Created keys", query={"method": "CreateKey"}, response=_page(_EVENT)),
    ),
}
"""Examples by operation, in an order in which they can run."""
