"""OpenAPI document: all parts in their order."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from imagegateway.admin.v1 import admin_service_pb2
from imagegateway.v1 import (
    image_service_pb2,
    provider_key_service_pb2,
    rest_edge_pb2,
    usage_service_pb2,
    webhook_service_pb2,
)

from tools.openapi import headers, plain_paths, webhooks
from tools.openapi.errors import Errors
from tools.openapi.operations import Binding, Operations, bindings
from tools.openapi.schemas import Schemas

if TYPE_CHECKING:
    from tools.openapi.comments import Comments

Json: TypeAlias = dict[str, Any]

_INTRODUCTION: Final = Path(__file__).with_name("introduction.md")
_FILES: Final = (
    image_service_pb2.DESCRIPTOR,
    rest_edge_pb2.DESCRIPTOR,
    usage_service_pb2.DESCRIPTOR,
    provider_key_service_pb2.DESCRIPTOR,
    webhook_service_pb2.DESCRIPTOR,
    admin_service_pb2.DESCRIPTOR,
)
_TAGS: Final = {
    "Images": "Generate and edit images, in the shape of OpenAI's Images API.",
    "Videos": "Generate videos.",
    "Jobs": "Follow, list, cancel and erase jobs. Every call that makes images is a job.",
    "Files": "Download the images and videos of jobs.",
    "Models": "Models with their capabilities, limits, prices and availability.",
    "Usage": "Spend and counts by model, key, day and more.",
    "Provider keys": "Provider keys of your own, stored for all calls of your tenant.",
    "Webhooks": "Calls of the gateway to your URL, and the secret that signs them.",
    "Administration": "API keys, tenants, providers and audit events. Needs a key with the scope `admin`.",
    "Service": "Health, and this description.",
}


def describe(comments: Comments, version: str) -> Json:
    """Return the document. Its server is the origin that serves it."""
    schemas, errors = Schemas(comments), Errors(comments)
    operations = Operations(comments, schemas, errors)
    paths: dict[str, Json] = {}
    for (path, verb), same in _operations().items():
        paths.setdefault(path, {})[verb] = operations.of(same)
    paths |= plain_paths.paths(errors)
    hooks = webhooks.paths(schemas)
    schemas.add("Error", errors.schema())
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "imagegateway",
            "version": version,
            "summary": "One image API in front of every image provider.",
            "description": _INTRODUCTION.read_text(),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "Gateway that serves this description."}],
        "security": [{"bearer": []}],
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "paths": paths,
        "webhooks": hooks,
        "components": {
            "schemas": dict(sorted(schemas.components.items())),
            "responses": dict(sorted(errors.responses.items())),
            "parameters": headers.PARAMETERS,
            "headers": headers.RESPONSE,
            "examples": dict(sorted(errors.examples.items())),
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "API key of the gateway. The first start prints one; `imagegateway keys create` "
                    "and `POST /v1/admin/keys` make more.",
                }
            },
        },
    }


def _operations() -> dict[tuple[str, str], list[Binding]]:
    """Return the bindings by path and verb."""
    found: dict[tuple[str, str], list[Binding]] = defaultdict(list)
    for file in _FILES:
        for service in file.services_by_name.values():
            for method in service.methods:
                for binding in bindings(method):
                    found[binding.path, binding.verb].append(binding)
    return found
