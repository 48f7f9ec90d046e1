"""Values of response fields beyond protobuf's types, and the fields that are always present."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from imagegateway.keys.policy import BudgetPeriod, Scope
from imagegateway.platform.errors import REASONS
from imagegateway.providers.catalog import Capability, Modality, Mode

Json: TypeAlias = dict[str, Any]

_MODALITY: Final[Json] = {"enum": sorted(Modality)}
_TYPE: Final[Json] = {"enum": ["image.generation", "image.edit", "video.generation"]}
_STATUS: Final[Json] = {"enum": ["queued", "running", "completed", "failed", "cancelled"]}
_PERCENT: Final[Json] = {"maximum": 100}
_USD: Final[Json] = {"const": "USD"}
_SCOPES: Final[Json] = {"items": {"type": "string", "enum": list(Scope)}}
_PERIOD: Final[Json] = {"enum": list(BudgetPeriod)}
_JOB: Final[Json] = {"modality": _MODALITY, "type": _TYPE, "status": _STATUS, "progress": _PERCENT}

FIELDS: Final[dict[str, Json]] = {
    "ImagesResponse": {
        "type": _TYPE,
        "modality": _MODALITY,
        "background": {"enum": ["transparent", "opaque"]},
        "output_format": {"enum": ["png", "jpeg", "webp", "gif", "svg"]},
        "quality": {"enum": ["low", "medium", "high", "xhigh", "max"]},
    },
    "Job": _JOB,
    "JobError": {"type": {"enum": sorted({meaning.type for meaning in REASONS.values()})}},
    "Cost": {"currency": _USD},
    "UsageCost": {"currency": _USD},
    "UsageRow": {"modality": {"enum": ["", *sorted(Modality)]}},
    "Model": {
        "modality": _MODALITY,
        "capabilities": {"items": {"type": "string", "enum": sorted(Capability)}},
        "retired_at": {"format": "date"},
        "default_for": {"items": {"type": "string", "enum": ["generate", "edit", "video"]}},
    },
    "ModelPricing": {"currency": _USD, "unit": {"enum": ["image", "megapixel", "second", "million_tokens"]}},
    "ModelLimits": {
        "output_formats": {"items": {"type": "string", "enum": ["png", "jpeg", "webp", "gif", "svg", "mp4"]}}
    },
    "ModelRoute": {"mode": {"enum": sorted(Mode)}},
    "AdminKey": {"scopes": _SCOPES, "budget_period": _PERIOD, "response_format": {"enum": ["url", "b64_json"]}},
    "AdminTenant": {"budget_period": _PERIOD},
    "AdminTenantJob": _JOB,
    "AdminCircuit": {"state": {"enum": ["closed", "open", "half_open"]}},
    "AdminAuditEvent": {"outcome": {"enum": ["started", "succeeded", "failed"]}},
    "AdminAuditActor": {"type": {"enum": ["key", "operator", "gateway"]}},
}
"""Keywords by message and field."""

_OF_JOB: Final = ("id", "object", "type", "modality", "status", "model", "provider", "created_at", "updated_at")
_LIST: Final = ("object", "data")

REQUIRED: Final[dict[str, tuple[str, ...]]] = {
    "Job": _OF_JOB,
    "JobResult": ("created", "data", "file_url"),
    "JobError": ("message", "type", "code"),
    "WebhookAttempt": ("at",),
    "Warning": ("code", "message"),
    "Cost": ("amount", "currency"),
    "Usage": ("input_tokens", "output_tokens", "total_tokens", "input_tokens_details"),
    "SvgUsage": ("model",),
    "Model": (
        *("id", "object", "created", "owned_by", "description", "modality", "capabilities"),
        *("limits", "routes", "available"),
    ),
    "ModelLimits": ("max_prompt_length", "max_n"),
    "ModelRoute": ("name", "mode", "available"),
    "ModelPricing": ("currency", "unit", "amount", "estimate"),
    "ListJobsResponse": _LIST,
    "ListModelsResponse": _LIST,
    "ListProviderKeysResponse": _LIST,
    "GetUsageResponse": (*_LIST, "total"),
    "UsageRow": ("requests", "images", "failed", "cost"),
    "UsageCost": ("amount", "currency"),
    "ProviderKey": ("object", "route"),
    "DeleteProviderKeyResponse": ("object", "route", "deleted"),
    "SignFileResponse": ("url", "expires_at"),
    "WebhookSecret": ("secret", "created_at"),
    "AdminKey": ("object", "id", "tenant", "scopes", "models", "created_at"),
    "AdminTenant": ("object", "name"),
    "AdminTenantJob": ("tenant", *_OF_JOB),
    "AdminProvider": ("object", "route", "available"),
    "AdminCircuit": ("model", "state"),
    "AdminAuditEvent": ("object", "id", "created_at", "actor", "method", "outcome"),
    "AdminAuditActor": ("type",),
    "AdminListKeysResponse": _LIST,
    "AdminListTenantsResponse": _LIST,
    "AdminListProvidersResponse": _LIST,
    "AdminListJobsResponse": _LIST,
    "AdminListAuditEventsResponse": _LIST,
}
"""Names of the fields that every response of a message has."""
