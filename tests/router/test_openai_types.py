"""The public contract against the types of the pinned OpenAI SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, get_args, get_origin

import pytest
from imagegateway.platform.errors import GatewayError
from imagegateway.platform.setting_source import Source
from imagegateway.providers.openai.catalog import MODELS
from imagegateway.router import openai_values
from imagegateway.router.call_context import Preferences
from imagegateway.router.catalog import Catalog
from imagegateway.router.validation.request import validate_request
from imagegateway.v1 import image_service_pb2 as pb
from imagegateway.v1 import job_pb2
from openai.types import (
    Image,
    ImageEditCompletedEvent,
    ImageEditPartialImageEvent,
    ImageEditStreamEvent,
    ImageGenCompletedEvent,
    ImageGenPartialImageEvent,
    ImageGenStreamEvent,
    ImageModel,
    ImagesResponse,
    image_edit_params,
    image_generate_params,
)
from pydantic import BaseModel
from typing_extensions import get_type_hints

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, FieldDescriptor

GENERATE: Final = image_generate_params.ImageGenerateParamsBase
EDIT: Final = image_edit_params.ImageEditParamsBase
EVENTS: Final = (
    ImageGenCompletedEvent,
    ImageEditCompletedEvent,
    ImageGenPartialImageEvent,
    ImageEditPartialImageEvent,
)
FILES: Final = frozenset({"image"})
"""Parameters that are files in a form, and `images` and `image_content` in a message."""
NEWEST: Final = "openai/gpt-image-2.6-flare"
CATALOG: Final = Catalog.load(Source({"IMAGEGATEWAY_OPENAI_API_KEY": "k"}))


def values_of(hint: Any) -> set[str]:
    """Return every text of a Literal, also inside unions."""
    if get_origin(hint) is Literal:
        return {value for value in get_args(hint) if isinstance(value, str)}
    return {value for part in get_args(hint) for value in values_of(part)}


def is_free(hint: Any) -> bool:
    """Return True if the type allows any text."""
    return hint is str or any(is_free(part) for part in get_args(hint) if get_origin(hint) is not Literal)


def parameters(params: Any) -> dict[str, Any]:
    return get_type_hints(params) | {"stream": bool}


def names(descriptor: Descriptor) -> set[str]:
    return set(descriptor.fields_by_name)


@pytest.mark.parametrize(("params", "message"), [(GENERATE, pb.GenerateRequest), (EDIT, pb.EditRequest)])
def test_every_request_parameter_has_a_field(params: Any, message: Any) -> None:
    assert set(parameters(params)) - FILES <= names(message.DESCRIPTOR)


@pytest.mark.parametrize("module", [image_generate_params, image_edit_params])
def test_every_part_of_an_object_parameter_has_a_field(module: Any) -> None:
    assert set(get_type_hints(module.Svg)) == names(pb.Svg.DESCRIPTOR)
    assert set(get_type_hints(module.SvgReasoning)) == names(pb.SvgReasoning.DESCRIPTOR)


@pytest.mark.parametrize(("params", "message"), [(GENERATE, pb.GenerateRequest), (EDIT, pb.EditRequest)])
def test_every_value_of_a_request_parameter_is_accepted(params: Any, message: Any) -> None:
    for name, hint in parameters(params).items():
        for value in values_of(hint) if name != "model" else ():
            request = message(model=NEWEST, prompt="a fox")
            setattr(request, name, value)
            assert validate_request(request, CATALOG, NEWEST, Preferences()).model.id == NEWEST, (name, value)


@pytest.mark.parametrize("module", [image_generate_params, image_edit_params])
def test_every_effort_of_an_svg_author_is_accepted(module: Any) -> None:
    for effort in values_of(get_type_hints(module.SvgReasoning)["effort"]):
        svg = pb.Svg(model="gpt-5.5", reasoning=pb.SvgReasoning(effort=effort))
        request = pb.GenerateRequest(model=NEWEST, prompt="a fox", output_format="svg", svg=svg)
        assert validate_request(request, CATALOG, NEWEST, Preferences(strict=True)).task.svg == svg


@pytest.mark.parametrize(("params", "message"), [(GENERATE, pb.GenerateRequest), (EDIT, pb.EditRequest)])
def test_value_that_the_sdk_does_not_know_is_refused(params: Any, message: Any) -> None:
    for name, hint in parameters(params).items():
        if not values_of(hint) or is_free(hint):
            continue
        request = message(model=NEWEST, prompt="a fox")
        setattr(request, name, "no such value")
        with pytest.raises(GatewayError) as refused:
            validate_request(request, CATALOG, NEWEST, Preferences())
        assert (refused.value.code, refused.value.param) == ("invalid_value", name)


def test_every_model_is_in_the_catalog_under_its_bare_name() -> None:
    assert {CATALOG.resolve(name).id for name in get_args(ImageModel)} <= {model.id for model in MODELS}


@pytest.mark.parametrize("name", get_args(ImageModel))
def test_bare_names_of_gpt_image_models_answer_base64(name: str) -> None:
    request = pb.GenerateRequest(model=name, prompt="a fox")
    assert validate_request(request, CATALOG, "", Preferences()).b64_json is ("gpt-image" in name)
    request.model = f"openai/{name}"
    assert not validate_request(request, CATALOG, "", Preferences()).b64_json


FIELDS: Final[list[tuple[type[BaseModel], Descriptor]]] = [
    (ImagesResponse, pb.ImagesResponse.DESCRIPTOR),
    (Image, job_pb2.Image.DESCRIPTOR),
]


@pytest.mark.parametrize(("model", "descriptor"), FIELDS)
def test_every_field_of_an_answer_has_one_of_ours(model: type[BaseModel], descriptor: Descriptor) -> None:
    """Inner objects too: the contract must have every field that a typed client requires."""
    assert set(model.model_fields) <= names(descriptor)
    for name, known in model.model_fields.items():
        field: FieldDescriptor = descriptor.fields_by_name[name]
        for part in (known.annotation, *get_args(known.annotation)):
            if isinstance(part, type) and issubclass(part, BaseModel) and field.message_type is not None:
                test_every_field_of_an_answer_has_one_of_ours(part, field.message_type)


def test_values_of_an_answers_fields_are_those_of_the_sdk() -> None:
    known = {name: values_of(field.annotation) for name, field in ImagesResponse.model_fields.items()}
    assert known["quality"] == openai_values.QUALITIES
    assert known["background"] == openai_values.BACKGROUNDS
    assert known["output_format"] == openai_values.OUTPUT_FORMATS


def test_every_event_is_known() -> None:
    """A failure here means a new kind of event that clients of streams may expect."""
    known = {event for union in (ImageGenStreamEvent, ImageEditStreamEvent) for event in get_args(get_args(union)[0])}
    assert known == set(EVENTS)
    types = {value for event in EVENTS for value in values_of(event.model_fields["type"].annotation)}
    assert types == {
        f"image_{kind}.{step}" for kind in ("generation", "edit") for step in ("partial_image", "completed")
    }


@pytest.mark.parametrize("event", EVENTS)
def test_values_of_an_events_fields_are_those_of_the_sdk(event: type[BaseModel]) -> None:
    known = {name: values_of(field.annotation) for name, field in event.model_fields.items()}
    assert known["quality"] == openai_values.QUALITIES | {openai_values.AUTO}
    assert known["background"] == openai_values.BACKGROUNDS | {openai_values.AUTO}
    assert known["output_format"] == openai_values.EVENT_FORMATS
    assert openai_values.AUTO in known["size"]


@pytest.mark.parametrize("event", EVENTS)
def test_every_field_of_an_event_is_known(event: type[BaseModel]) -> None:
    """A failure here means a new field that image events must carry."""
    partial = {"partial_image_index"} if "partial" in event.__name__.lower() else {"usage", "safety_identifier"}
    facts = {"type", "b64_json", "created_at", "size", "quality", "background", "output_format"}
    assert set(event.model_fields) == facts | partial
