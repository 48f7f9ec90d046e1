"""OpenAPI 3.1 document of the REST API, built from the generated descriptors and their HTTP annotations."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from google.api import annotations_pb2, field_behavior_pb2
from google.protobuf.descriptor import FieldDescriptor
from imagegateway.admin.v1 import admin_service_pb2
from imagegateway.media.web import openapi_bounds as bounds
from imagegateway.media.web import openapi_responses as responses
from imagegateway.v1 import (
    image_service_pb2,
    provider_key_service_pb2,
    rest_edge_pb2,
    usage_service_pb2,
    webhook_service_pb2,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from google.api.http_pb2 import HttpRule
    from google.protobuf.descriptor import Descriptor, MethodDescriptor

Json: TypeAlias = dict[str, Any]

_FILES: Final = (
    image_service_pb2.DESCRIPTOR,
    provider_key_service_pb2.DESCRIPTOR,
    webhook_service_pb2.DESCRIPTOR,
    usage_service_pb2.DESCRIPTOR,
    admin_service_pb2.DESCRIPTOR,
    rest_edge_pb2.DESCRIPTOR,  # last: the first of several methods with one path describes the body
)
_METHODS: Final = ("get", "put", "post", "delete", "patch")
_HTTP_BODY: Final = "google.api.HttpBody"
_ADMIN: Final = "imagegateway.admin."
_WITH_JSON: Final = frozenset(
    {
        "SetProviderKeyRequest",
        "GenerateRequest",
        "EditRequest",
        "CreateKeyRequest",
        "UpdateKeyRequest",
        "RotateKeyRequest",
        "UpdateTenantRequest",
    }
)
"""Requests whose JSON the router reads."""
_MASK: Final = "update_mask"
"""Field of requests over gRPC. Over REST, the body's names are the mask."""
_WELL_KNOWN: Final[dict[str, Json]] = {
    "google.protobuf.Struct": {"type": "object"},
    "google.protobuf.Value": {},
    "google.protobuf.Duration": {"type": "string", "examples": ["1.5s"]},
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
}
_SCALARS: Final[dict[int, Json]] = {
    FieldDescriptor.TYPE_STRING: {"type": "string"},
    FieldDescriptor.TYPE_BYTES: {"type": "string", "format": "byte", "contentEncoding": "base64"},
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_DOUBLE: {"type": "number", "format": "double"},
    FieldDescriptor.TYPE_INT32: {"type": "integer", "format": "int32"},
    FieldDescriptor.TYPE_INT64: {"type": "integer", "format": "int64"},
    FieldDescriptor.TYPE_UINT32: {"type": "integer", "format": "int64", "minimum": 0, "maximum": 4_294_967_295},
}
_EVENTS: Final[Json] = {"text/event-stream": {}}
_RAW_RESPONSES: Final[dict[str, Json]] = {
    "RestImageService.Generate": _EVENTS,
    "RestImageService.Edit": _EVENTS,
    "RestEventService.StreamJobEvents": _EVENTS,
    "RestUsageService.GetUsage": {"text/csv": {"schema": {"type": "string"}}},
    "RestFileService.DownloadFile": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
}
"""Raw responses by method. The typed method of the same path describes JSON responses."""
_FILE: Final[Json] = {"type": "string", "contentMediaType": "application/octet-stream"}
_PREFER: Final[Json] = {
    "type": "string",
    "pattern": "^(wait=[0-9]{1,9}|respond-async|handling=(strict|lenient))$",
    "examples": ["wait=120", "respond-async", "handling=strict"],
}
_WAIT: Final[Json] = {"type": "string", "pattern": "^wait=[0-9]{1,9}$", "examples": ["wait=30"]}
_HEADERS: Final[dict[str, dict[str, Json]]] = {
    "GenerateRequest": {"Prefer": _PREFER, "Idempotency-Key": bounds.IDEMPOTENCY_KEY},
    "EditRequest": {"Prefer": _PREFER, "Idempotency-Key": bounds.IDEMPOTENCY_KEY},
    "GetJobRequest": {"Prefer": _WAIT, "If-None-Match": {"type": "string", "pattern": '^(W/)?"[!#-~]*"$'}},
    "StreamJobRequest": {"Last-Event-ID": {"type": "string", "pattern": "^[0-9]{1,18}$"}},
}
"""Request headers by request message."""


def describe(public_url: str, version: str) -> Json:
    """Return the whole document for a gateway at `public_url`."""
    return _Document().build(public_url, version)


class _Document:
    """Builder of the document: collects paths, and the message schemas that they refer to."""

    def __init__(self) -> None:
        self._paths: dict[str, Json] = {}
        self._schemas: Json = {"Error": responses.ERROR}

    def build(self, public_url: str, version: str) -> Json:
        for file in _FILES:
            for service in file.services_by_name.values():
                for method in service.methods:
                    for number, binding in enumerate(_bindings(method)):
                        self._add(method, binding, number)
        self._paths["/v1/images/edits"]["post"]["requestBody"]["content"]["multipart/form-data"] = self._form()
        self._paths |= _plain_paths()
        return {
            "openapi": "3.1.0",
            "info": {"title": "imagegateway", "version": version},
            "servers": [{"url": public_url}],
            "security": [{"bearer": []}],
            "paths": self._paths,
            "components": {
                "schemas": dict(sorted(self._schemas.items())),
                "responses": responses.components(),
                "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            },
        }

    def _add(self, method: MethodDescriptor, binding: _Binding, number: int) -> None:
        verb, path = binding.verb, binding.path
        known = self._paths.setdefault(path, {})
        if verb not in known:
            known[verb] = {
                "operationId": f"{_name(method)}{number + 1 if number else ''}",
                "tags": [method.containing_service.name],
                "parameters": self._parameters(method, verb, path),
                "responses": {
                    "200": {"description": "Success", "content": {}},
                    **responses.errors(_statuses(method, path)),
                },
            }
        operation = known[verb]
        in_path = _in_path(path)
        if binding.has_body and not method.client_streaming:
            content = operation.setdefault("requestBody", {"required": True, "content": {}})["content"]
            body = self._object(method.input_type, without=in_path) if in_path else self._message(method.input_type)
            content["application/json"] = {"schema": body}
        content = self._response(method)
        operation["responses"]["200"]["content"].update(content)
        if _makes_job(method) and "application/json" in content:
            operation["responses"]["202"] = {
                "description": "The job continues",
                "headers": responses.JOB_HEADERS,
                "content": content,
            }
        if method.input_type.name == "GetJobRequest":
            operation["responses"]["304"] = {"description": "The job is as `If-None-Match` says"}

    def _parameters(self, method: MethodDescriptor, verb: str, path: str) -> list[Json]:
        in_path = _in_path(path)
        fields = method.input_type.fields_by_name
        parameters: list[Json] = [
            {"name": name, "in": "path", "required": True, "schema": self._field(fields[name])} for name in in_path
        ]
        if verb == "get":
            parameters += [
                {"name": name, "in": "query", "required": False, "schema": self._field(field)}
                for name, field in fields.items()
                if name not in in_path
            ]
        headers = _HEADERS.get(method.input_type.name, {})
        parameters += [{"name": name, "in": "header", "schema": schema} for name, schema in headers.items()]
        return parameters

    def _form(self) -> Json:
        """Return the schema of an edit as a form: fields as text, images as files."""
        edit = image_service_pb2.EditRequest.DESCRIPTOR
        form = {
            name: self._field(field)
            for name, field in edit.fields_by_name.items()
            if not name.startswith(("image", "mask", "markup"))
        }
        form["image"] = {"type": "array", "items": _FILE, "minItems": 1, "maxItems": 16}
        form |= {"mask": _FILE, "markup": _FILE}
        names = {"minLength": 1}
        return {"schema": {"type": "object", "required": ["image"], "properties": form, "propertyNames": names}}

    def _response(self, method: MethodDescriptor) -> Json:
        if method.output_type.full_name == _HTTP_BODY:
            return _RAW_RESPONSES.get(f"{method.containing_service.name}.{method.name}", {})
        return {"application/json": {"schema": self._message(method.output_type)}}

    def _message(self, message: Descriptor) -> Json:
        if message.full_name in _WELL_KNOWN:
            return _WELL_KNOWN[message.full_name]
        name = _name(message)
        if name not in self._schemas:
            schema: Json = {}
            self._schemas[name] = schema  # before the fields: a message may contain itself
            schema.update(self._object(message))
        return {"$ref": f"#/components/schemas/{name}"}

    def _object(self, message: Descriptor, without: Sequence[str] = ()) -> Json:
        fields = [field for field in message.fields if field.name not in without and field.name != _MASK]
        schema: Json = {"type": "object", "properties": {field.name: self._field(field) for field in fields}}
        required = [field.name for field in fields if _is(field_behavior_pb2.FieldBehavior.REQUIRED, field)]
        if required:
            schema["required"] = required
        return schema | bounds.OBJECTS.get(_name(message), {})

    def _field(self, field: FieldDescriptor) -> Json:
        message = field.containing_type
        known: dict[str, Json] = bounds.FIELDS.get(_name(message), {}) if message else {}
        return self._typed(field) | known.get(field.name, {})

    def _typed(self, field: FieldDescriptor) -> Json:
        message = field.message_type
        if message is not None and message.GetOptions().map_entry:
            return {"type": "object", "additionalProperties": self._single(message.fields_by_name["value"])}
        if field.is_repeated:
            return {"type": "array", "items": self._single(field)}
        return self._single(field)

    def _single(self, field: FieldDescriptor) -> Json:
        if field.enum_type is not None:
            return {"type": "string", "enum": [value.name for value in field.enum_type.values]}
        if field.message_type is not None:
            return self._message(field.message_type)
        if _is(field_behavior_pb2.FieldBehavior.INPUT_ONLY, field):
            return _SCALARS[field.type] | {"writeOnly": True}
        return _SCALARS[field.type]


def _name(element: Descriptor | MethodDescriptor) -> str:
    """Return the name of a message or method, which is unique in the document."""
    name: str = element.name
    return f"Admin{name}" if element.full_name.startswith(_ADMIN) else name


@dataclass(frozen=True, slots=True)
class _Binding:
    verb: str
    path: str
    """Path in OpenAPI's notation."""
    has_body: bool


def _bindings(method: MethodDescriptor) -> Iterator[_Binding]:
    """Yield the HTTP bindings of a method, the main one first."""
    rule: HttpRule = method.GetOptions().Extensions[annotations_pb2.http]
    for binding in (rule, *rule.additional_bindings):
        for verb in _METHODS:
            path = getattr(binding, verb)
            if path:
                yield _Binding(verb, re.sub(r"{(\w+)=[^}]*}", r"{\1}", path), bool(binding.body))


def _in_path(path: str) -> list[str]:
    """Return the fields in a path."""
    return re.findall(r"{(\w+)}", path)


def _is(behavior: field_behavior_pb2.FieldBehavior.ValueType, field: FieldDescriptor) -> bool:
    return behavior in field.GetOptions().Extensions[field_behavior_pb2.field_behavior]


def _makes_job(method: MethodDescriptor) -> bool:
    return "request_id" in method.input_type.fields_by_name


def _statuses(method: MethodDescriptor, path: str) -> set[int]:
    """Return the statuses of a method's errors."""
    found = {*responses.ALWAYS, *responses.KEYED}
    if "{" in path or "model" in method.input_type.fields_by_name:
        found.update(responses.NAMING)
    if method.input_type.name in _WITH_JSON:
        found.update(responses.SENDING)
    if _makes_job(method):
        found.update(responses.MAKING)
    if path.startswith(("/v1/files/", "/v1/webhook-secret")):
        found.update(responses.EXPIRING)
    return found


def _plain_paths() -> dict[str, Json]:
    """Return the paths without proto methods: media and health."""
    texts = (("200", "The bytes"), ("206", "The bytes of the range"), ("304", "Not modified"))
    refusals = {*responses.ALWAYS, *responses.NAMING, *responses.EXPIRING, 403, 416}
    media: Json = {
        "security": [],
        "tags": ["Media"],
        "parameters": [
            *(
                {"name": name, "in": "path", "required": True, "schema": {"type": "string", "pattern": pattern}}
                for name, pattern in (("day", "^[0-9-]+$"), ("result", "^[0-9a-f-]{64,81}$"), ("name", "^[!-~]+$"))
            ),
            {"name": "exp", "in": "query", "required": True, "schema": {"type": "integer", "minimum": 0}},
            {"name": "sig", "in": "query", "required": True, "schema": {"type": "string"}},
        ],
        "responses": {status: {"description": text} for status, text in texts} | responses.errors(refusals),
    }
    status = {"application/json": {"schema": {"type": "object", "properties": {"status": {"type": "string"}}}}}
    health: Json = {
        "security": [],
        "tags": ["Health"],
        "responses": {"200": {"description": "Good", "content": status}} | responses.errors(responses.ALWAYS),
    }
    not_ready = {"503": {"description": "Not ready", "content": status}}
    return {
        "/media/{day}/{result}/{name}": {
            "get": {"operationId": "GetMedia", **media},
            "head": {"operationId": "HeadMedia", **media},
        },
        "/healthz": {"get": {"operationId": "GetHealth", **health}},
        "/readyz": {"get": {"operationId": "GetReadiness", **health, "responses": health["responses"] | not_ready}},
    }
