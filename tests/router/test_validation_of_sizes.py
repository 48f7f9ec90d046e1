"""Plans of sizes, aspect ratios and formats, and their warnings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from imagegateway.platform.errors import GatewayError
from imagegateway.platform.setting_source import Source
from imagegateway.router.call_context import Preferences
from imagegateway.router.catalog import Catalog
from imagegateway.router.validation import sizes
from imagegateway.router.validation.request import validate_request
from imagegateway.v1 import image_service_pb2 as pb
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from imagegateway.router.validation.plan import Plan

KEYS = {f"IMAGEGATEWAY_{name}_API_KEY": "k" for name in ("BRIA", "GOOGLE", "IDEOGRAM", "OPENAI", "RECRAFT")}
CATALOG = Catalog.load(Source(KEYS))


def generate(model: str, *, strict: bool = False, **fields: Any) -> Plan:
    request = pb.GenerateRequest(model=model, prompt="a fox", **fields)
    return validate_request(request, CATALOG, "", Preferences(strict=strict))


def warned(made: Plan) -> list[tuple[str, str]]:
    return [(warning.code, warning.param) for warning in made.warnings if warning.code == "size_adjusted"]


@pytest.mark.parametrize(
    ("model", "ratio", "made"),
    [
        ("ideogram/ideogram-v4", "5:1", (3328, 1248)),  # listed
        ("recraft/recraft-v4", "21:9", (1536, 768)),
        ("openai/gpt-image-1", "16:9", (1536, 1024)),
        ("ideogram/ideogram-v4.6", "40:1", (4096, 256)),  # free
    ],
)
def test_aspect_ratio_that_the_model_lacks_is_a_warning(model: str, ratio: str, made: tuple[int, int]) -> None:
    planned = generate(model, aspect_ratio=ratio)
    assert (planned.task.width, planned.task.height) == made
    assert warned(planned) == [("size_adjusted", "aspect_ratio")]
    assert any(f"{made[0]}x{made[1]}" in warning.message for warning in planned.warnings)
    with pytest.raises(GatewayError) as refused:
        generate(model, strict=True, aspect_ratio=ratio)
    assert (refused.value.reason, refused.value.param) == (
        ErrorReason.ERROR_REASON_UNSUPPORTED_PARAMETER,
        "aspect_ratio",
    )


@pytest.mark.parametrize(
    ("model", "ratio"),
    [
        ("ideogram/ideogram-v3", "16:9"),  # 1312x736, 0.3 % off
        ("bria/fibo/generate", "4:3"),
        ("recraft/recraft-v3", "16:9"),
        ("ideogram/ideogram-v4.6", "16:9"),
        ("recraft/recraft-v4", "3:2"),  # known by name: 1280x832
        ("google/imagen-4", "16:9"),  # known by name: 1408x768
    ],
)
def test_aspect_ratio_within_one_percent_or_named_by_the_model_is_exact(model: str, ratio: str) -> None:
    assert not warned(generate(model, strict=True, aspect_ratio=ratio))


@pytest.mark.parametrize(
    ("size", "ratio", "made"),
    [
        ("1024x1024", "", (1024, 1024)),
        ("1248x832", "", (1248, 832)),
        ("1536x1024", "3:2", (1248, 832)),
        ("1024x1536", "2:3", (832, 1248)),
        ("1792x1024", "16:9", (1312, 736)),
    ],
)
def test_unlisted_size_becomes_the_nearest_aspect_ratio_for_models_by_ratio(
    size: str, ratio: str, made: tuple[int, int]
) -> None:
    planned = generate("ideogram/ideogram-v3", size=size)
    assert (planned.task.aspect_ratio, planned.task.width, planned.task.height) == (ratio, *made)
    assert warned(planned) == ([("size_adjusted", "size")] if ratio else [])


@pytest.mark.parametrize(
    ("model", "size", "made", "adjusted"),
    [
        ("ideogram/ideogram-v4.5", "1536x1024", (1536, 1024), False),
        ("ideogram/ideogram-v4.5", "1530x1020", (1536, 1024), True),
        ("ideogram/ideogram-v4.5", "6000x500", (3072, 512), True),
    ],
)
def test_edits_use_the_models_edit_sizes(model: str, size: str, made: tuple[int, int], adjusted: bool) -> None:
    request = pb.EditRequest(model=model, prompt="a fox", size=size)
    planned = validate_request(request, CATALOG, "", Preferences())
    assert (planned.task.width, planned.task.height) == made
    assert bool(warned(planned)) == adjusted
    assert max(made) <= 6 * min(made)


@pytest.mark.parametrize(
    ("model", "wanted", "sent"),
    [
        ("recraft/recraft-v3", "", ("webp", 40)),  # its own format
        ("recraft/recraft-v3", "jpeg", ("jpeg", 40)),
        ("recraft/recraft-v3", "png", ("png", 0)),
        ("recraft/recraft-v3-svg", "", ("", 0)),
        ("bria/fibo/generate", "", ("", 0)),
    ],
)
def test_compression_applies_to_the_format_or_is_a_warning(model: str, wanted: str, sent: tuple[str, int]) -> None:
    planned = generate(model, output_format=wanted, output_compression=40)
    assert (planned.task.output_format, planned.task.output_compression) == sent
    assert [warning.param for warning in planned.warnings] == ([] if sent[1] else ["output_compression"])


@pytest.mark.parametrize("model", ["recraft/recraft-v3", "recraft/recraft-v4"])
def test_edit_keeps_its_inputs_size_without_a_warning(model: str) -> None:
    planned = validate_request(pb.EditRequest(model=model, prompt="a fox"), CATALOG, "", Preferences())
    sizes.fit_to_input(planned, 640, 481)
    assert (planned.task.width, planned.task.height) == (640, 481)


@pytest.mark.parametrize(
    "model", ["recraft/remove-background", "ideogram/remove-background", "bria/remove-background"]
)
def test_background_removal_accepts_a_transparent_background(model: str) -> None:
    request = pb.EditRequest(model=model, background="transparent")
    assert validate_request(request, CATALOG, "", Preferences(strict=True)).task.background == "transparent"
