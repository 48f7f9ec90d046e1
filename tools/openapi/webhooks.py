"""Webhooks: calls of the gateway to URLs of callers and of the operator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from imagegateway.jobs.budgets.thresholds import EVENT, PERCENTAGES
from imagegateway.jobs.webhook_message import ATTEMPT_SECONDS, GONE
from imagegateway.v1 import job_pb2

from tools.openapi.examples import BUDGET_EVENT, JOB, JOB_ID

if TYPE_CHECKING:
    from tools.openapi.schemas import Schemas

Json: TypeAlias = dict[str, Any]

TAG: Final = "Webhooks"
_ENDS: Final = {
    "completed": "has its images or its video",
    "failed": "ended with an error",
    "cancelled": "was cancelled",
}
_AMOUNT: Final[Json] = {"type": "number", "minimum": 0}


def paths(schemas: Schemas) -> Json:
    """Return the webhooks by event type."""
    data = schemas.message(job_pb2.Job.DESCRIPTOR) | {"description": "Job."}
    job = schemas.add("JobEvent", _event("Event of an ended job.", data, _ENDS))
    found: Json = {}
    for status, meaning in _ENDS.items():
        found[f"job.{status}"] = _webhook(
            f"Job{status.capitalize()}",
            f"A job {meaning}",
            "The gateway calls the `webhook_url` of the job's request.",
            job,
            {"id": f"evt_{JOB_ID.removeprefix('job_')}", "object": "event", "type": f"job.{status}"}
            | {"created_at": 1764406829, "data": JOB[status]},
        )
    budget = schemas.add("BudgetEvent", _budget())
    found[EVENT] = _webhook(
        "BudgetThreshold",
        "A budget reached a threshold",
        "The gateway calls the operator's URL, the setting IMAGEGATEWAY_EVENTS_WEBHOOK, once for each threshold of "
        "each period. The webhook secret of the tenant `default` signs this call.",
        budget,
        BUDGET_EVENT,
    )
    return found


def _webhook(name: str, summary: str, origin: str, schema: Json, example: Json) -> Json:
    return {
        "post": {
            "operationId": f"{name}Webhook",
            "summary": summary,
            "description": f"{origin} An attempt that receives no 2xx within {ATTEMPT_SECONDS:g} s is repeated with "
            f"growing pauses, always with the same `webhook-id`; {GONE} ends the attempts.",
            "tags": [TAG],
            "security": [],
            "parameters": [
                _header(
                    "webhook-id", "Id of the event, the same in every attempt.", "evt_01kb3c9x5v8e2t7m4q6r0w1y3z"
                ),
                _header("webhook-timestamp", "Time of the attempt in Unix seconds.", "1764406830"),
                _header(
                    "webhook-signature",
                    "Signatures by Standard Webhooks, separated by a space: `v1,` and the base64 HMAC-SHA256 of "
                    "`<webhook-id>.<webhook-timestamp>.<body>`. Two while a rotated secret stays valid.",
                    "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
                ),
                _header(
                    "X-Gateway-Signature",
                    "`t=<Unix seconds>,v1=<HMAC-SHA256 in hex>` of `<t>.<body>`. The key is the secret as shown.",
                    "t=1764406830,v1=5257a869e7ecebeda32affa62cdca3fa51cad7e77a0e56ff536d0ce8e108d8bd",
                ),
            ],
            "requestBody": {
                "description": "Event.",
                "required": True,
                "content": {"application/json": {"schema": schema, "examples": {"event": {"value": example}}}},
            },
            "responses": {
                "2XX": {"description": "Received. No further attempt follows."},
                str(GONE): {"description": "Not wanted. No further attempt follows."},
                "4XX": {"description": "Not received. The gateway repeats the call."},
            },
        }
    }


def _header(name: str, description: str, example: str) -> Json:
    schema: Json = {"type": "string", "examples": [example]}
    return {"name": name, "in": "header", "required": True, "description": description, "schema": schema}


def _event(description: str, data: Json, ends: dict[str, str]) -> Json:
    types = [f"job.{status}" for status in ends]
    return _object(
        description,
        {
            "id": {"description": "Id of the event, as the header `webhook-id`.", "type": "string"},
            "object": {"description": "Constant `event`.", "type": "string", "const": "event"},
            "type": {"description": "Type of the event.", "type": "string", "enum": types},
            "created_at": {"description": "Time of the event in Unix seconds.", "type": "integer"},
            "data": data,
        },
    )


def _budget() -> Json:
    data = _object(
        "Budget.",
        {
            "scope": {"description": "Owner: an API key or a tenant.", "type": "string", "enum": ["key", "tenant"]},
            "id": {"description": "Id of the key, or name of the tenant.", "type": "string"},
            "tenant": {"description": "Tenant.", "type": "string"},
            "threshold": {"description": "Percentage of the budget.", "type": "integer", "enum": list(PERCENTAGES)},
            "spent": _AMOUNT | {"description": "Spent in the period."},
            "budget": _AMOUNT | {"description": "Budget of the period."},
            "currency": {"description": "Constant `USD`.", "type": "string", "const": "USD"},
            "period": {"description": "Period, such as `2026-11`.", "type": "string"},
        },
    )
    event = _event("Event of a budget.", data, {})
    event["properties"]["type"] = {"description": f"Constant `{EVENT}`.", "type": "string", "const": EVENT}
    return event


def _object(description: str, fields: Json) -> Json:
    return {"description": description, "type": "object", "required": list(fields), "properties": fields}
