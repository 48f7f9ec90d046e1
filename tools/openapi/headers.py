"""Headers of requests and responses, as components that operations refer to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from imagegateway.platform.ids import REQUEST_ID_CHARACTERS, REQUEST_ID_MAX_LENGTH
from imagegateway.providers.registry import MODELS

if TYPE_CHECKING:
    from collections.abc import Iterable

Json: TypeAlias = dict[str, Any]

_SECONDS: Final[Json] = {"type": "integer", "minimum": 1}
_COUNT: Final[Json] = {"type": "integer", "minimum": 0}
_USD: Final[Json] = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?$", "examples": ["0.04"]}
_DURATION: Final[Json] = {"type": "string", "examples": ["1s", "6m0s", "20ms"]}
_TAG: Final[Json] = {"type": "string", "examples": ['"42"']}
_PREFER: Final[Json] = {
    "type": "string",
    "pattern": "^(wait=[0-9]{1,9}|respond-async|dry-run|handling=(strict|lenient))$",
}


def _parameter(name: str, description: str, schema: Json) -> Json:
    return {"name": name, "in": "header", "description": description, "schema": schema}


_BYOK_ROUTES: Final = sorted({route.name for model in MODELS for route in model.routes if route.required_settings})
"""Routes that take a key."""

PARAMETERS: Final[dict[str, Json]] = {
    "RequestId": _parameter(
        "X-Request-Id",
        "Id of the request, for logs. Every response repeats it. The gateway replaces a malformed id by a new one.",
        {"type": "string", "pattern": f"^[{REQUEST_ID_CHARACTERS}]{{1,{REQUEST_ID_MAX_LENGTH}}}$"},
    ),
    "Prefer": _parameter(
        "Prefer",
        "Preferences (RFC 7240), separated by commas. Unknown ones are ignored. A key may have a default for calls "
        "without this header.\n\n"
        "- `wait=N`: hold the response for up to N seconds, at most 600, until the images are ready. The response to "
        "an unfinished job is 202. Without `wait`, the gateway holds responses of fast models only.\n"
        "- `respond-async`: respond with the job at once.\n"
        "- `dry-run`: respond with the plan (model, route, size, warnings, expected cost). Nothing is dispatched, "
        "kept or billed.\n"
        "- `handling=strict`: fail with `unsupported_parameter` instead of a warning about a field. "
        "Default: `handling=lenient`.",
        _PREFER | {"examples": ["wait=120", "respond-async", "dry-run", "handling=strict"]},
    ),
    "PreferWait": _parameter(
        "Prefer",
        "`wait=N`: hold the response for up to N seconds, at most 600, until the job has ended or, with "
        "`If-None-Match`, has changed.",
        {"type": "string", "pattern": "^wait=[0-9]{1,9}$", "examples": ["wait=30"]},
    ),
    "IdempotencyKey": _parameter(
        "Idempotency-Key",
        "Key of 1 to 255 characters that makes repeats safe for 24 h. The same key and request return the same job, "
        "also while the job runs; the same key with another request is `idempotency_key_mismatch`. The field "
        "`request_id` has the same meaning; the header takes precedence.",
        {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    ),
    "IfNoneMatch": _parameter(
        "If-None-Match",
        "Known `ETag`, or a list of them. The response is 304 while it is current.",
        {"type": "string", "pattern": '^(W/)?"[!#-~]*"$'},
    ),
    "LastEventId": _parameter(
        "Last-Event-ID",
        "Id of the last event received: only later events follow. Browsers' `EventSource` sends it on its own. "
        "The parameter `after` takes precedence.",
        {"type": "string", "pattern": "^[0-9]{1,18}$"},
    ),
    "Range": _parameter(
        "Range",
        "One range of bytes. The response is then 206.",
        {"type": "string", "pattern": "^bytes=([0-9]{1,15}-[0-9]{0,15}|-[0-9]{1,15})$", "examples": ["bytes=0-1023"]},
    ),
} | {
    f"Byok{route.capitalize()}": _parameter(
        f"X-BYOK-{route}",
        f"Your own provider key for the route `{route}`: the call uses this route and your account.",
        {"type": "string", "pattern": "^[!-~]([ -~]*[!-~])?$", "maxLength": 4096},
    )
    for route in _BYOK_ROUTES
}
"""Request headers by component name."""

MAKING: Final = ("Prefer", "IdempotencyKey", *(name for name in PARAMETERS if name.startswith("Byok")))
"""Request headers of operations that make jobs."""

_REQUESTS: Final = "calls that make jobs in a minute"
_IMAGES: Final = "requested images and videos in a minute"
_LIMIT: Final = "The stricter of the key's and the tenant's limits. Absent without a limit."


def _rates(measure: str, meaning: str) -> dict[str, Json]:
    title = measure.capitalize()
    return {
        f"X-RateLimit-Limit-{title}": {"description": f"Limit of {meaning}. {_LIMIT}", "schema": _COUNT},
        f"X-RateLimit-Remaining-{title}": {"description": f"Remaining {meaning}.", "schema": _COUNT},
        f"X-RateLimit-Reset-{title}": {
            "description": f"Time until the limit of {meaning} is whole again, such as `6m0s`.",
            "schema": _DURATION,
        },
    }


RESPONSE: Final[dict[str, Json]] = {
    "X-Request-Id": {"description": "Id of the request: the caller's, if well-formed.", "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds to wait before the next call.", "required": True, "schema": _SECONDS},
    "Poll-After": {"description": "Seconds to wait before the next poll of the job.", "schema": _SECONDS},
    "X-Should-Retry": {
        "description": "`false`: a repeat would pay twice. OpenAI's SDKs then do not repeat the call.",
        "schema": {"const": "false"},
    },
    "Location": {
        "description": "Path of the job.",
        "required": True,
        "schema": {"type": "string", "examples": ["/v1/jobs/job_01kb3c9x5v8e2t7m4q6r0w1y3z"]},
    },
    "X-Job-Id": {"description": "Id of the call's job.", "schema": {"type": "string"}},
    "X-Cost": {"description": "Cost of the ended job in US dollars. Absent: unknown.", "schema": _USD},
    "X-Budget-Remaining": {
        "description": "US dollars that the budgets of the key and its tenant leave. Absent without a budget.",
        "schema": _USD,
    },
    "X-ImageGateway-Provider": {"description": "Provider route that served the call.", "schema": {"type": "string"}},
    "Preference-Applied": {"description": "Preference of `Prefer` that applied.", "schema": {"type": "string"}},
    "ETag": {"description": "Version of the response, for `If-None-Match`.", "schema": _TAG},
    "Cache-Control": {"description": "Rules for caches.", "schema": {"type": "string"}},
    "Accept-Ranges": {"description": "Always `bytes`.", "schema": {"const": "bytes"}},
    "Content-Range": {
        "description": "Range that the response holds, and the size of the file.",
        "schema": {"type": "string", "examples": ["bytes 0-1023/48231"]},
    },
    "Content-Disposition": {"description": "File name for browsers.", "schema": {"type": "string"}},
    **_rates("requests", _REQUESTS),
    **_rates("images", _IMAGES),
}
"""Response headers by component name, which is the header's name but for `Poll-After`."""

RATES: Final = tuple(name for name in RESPONSE if name.startswith("X-RateLimit-"))
"""Rate limits of the key: on every response to a key with limits, errors too."""
MADE: Final = ("X-Job-Id", "X-Cost", "X-Budget-Remaining", "X-ImageGateway-Provider", "Preference-Applied")
"""Response headers of operations that make jobs."""
ACCEPTED: Final = (
    *("X-Request-Id", "Location", "Retry-After", "X-Job-Id", "X-Budget-Remaining", "Preference-Applied"),
    *RATES,
)
"""Response headers of a job that goes on."""

_NAMES: Final = {"Poll-After": "Retry-After"}


def parameters(names: Iterable[str]) -> list[Json]:
    """Return references to request headers."""
    return [{"$ref": f"#/components/parameters/{name}"} for name in names]


def responses(names: Iterable[str]) -> dict[str, Json]:
    """Return references to response headers, by name."""
    return {_NAMES.get(name, name): {"$ref": f"#/components/headers/{name}"} for name in names}
