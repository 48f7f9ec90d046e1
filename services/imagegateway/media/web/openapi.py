"""API description: the OpenAPI document that `make generate` builds from proto/, for one gateway."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final, TypeAlias

import orjson
from imagegateway.v1 import error_reason_pb2

Json: TypeAlias = dict[str, Any]

_FILE: Final = Path(error_reason_pb2.__file__).with_name("openapi.json")
_ADMIN_PATHS: Final = "/v1/admin/"
_ADMIN_TAG: Final = "Administration"
_REFERENCE: Final = re.compile(rb'"#/components/(\w+)/([\w-]+)')


def load() -> Json:
    """Return the document of every gateway. Its server is the origin that serves it."""
    document: Json = orjson.loads(_FILE.read_bytes())
    return document


def describe(public_url: str, *, administration: bool) -> bytes:
    """Return the document of a gateway at `public_url` as JSON, with or without administration."""
    document = load()
    document["servers"][0]["url"] = public_url
    if not administration:
        paths = document["paths"]
        document["paths"] = {path: verbs for path, verbs in paths.items() if not path.startswith(_ADMIN_PATHS)}
        document["tags"] = [tag for tag in document["tags"] if tag["name"] != _ADMIN_TAG]
        while unused := _unused_components(document):  # components that only unused ones refer to are next
            for kind, name in unused:
                del document["components"][kind][name]
    return orjson.dumps(document)


def _unused_components(document: Json) -> set[tuple[str, str]]:
    """Return kind and name of each component without a reference. Security schemes never have one."""
    used = {(kind.decode(), name.decode()) for kind, name in _REFERENCE.findall(orjson.dumps(document))}
    components = {(kind, name) for kind, named in document["components"].items() for name in named}
    return {(kind, name) for kind, name in components - used if kind != "securitySchemes"}
