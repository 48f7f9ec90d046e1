"""More checks for Schemathesis. They run in its own Python, without the gateway's packages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import schemathesis

if TYPE_CHECKING:
    from collections.abc import Mapping

_ABOUT_SERVER: Final = frozenset(
    {
        "byok_required",
        "expired",
        "idempotency_key_mismatch",
        "invalid_signature",
        "job_not_found",
        "model_not_found",
        "not_found",
        "unknown_url",
        "unsupported_parameter",
    }
)
"""Codes of refusals that depend on stored state or the model, which a schema can't express."""
_CONTENT: Final = (
    "image",
    "images",
    "mask",
    "markup",
    "webhook_url",
    "loras",
    "page_token",
    "route",
    "provider_options",
    "group_by",
    "end",
)
"""Parameters that a schema can describe in part only: bytes of images, hosts, opaque tokens, routes, groups."""
_OF_MODEL: Final = ("background", "n", "seconds", "fps", "style", "prompt")
"""Parameters that a model bounds further."""


@schemathesis.hook
def before_load_schema(context: object, raw_schema: dict[str, Any]) -> None:
    """Leave out headers with more values than tests: provider keys that choose a route, and the request id."""
    for verbs in raw_schema["paths"].values():
        for operation in verbs.values():
            operation["parameters"] = [each for each in operation["parameters"] if not _is_left_out(each)]


def _is_left_out(parameter: Mapping[str, Any]) -> bool:
    name: str = parameter.get("$ref", "").rpartition("/")[2]
    return name.startswith(("Byok", "RequestId"))


@schemathesis.check
def valid_request_is_accepted(context: object, response: Any, case: Any) -> None:
    """Fail where a request that follows the schema is refused for its form."""
    if not case.meta.generation.mode.is_positive or not 400 <= response.status_code < 500 or _has_no_body(case):
        return
    error: Mapping[str, str | None] = response.json()["error"]
    if error["code"] in _ABOUT_SERVER:
        return
    param = (error["param"] or "").partition(".")[0].partition("[")[0]
    if param.removesuffix("_url").removesuffix("_content") in _CONTENT or param in (*_CONTENT, *_OF_MODEL):
        return
    raise AssertionError(f"a valid request is refused: {response.status_code} {error}")


@schemathesis.check
def error_is_explained(context: object, response: Any, case: Any) -> None:
    """Fail where an error has no code or no request id."""
    if response.status_code < 400 or _has_no_body(case):
        return
    error = response.json().get("error")
    if error is None:  # /readyz
        return
    assert error["code"], f"an error without a code: {error}"
    is_http = error["code"] != "invalid_request"  # else Envoy's parser refused it, before it has an id
    assert response.headers.get("x-request-id") or not is_http, "an error without x-request-id"


def _has_no_body(case: Any) -> bool:
    return bool(case.method.upper() == "HEAD")
