"""API description: complete, in sentences, and true to the gateway's own tables."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import pytest
from imagegateway.media.web import openapi
from imagegateway.platform.errors import REASONS, code_of
from imagegateway.providers.registry import ROUTES
from imagegateway.router.permissions import METHOD_SCOPES

from tools.openapi import admin_examples, answers, error_examples, examples, request_bounds

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCUMENT: Final = openapi.load()
OPERATIONS: Final = {
    operation["operationId"]: operation
    for paths in (DOCUMENT["paths"], DOCUMENT["webhooks"])
    for verbs in paths.values()
    for operation in verbs.values()
}
FILES: Final = (
    *(f"imagegateway.v1.{name}" for name in ("image_service", "job", "model", "provider_key_service", "rest_edge")),
    *(f"imagegateway.v1.{name}" for name in ("usage_service", "webhook_service")),
    *(f"imagegateway.admin.v1.{name}" for name in ("admin_service", "audit_event", "key", "provider", "tenant")),
    "imagegateway.admin.v1.tenant_job",
)


def walk(part: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every object of the document, with its path."""
    if isinstance(part, dict):
        yield path, part
        for name, value in part.items():
            yield from walk(value, f"{path}/{name}")
    elif isinstance(part, list):
        for index, value in enumerate(part):
            yield from walk(value, f"{path}/{index}")


def test_every_operation_has_its_own_id_a_summary_and_an_example() -> None:
    count = sum(len(verbs) for paths in (DOCUMENT["paths"], DOCUMENT["webhooks"]) for verbs in paths.values())
    assert len(OPERATIONS) == count
    for name, operation in OPERATIONS.items():
        assert operation["summary"], name
        assert operation["description"], name
        assert not operation["summary"].endswith("."), name


def test_every_method_with_a_path_is_an_operation() -> None:
    rest = {name.partition("/")[2] for name in METHOD_SCOPES if "Rest" in name}
    assert rest <= OPERATIONS.keys()


def test_every_field_parameter_header_and_response_is_described() -> None:
    silent = [
        f"{path}/{name}"
        for path, part in walk(DOCUMENT)
        if path.endswith(("/properties", "/headers", "/responses"))
        and "/examples/" not in path
        and "/if/" not in path
        for name, value in part.items()
        if not path.endswith(("/then/properties", "/not/properties"))
        and "description" not in value
        and not value.get("$ref", "").startswith(("#/components/headers", "#/components/responses"))
    ]
    silent += [
        f"{path}/parameters/{parameter['name']}"
        for path, part in walk(DOCUMENT)
        for parameter in (part.get("parameters") or () if isinstance(part.get("parameters"), list) else ())
        if "$ref" not in parameter and not parameter["description"]
    ]
    assert silent == []


def test_descriptions_are_for_readers_of_rest() -> None:
    texts = [part["description"] for _, part in walk(DOCUMENT) if isinstance(part.get("description"), str)]
    assert len(texts) > 500
    for text in texts:
        assert "As in " not in text
        assert "google.rpc" not in text
        assert "ERROR_REASON" not in text


def test_every_reference_has_its_target_and_every_component_a_reference() -> None:
    used = {"/".join(part["$ref"].split("/")[2:4]) for _, part in walk(DOCUMENT) if isinstance(part.get("$ref"), str)}
    known = {f"{kind}/{name}" for kind, named in DOCUMENT["components"].items() for name in named}
    assert used == known - {"securitySchemes/bearer"}


def test_every_error_code_has_an_example_of_its_status() -> None:
    assert error_examples.EXAMPLES.keys() == {code_of(reason) for reason in REASONS} - {"not_implemented"}
    shown = {name for part in DOCUMENT["components"]["responses"].values() for name in codes(part)}
    assert shown >= error_examples.EXAMPLES.keys()


def codes(response: dict[str, Any]) -> Iterator[str]:
    for content in response["content"].values():
        yield from content["examples"]


@pytest.mark.parametrize("table", [request_bounds.FIELDS, request_bounds.OBJECTS, answers.FIELDS, answers.REQUIRED])
def test_tables_name_messages_and_fields_that_exist(table: dict[str, Any]) -> None:
    known = {
        f"{'Admin' if '.admin.' in file else ''}{name}": message
        for file in FILES
        for name, message in import_module(f"{file}_pb2").DESCRIPTOR.message_types_by_name.items()
    }
    for name, fields in table.items():
        assert name in known
        if table is not request_bounds.OBJECTS:
            assert set(fields) <= set(known[name].fields_by_name), name


def test_examples_are_of_operations() -> None:
    assert (examples.EXAMPLES | admin_examples.EXAMPLES).keys() <= OPERATIONS.keys()


def test_every_route_with_a_key_has_its_header() -> None:
    named = {parameter["name"] for parameter in DOCUMENT["components"]["parameters"].values()}
    assert {name.removeprefix("X-BYOK-") for name in named if name.startswith("X-BYOK-")} == {*ROUTES} - {"local"}


def test_request_with_required_fields_alone_is_enough() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    assert schemas["GenerateRequest"]["required"] == ["prompt"]
    assert "required" not in schemas["AdminUpdateKeyRequest"]
    assert schemas["AdminUpdateKeyRequest"]["properties"]["budget"]["type"] == ["number", "null"]
    assert schemas["Image"]["properties"]["b64_json"]["contentEncoding"] == "base64"
    assert schemas["SetProviderKeyRequest"]["properties"].keys() == {"key"}


def test_edit_takes_json_and_forms_and_returns_json_and_events() -> None:
    edit = DOCUMENT["paths"]["/v1/images/edits"]["post"]
    assert edit["requestBody"]["content"].keys() == {"application/json", "multipart/form-data"}
    assert edit["responses"]["200"]["content"].keys() == {"application/json", "text/event-stream"}
    assert edit["responses"]["202"]["headers"].keys() >= {"Location", "Retry-After", "X-Job-Id"}
