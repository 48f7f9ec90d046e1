"""Plans for the models of bfl and openai: sizes, aspect ratios, options, and their warnings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest
from google.protobuf.json_format import ParseDict
from imagegateway.platform.errors import GatewayError
from imagegateway.platform.setting_source import Source
from imagegateway.router.call_context import Preferences
from imagegateway.router.catalog import Catalog
from imagegateway.router.validation.request import validate_request
from imagegateway.v1 import image_service_pb2 as pb

if TYPE_CHECKING:
    from imagegateway.router.validation.plan import Plan

CATALOG: Final = Catalog.load(
    Source(
        {
            f"IMAGEGATEWAY_{name}": "set"
            for name in ("BFL_API_KEY", "CLOUDFLARE_API_KEY", "CLOUDFLARE_ACCOUNT_ID", "OPENAI_API_KEY")
        }
    )
)


def plan(model: str, *, strict: bool = False, **fields: Any) -> Plan:
    request = ParseDict({"model": model, "prompt": "a fox", **fields}, pb.GenerateRequest())
    return validate_request(request, CATALOG, model, Preferences(strict=strict))


@pytest.mark.parametrize(
    ("model", "size", "width", "height"),
    [
        ("bfl/flux-2-pro", "1024x1024", 1024, 1024),
        ("bfl/flux-2-pro", "1920x1080", 1920, 1072),
        ("bfl/flux-2-pro", "4096x4096", 2048, 2048),
        ("bfl/flux-2-klein-9b", "1792x1024", 1792, 1024),
        ("bfl/flux-2-klein-9b", "2048x1024", 1920, 960),
        ("bfl/flux-1-schnell", "512x512", 1024, 1024),
        ("bfl/flux-dev", "1536x1024", 1440, 960),
        ("bfl/flux-3-video", "1280x720", 1280, 720),
        ("bfl/flux-3-video", "640x1138", 720, 1280),
        ("openai/gpt-image-2", "512x512", 816, 816),
        ("openai/gpt-image-2", "3840x2160", 3840, 2160),
        ("openai/gpt-image-1.5", "1792x1024", 1536, 1024),
        ("openai/dall-e-3", "1024x1536", 1024, 1792),
    ],
)
def test_size_is_the_nearest_that_the_model_makes(model: str, size: str, width: int, height: int) -> None:
    made = plan(model, size=size)
    assert (made.task.width, made.task.height) == (width, height)
    warned = [warning.code for warning in made.warnings if warning.code != "model_retired"]
    assert warned == ["size_adjusted"] * (size != f"{width}x{height}")


@pytest.mark.parametrize(("size", "ratio"), [("1536x1024", "3:2"), ("1000x3000", "9:21"), ("auto", "")])
def test_kontext_gets_the_nearest_aspect_ratio(size: str, ratio: str) -> None:
    task = plan("bfl/flux-kontext-pro", size=size).task
    assert (task.aspect_ratio, task.width) == (ratio, 0)


@pytest.mark.parametrize(
    ("model", "output_format", "kept"),
    [
        ("bfl/flux-2-pro", "", "jpeg"),
        ("bfl/flux-2-pro", "webp", "webp"),
        ("bfl/flux-2-pro", "png", ""),
        ("bfl/flux-kontext-pro", "", ""),
        ("bfl/flux-3-video", "", ""),
        ("openai/gpt-image-2", "", ""),
    ],
)
def test_compression_is_set_for_compressed_formats_and_else_warned_of(
    model: str, output_format: str, kept: str
) -> None:
    made = plan(model, output_compression=40, output_format=output_format)
    if kept:
        assert (made.task.output_format, made.task.output_compression) == (kept, 40)
        assert not made.warnings
    else:
        assert not made.task.HasField("output_compression")
        assert [warning.param for warning in made.warnings] == ["output_compression"]


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        ("bfl/flux-2-pro", {"quality": "high"}),
        ("bfl/flux-2-pro", {"style": "vivid"}),
        ("bfl/flux-2-pro", {"negative_prompt": "fog"}),
        ("bfl/flux-3-video", {"seed": 7}),
        ("bfl/flux-1-schnell", {"seed": 7}),
        ("openai/gpt-image-2", {"style": "vivid"}),
        ("openai/gpt-image-2", {"seed": 7}),
        ("openai/gpt-image-2", {"negative_prompt": "fog"}),
    ],
)
def test_option_that_the_model_lacks_is_a_warning_and_an_error_under_strict(
    model: str, fields: dict[str, Any]
) -> None:
    (param,) = fields
    assert [warning.param for warning in plan(model, **fields).warnings] == [param]
    with pytest.raises(GatewayError) as refused:
        plan(model, strict=True, **fields)
    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", param)


@pytest.mark.parametrize("model", ["bfl/flux-2-pro", "bfl/flux-2-klein-9b", "openai/dall-e-3", "google/imagen-4"])
def test_transparent_background_is_refused_for_opaque_models(model: str) -> None:
    with pytest.raises(GatewayError) as refused:
        plan(model, background="transparent")
    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", "background")


@pytest.mark.parametrize("background", ["auto", "opaque"])
def test_opaque_backgrounds_are_accepted_for_every_model(background: str) -> None:
    assert not plan("bfl/flux-2-pro", background=background).warnings
