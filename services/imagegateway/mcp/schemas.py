"""JSON Schemas of arguments and results, as short as they can be: every agent holds them in its context."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic.json_schema import GenerateJsonSchema

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import core_schema


class _Compact(GenerateJsonSchema):
    """Generator without titles, and without null for fields that may be left out."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        if schema.get("default", ...) is None:
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        model = super().model_schema(schema)
        return {name: value for name, value in model.items() if name not in {"title", "description"}}


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """Return the schema of a model, its required fields first."""
    schema = model.model_json_schema(schema_generator=_Compact)
    required = schema.get("required", [])
    schema["properties"] = dict(sorted(schema["properties"].items(), key=lambda item: item[0] not in required))
    return schema
