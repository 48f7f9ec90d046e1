"""Operations: HTTP bindings of proto methods, with parameters, bodies, responses and examples."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from google.api import annotations_pb2
from imagegateway.router.permissions import scopes_of

from tools.openapi import admin_examples, errors, examples, headers, results
from tools.openapi.schemas import name_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from google.api.http_pb2 import HttpRule
    from google.protobuf.descriptor import Descriptor, MethodDescriptor

    from tools.openapi.comments import Comments
    from tools.openapi.errors import Errors, Group
    from tools.openapi.examples import Example
    from tools.openapi.schemas import Schemas

Json: TypeAlias = dict[str, Any]

_VERBS: Final = ("get", "put", "post", "delete", "patch")
_RAW: Final = "google.api.HttpBody"
_EXAMPLES: Final = examples.EXAMPLES | admin_examples.EXAMPLES
_FURTHER_IDS: Final = {"CancelJob": "CancelJobByDelete"}
"""Ids of additional bindings that no method of a REST service describes, by method."""
_TAGS: Final = (
    ("/v1/images/", "Images"),
    ("/v1/videos/", "Videos"),
    ("/v1/jobs", "Jobs"),
    ("/v1/files/", "Files"),
    ("/v1/models", "Models"),
    ("/v1/usage", "Usage"),
    ("/v1/provider-keys", "Provider keys"),
    ("/v1/webhook-secret", "Webhooks"),
    ("/v1/admin/", "Administration"),
)
"""Tags by the start of the path."""
_OF_PATH: Final[dict[str, Group]] = {
    "job_id": errors.JOB,
    "model_id": errors.MODEL,
    "route": errors.ROUTE,
    "id": errors.ADMIN,
    "name": errors.ADMIN,
}
"""Errors by the parameter of a path."""
_OF_METHOD: Final[dict[str, Group]] = {
    "EraseJob": errors.ENDED_JOB,
    "RedeliverWebhook": errors.ENDED_JOB,
    "StreamJob": errors.EVENTS,
    "StreamJobEvents": errors.EVENTS,
    "DownloadFile": errors.FILE,
    "SignFile": errors.FILE,
    "GetWebhookSecret": errors.SECRET,
    "RotateWebhookSecret": errors.SECRET,
}
"""Further errors by method."""
_HEADERS: Final[dict[str, Sequence[str]]] = {
    "GenerateRequest": headers.MAKING,
    "EditRequest": headers.MAKING,
    "GetJobRequest": ("PreferWait", "IfNoneMatch"),
    "StreamJobRequest": ("LastEventId",),
}
"""Request headers by request message."""
_SENT: Final[dict[str, Sequence[str]]] = {
    "GenerateRequest": headers.MADE,
    "EditRequest": headers.MADE,
    "GetJobRequest": ("ETag", "Poll-After", "X-Cost", "Preference-Applied"),
    "CancelJobRequest": ("X-Cost",),
    "EraseJobRequest": ("X-Cost",),
    "RedeliverWebhookRequest": ("X-Cost",),
    "GetUsageRequest": ("Content-Disposition",),
}
"""Response headers by request message."""
_STREAM: Final = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Binding:
    """HTTP binding of a method."""

    method: MethodDescriptor
    verb: str
    path: str
    """Path in OpenAPI's notation."""
    has_body: bool
    is_further: bool
    """True for an additional binding."""

    @property
    def in_path(self) -> list[str]:
        """Return the fields in the path."""
        return re.findall(r"{(\w+)}", self.path)

    @property
    def is_rest(self) -> bool:
        """Return True for a method of a service that serves REST alone. Its comment is for readers of REST."""
        return bool(self.method.containing_service.name.startswith("Rest"))


def bindings(method: MethodDescriptor) -> Iterator[Binding]:
    """Yield the HTTP bindings of a method, the main one first."""
    rule: HttpRule = method.GetOptions().Extensions[annotations_pb2.http]
    for number, binding in enumerate((rule, *rule.additional_bindings)):
        for verb in _VERBS:
            path = getattr(binding, verb)
            if path:
                yield Binding(method, verb, re.sub(r"{(\w+)=[^}]*}", r"{\1}", path), bool(binding.body), number > 0)


class Operations:
    """Builder of operations."""

    def __init__(self, comments: Comments, schemas: Schemas, found: Errors) -> None:
        self._comments = comments
        self._schemas = schemas
        self._errors = found

    def of(self, same: Sequence[Binding]) -> Json:
        """Return the operation of the bindings of one verb and path: of a typed method, of a REST one, or of both."""
        typed = next((binding for binding in same if not binding.is_rest), same[0])
        rest = next((binding for binding in same if binding.is_rest), typed)
        message: Descriptor = typed.method.input_type
        operation_id = _FURTHER_IDS[rest.method.name] if rest.is_further else name_of(rest.method)
        shown = _EXAMPLES[operation_id]
        summary, description = self._comments.summary(rest.method.full_name)
        scopes = scopes_of(f"{rest.method.containing_service.full_name}/{rest.method.name}")
        needed = " or ".join(f"`{scope}`" for scope in sorted(scopes))
        operation: Json = {
            "operationId": operation_id,
            "summary": summary,
            "description": "\n\n".join(part for part in (description, f"Scopes: {needed}.") if part),
            "tags": [next(tag for start, tag in _TAGS if typed.path.startswith(start))],
            "parameters": self._parameters(typed, message),
            "responses": self._responses(typed, rest, shown),
        }
        if typed.has_body:
            operation["requestBody"] = self._body(typed, message, shown)
        return operation

    def _parameters(self, binding: Binding, message: Descriptor) -> list[Json]:
        names = binding.in_path
        if binding.verb == "get":
            names = names + [field.name for field in message.fields if field.name not in names]
        return [
            *(self._parameter(message, name, in_path=name in binding.in_path) for name in names),
            *headers.parameters((*_HEADERS.get(message.name, ()), "RequestId")),
        ]

    def _parameter(self, message: Descriptor, name: str, *, in_path: bool) -> Json:
        schema = self._schemas.field(message.fields_by_name[name])
        return {
            "name": name,
            "in": "path" if in_path else "query",
            "required": in_path,
            "description": schema.pop("description"),
            "schema": schema,
        }

    def _body(self, binding: Binding, message: Descriptor, shown: Sequence[Example]) -> Json:
        in_path = binding.in_path
        name = name_of(message)
        schema = self._schemas.add(name, self._schemas.body(message, without=in_path))
        content: Json = {
            "application/json": {
                "schema": schema,
                "examples": {each.name: _example(each.summary, each.body) for each in shown if each.body is not None},
            }
        }
        if message.name == "EditRequest":
            content["multipart/form-data"] = {"schema": results.edit_form(self._schemas)}
        return {
            "description": f"{self._comments.summary(message.full_name)[0]}.",
            "required": True,
            "content": content,
        }

    def _responses(self, typed: Binding, rest: Binding, shown: Sequence[Example]) -> Json:
        message: Descriptor = typed.method.input_type
        sent = headers.responses(("X-Request-Id", *_SENT.get(message.name, ()), *headers.RATES))
        content = self._content(typed, rest, shown)
        found: Json = {"200": {"description": self._success(typed), "headers": sent, "content": content}}
        if _makes_job(message):
            found["202"] = {
                "description": "Job that goes on.",
                "headers": headers.responses(headers.ACCEPTED),
                "content": {
                    "application/json": {
                        "schema": results.job(self._schemas),
                        "examples": _responses(shown, 202) or {"job": _example("Job", examples.JOB["queued"])},
                    }
                },
            }
        if message.name == "GetJobRequest":
            found["304"] = {
                "description": "The known version is current.",
                "headers": headers.responses(("X-Request-Id", "ETag", "Poll-After", "X-Cost", *headers.RATES)),
            }
        return found | self._errors.of(_groups(typed, rest), keyed=True)

    def _success(self, typed: Binding) -> str:
        if _makes_job(typed.method.input_type):
            return "Images, the plan, or the stream of events."
        if typed.method.output_type.full_name == _RAW:
            return "Bytes of the file." if typed.method.name == "DownloadFile" else "Events."
        return f"{self._comments.summary(typed.method.output_type.full_name)[0]}."

    def _content(self, typed: Binding, rest: Binding, shown: Sequence[Example]) -> Json:
        """Return the bodies of the response 200 by media type."""
        message: Descriptor = typed.method.input_type
        successes = _responses([each for each in shown if not _is_event(each)], 200)
        events = _responses([each for each in shown if _is_event(each)], 200)
        if _makes_job(message):
            content = {"application/json": {"schema": results.images_or_plan(self._schemas), "examples": successes}}
            if rest.method.name != "GenerateVideo":
                event = results.image_events(self._schemas, edit=message.name == "EditRequest")
                content[_STREAM] = {"schema": event} | ({"examples": events} if events else {})
            return content
        match rest.method.name:
            case "StreamJobEvents":
                return {_STREAM: {"schema": results.job_events(self._schemas), "examples": successes}}
            case "DownloadFile":
                return {"*/*": {"schema": {"type": "string", "format": "binary"}}}
        content = {
            "application/json": {"schema": self._schemas.message(typed.method.output_type), "examples": successes}
        }
        if rest.method.name == "GetUsage":
            content["text/csv"] = {"schema": {"type": "string"}}
        return content


def _groups(typed: Binding, rest: Binding) -> list[Group]:
    """Return the errors of an operation."""
    message: Descriptor = typed.method.input_type
    found = [errors.COMMON, errors.KEYED]
    if typed.has_body:
        found.append(errors.BODY)
    found += [_OF_PATH[name] for name in typed.in_path if name in _OF_PATH]
    if _makes_job(message):
        found.append(errors.IMAGES)
    elif "model" in message.fields_by_name:
        found.append(errors.MODEL)
    if rest.method.name in _OF_METHOD:
        found.append(_OF_METHOD[rest.method.name])
    return found


def _makes_job(message: Descriptor) -> bool:
    return "request_id" in message.fields_by_name


def _is_event(example: Example) -> bool:
    return bool(example.body and example.body.get("stream"))


def _responses(shown: Sequence[Example], status: int) -> Json:
    """Return the responses of examples with a status."""
    return {
        each.name: _example(each.summary, each.response)
        for each in shown
        if each.status == status and each.response is not None
    }


def _example(summary: str, value: object) -> Json:
    return {"summary": summary, "value": value}
