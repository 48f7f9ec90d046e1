"""Bounds of request fields in the OpenAPI document equal the gateway's own."""

from __future__ import annotations

from typing import Any, Final

import pytest
from google.protobuf.json_format import ParseDict
from imagegateway.platform.errors import GatewayError
from imagegateway.platform.setting_source import Source
from imagegateway.router.call_context import Preferences
from imagegateway.router.catalog import Catalog
from imagegateway.router.validation.request import validate_request
from imagegateway.v1 import image_service_pb2 as pb

from tools.openapi.request_bounds import FIELDS

CATALOG: Final = Catalog.load(Source({}))
BOUNDS: Final = FIELDS["GenerateRequest"]
OF_MODEL: Final = {"seconds", "fps"}


def is_accepted(name: str, value: Any) -> bool:
    """Return whether a value is in bounds, be the field of use to the model or not."""
    request = ParseDict({"prompt": "a fox", name: value}, pb.GenerateRequest())
    try:
        validate_request(request, CATALOG, "local/sketch", Preferences())
    except GatewayError as error:
        return error.code != "invalid_value"
    return True


@pytest.mark.parametrize(
    "name", [name for name, facts in BOUNDS.items() if "minimum" in facts and name not in OF_MODEL]
)
def test_number_is_accepted_up_to_its_bounds(name: str) -> None:
    low, high = BOUNDS[name]["minimum"], BOUNDS[name]["maximum"]
    assert is_accepted(name, low)
    assert is_accepted(name, high)
    assert not is_accepted(name, low - 1)
    assert not is_accepted(name, high + 1)


@pytest.mark.parametrize("name", [name for name, facts in BOUNDS.items() if "enum" in facts])
def test_text_is_accepted_from_its_list_only(name: str) -> None:
    for value in BOUNDS[name]["enum"]:
        assert is_accepted(name, value)
    assert not is_accepted(name, "nonsense")


@pytest.mark.parametrize("name", ["user", "safety_identifier"])
def test_text_is_accepted_up_to_its_length(name: str) -> None:
    longest = BOUNDS[name]["maxLength"]
    assert is_accepted(name, "x" * longest)
    assert not is_accepted(name, "x" * (longest + 1))


def test_metadata_is_accepted_up_to_its_bounds() -> None:
    facts = BOUNDS["metadata"]
    name, value = facts["propertyNames"]["maxLength"], facts["additionalProperties"]["maxLength"]
    pairs = facts["maxProperties"]
    assert is_accepted("metadata", {f"{number:0{name}}": "x" * value for number in range(pairs)})
    assert not is_accepted("metadata", {str(number): "x" for number in range(pairs + 1)})
    assert not is_accepted("metadata", {"x" * (name + 1): "x"})
    assert not is_accepted("metadata", {"x": "x" * (value + 1)})
