"""Plans of aspect ratios, qualities and video lengths, and their warnings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from imagegateway.platform.errors import GatewayError
from imagegateway.platform.setting_source import Source
from imagegateway.router.call_context import Preferences
from imagegateway.router.catalog import Catalog
from imagegateway.router.validation.request import validate_request
from imagegateway.v1 import image_service_pb2 as pb
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from imagegateway.router.validation.plan import Plan

KEYS = ("GOOGLE", "BYTEDANCE", "OPENAI", "BFL")
CATALOG = Catalog.load(Source({f"IMAGEGATEWAY_{name}_API_KEY": "k" for name in KEYS}))


def planned(model: str, *, strict: bool = False, **fields: Any) -> Plan:
    request = pb.GenerateRequest(model=model, prompt="a fox", **fields)
    return validate_request(request, CATALOG, "local/sketch", Preferences(strict=strict))


@pytest.mark.parametrize(
    ("model", "ratio"),
    [
        ("google/gemini-3.1-flash-image", "16:9"),
        ("google/gemini-3.1-flash-image", "1:8"),
        ("google/gemini-2.5-flash-image", "21:9"),
        ("google/imagen-4", "3:4"),
        ("google/veo-3.1-fast", "9:16"),
        ("bytedance/seedance-2.0", "4:3"),
        ("bytedance/seedance-2.0", "9:16"),
        ("bytedance/seedream-4.5", "16:1"),
        ("openai/gpt-image-1", "3:2"),
        ("bfl/flux-2-pro", "21:9"),
    ],
)
def test_aspect_ratio_of_the_model_is_no_warning(model: str, ratio: str) -> None:
    made = planned(model, aspect_ratio=ratio)
    assert [warning for warning in made.warnings if warning.code == "size_adjusted"] == []
    assert planned(model, strict=True, aspect_ratio=ratio).task.aspect_ratio == ratio


@pytest.mark.parametrize(
    ("model", "ratio"),
    [
        ("google/gemini-3.1-flash-image", "7:5"),
        ("google/gemini-3-pro-image", "8:1"),
        ("google/imagen-4", "3:2"),
        ("google/veo-3.1-fast", "1:1"),
        ("google/gemini-omni-1.2-flash", "4:3"),
        ("bytedance/seedance-2.0", "2:3"),
        ("bytedance/seedream-4.5", "20:1"),
    ],
)
def test_other_aspect_ratio_is_a_warning_and_an_error_under_strict(model: str, ratio: str) -> None:
    made = planned(model, aspect_ratio=ratio)
    (warning,) = [warning for warning in made.warnings if warning.code == "size_adjusted"]
    assert warning.param == "aspect_ratio"
    assert f"{made.task.width}x{made.task.height}" in warning.message
    with pytest.raises(GatewayError) as refused:
        planned(model, strict=True, aspect_ratio=ratio)
    assert (refused.value.reason, refused.value.param) == (
        ErrorReason.ERROR_REASON_UNSUPPORTED_PARAMETER,
        "aspect_ratio",
    )


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
@pytest.mark.parametrize("model", ["google/gemini-omni-1.2-flash", "bytedance/seedance-2.0", "google/veo-3.1-fast"])
def test_video_length_out_of_range_is_refused(model: str, seconds: float) -> None:
    with pytest.raises(GatewayError) as refused:
        planned(model, seconds=seconds)
    assert (refused.value.reason, refused.value.param) == (ErrorReason.ERROR_REASON_INVALID_VALUE, "seconds")


@pytest.mark.parametrize(
    ("model", "quality", "warned"),
    [
        ("bytedance/seedream-4", "low", False),
        ("bytedance/seedream-4.5", "low", True),
        ("bytedance/seedream-4.5", "max", False),
        ("bytedance/seedream-5-pro", "high", True),
        ("google/gemini-3-pro-image", "high", True),
    ],
)
def test_quality_is_set_if_the_model_lists_it(model: str, quality: str, warned: bool) -> None:
    made = planned(model, quality=quality)
    assert made.task.quality == ("" if warned else quality)
    assert [warning.param for warning in made.warnings] == ["quality"] * warned
