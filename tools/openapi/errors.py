"""Error responses: one component for each status and set of codes, with an example for each code."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from imagegateway.platform.errors import REASONS, GatewayError, code_of, reason_of
from imagegateway.stack.envoy_config import LOCAL_REPLIES

from tools.openapi import error_examples, headers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tools.openapi.comments import Comments

Json: TypeAlias = dict[str, Any]

_CLIENT_CLOSED: Final = 499
"""Status of a call whose job is cancelled while the call waits. HTTP has no name for this status."""
_EDGE: Final = {status: (kind, code, text) for status, kind, code, text in LOCAL_REPLIES}
"""Type, code and message of Envoy's own refusals, by status."""


@dataclass(frozen=True, slots=True)
class Group:
    """Errors that operations of one kind share: codes of ErrorReason, and statuses of Envoy's own refusals."""

    name: str
    """Start of the names of components with errors of this group; empty for common errors."""
    codes: tuple[str, ...]
    edge: tuple[int, ...] = ()


COMMON: Final = Group(
    "",
    ("invalid_value", "request_timeout", "rate_limit_exceeded", "internal", "service_unavailable"),
    (400, 431, 502, 504),
)
"""Errors of every operation."""
KEYED: Final = Group("", ("invalid_api_key", "insufficient_scope"))
"""Errors of operations that need a key."""
BODY: Final = Group(
    "Body", ("invalid_json", "missing_parameter", "request_too_large", "unsupported_media_type", "overloaded")
)
"""Errors of operations with a body."""
IMAGES: Final = Group(
    "Images",
    (
        *("unsupported_parameter", "invalid_image", "invalid_image_url", "moderation_blocked"),
        *("budget_exceeded", "price_unknown", "model_not_allowed", "byok_required"),
        *("model_not_found", "model_retired", "expired", "file_too_large", "idempotency_key_mismatch"),
        *("provider_rate_limited", "cancelled", "provider_error", "provider_bad_response", "provider_credentials"),
        *("provider_billing", "provider_outcome_unknown", "provider_unavailable", "provider_not_configured"),
        *("overloaded", "provider_timeout"),
    ),
)
"""Errors of operations that make jobs."""
JOB: Final = Group("Job", ("job_not_found",))
ENDED_JOB: Final = Group("EndedJob", ("unsupported_parameter",))
"""Errors of operations on ended jobs."""
EVENTS: Final = Group("Events", ("subscriber_too_slow",))
FILE: Final = Group("File", ("expired",))
MODEL: Final = Group("Model", ("model_not_found",))
ROUTE: Final = Group("Route", ("unknown_url",))
ADMIN: Final = Group("Admin", ("not_found",))
SECRET: Final = Group("Secret", ("webhook_secret_unreadable",))
LINK: Final = Group("Link", ("invalid_signature", "expired", "unknown_url"))
RANGE: Final = Group("", (), (416,))

_WAITING: Final = frozenset({429, 503})
_REPEATED: Final = 500
"""First status that OpenAI's SDKs repeat on their own."""


class Errors:
    """Builder of error responses. Collects their components."""

    def __init__(self, comments: Comments) -> None:
        self._comments = comments
        self.responses: Json = {}
        self.examples: Json = {}

    def schema(self) -> Json:
        """Return the schema of the error body."""
        codes = "\n".join(
            f"- `{code_of(reason)}` ({REASONS[reason].http}): {self._comments.reason(reason).meaning}"
            for reason in sorted(REASONS, key=lambda reason: (REASONS[reason].http, reason))
        )
        further = {code for _, code, _ in _EDGE.values()} - set(map(code_of, REASONS))
        edge = ", ".join(f"`{code}`" for code in sorted(further))
        fields: Json = {
            "message": {"description": "One sentence for people.", "type": "string", "minLength": 1},
            "type": {
                "description": "Class of the error, as at OpenAI.",
                "type": "string",
                "enum": sorted({meaning.type for meaning in REASONS.values()}),
            },
            "param": {"description": "Request field or header at fault, or null.", "type": ["string", "null"]},
            "code": {
                "description": f"Machine-readable code:\n\n{codes}\n\nFurther codes of malformed requests: {edge}. "
                "Later versions may add codes.",
                "type": ["string", "null"],
            },
        }
        inner: Json = {
            "description": "Error.",
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": fields,
        }
        return {
            "description": "Error, in OpenAI's shape.",
            "type": "object",
            "required": ["error"],
            "properties": {"error": inner},
        }

    def of(self, groups: Sequence[Group], *, keyed: bool) -> Json:
        """Return an operation's error responses by status. `keyed`: the responses carry the key's rate limits."""
        known: dict[int, dict[str, Json]] = {}
        names: dict[int, list[str]] = {}
        for group in groups:
            for status, code, example in self._errors(group):
                known.setdefault(status, {}).setdefault(code, example)
                if group.name and group.name not in names.setdefault(status, []):
                    names[status].append(group.name)
        return {
            str(status): self._response(status, "".join(names.get(status, ())), shown, keyed=keyed)
            for status, shown in sorted(known.items())
        }

    def _errors(self, group: Group) -> Iterator[tuple[int, str, Json]]:
        """Yield status, code and example of each error of a group."""
        for code in group.codes:
            reason = reason_of(code)
            texts = self._comments.reason(reason)
            message, param = error_examples.EXAMPLES[code]
            yield (
                REASONS[reason].http,
                code,
                {
                    "summary": texts.meaning,
                    "description": f"Cause: {texts.cause}\n\nCure: {texts.cure}",
                    "value": GatewayError(reason, message, param).body(),
                },
            )
        for status in group.edge:
            kind, code, text = _EDGE.get(status, error_examples.RANGE)
            body = {"error": {"message": text, "type": kind, "param": None, "code": code}}
            yield status, code, {"summary": text, "value": body}

    def _response(self, status: int, prefix: str, shown: Mapping[str, Json], *, keyed: bool) -> Json:
        phrase = "Client Closed Request" if status == _CLIENT_CLOSED else HTTPStatus(status).phrase
        name = f"{prefix}{'' if keyed else 'Public'}{phrase.title().replace(' ', '').replace('-', '')}"
        if name not in self.responses:
            sent = [
                "X-Request-Id",
                *(("Retry-After",) if status in _WAITING else ()),
                *(("X-Should-Retry",) if status >= _REPEATED else ()),
                *(headers.RATES if keyed else ()),
            ]
            meanings = "\n".join(f"- `{code}`: {example['summary']}" for code, example in shown.items())
            self.responses[name] = {
                "description": f"{phrase}. Codes:\n\n{meanings}",
                "headers": headers.responses(sent),
                "content": {
                    "application/json": {
                        "schema": {"$ref": "#/components/schemas/Error"},
                        "examples": {code: self._example(code, status, example) for code, example in shown.items()},
                    }
                },
            }
        return {"$ref": f"#/components/responses/{name}"}

    def _example(self, code: str, status: int, example: Json) -> Json:
        """Return a reference to the example of a code. Codes of several statuses have one for each."""
        name = code if self.examples.get(code, example) == example else f"{code}_{status}"
        self.examples[name] = example
        return {"$ref": f"#/components/examples/{name}"}
