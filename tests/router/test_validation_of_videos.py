"""Plans of videos: length and frame rate within the model's limits; LoRAs of models and accounts that load them."""

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

VEO: Final = "google/veo-3.1-fast"
SDXL: Final = "stability-ai/sdxl"
CATALOG: Final = Catalog.load(
    Source({f"IMAGEGATEWAY_{name}_API_KEY": "k" for name in ("GOOGLE", "REPLICATE", "STABILITY")})
)
WEIGHTS: Final = "https://weights.example/a.safetensors"


def planned(model: str, **fields: Any) -> Plan:
    byok = fields.pop("byok", ())
    request = ParseDict({"model": model, "prompt": "a fox", **fields}, pb.GenerateRequest())
    return validate_request(request, CATALOG, VEO, Preferences(), byok=byok)


def refused(model: str, **fields: Any) -> tuple[str, str | None]:
    with pytest.raises(GatewayError) as caught:
        planned(model, **fields)
    return caught.value.code, caught.value.param


def limits() -> tuple[float, float]:
    """Return the shortest and the longest video of the model in seconds."""
    found = CATALOG.resolve(VEO).seconds
    assert found
    return found


def test_length_within_the_models_limits_passes() -> None:
    for seconds in limits():
        assert planned(VEO, seconds=seconds).task.seconds == seconds
    assert not planned(VEO).task.HasField("seconds")


def test_length_outside_the_models_limits_is_refused() -> None:
    low, high = limits()
    for seconds in (low - 0.5, high + 0.5, 0, -1, "NaN", "Infinity"):
        assert refused(VEO, seconds=seconds) == ("invalid_value", "seconds")


def test_frame_rate_that_the_model_does_not_offer_is_refused() -> None:
    assert refused(VEO, fps=7) == ("invalid_value", "fps")


@pytest.mark.parametrize("name", ["seconds", "fps"])
def test_options_of_videos_are_refused_for_images(name: str) -> None:
    assert refused(SDXL, **{name: 8}) == ("unsupported_parameter", name)


@pytest.mark.parametrize("scale", [-4, 0, 4])
def test_lora_with_a_provider_key_of_the_caller_passes(scale: float) -> None:
    loras = [{"url": WEIGHTS, "scale": scale}]
    [lora] = planned(SDXL, loras=loras, byok=["replicate"]).task.loras
    assert (lora.url, lora.scale) == (WEIGHTS, scale)


@pytest.mark.parametrize(
    ("lora", "param"),
    [
        ({}, "loras[0]"),
        ({"url": WEIGHTS, "id": "a"}, "loras[0]"),
        ({"url": WEIGHTS, "scale": 4.1}, "loras[0].scale"),
        ({"url": WEIGHTS, "scale": -4.1}, "loras[0].scale"),
        ({"url": WEIGHTS, "scale": "NaN"}, "loras[0].scale"),
    ],
)
def test_malformed_lora_is_refused_by_its_place(lora: dict[str, Any], param: str) -> None:
    assert refused(SDXL, loras=[lora], byok=["replicate"]) == ("invalid_value", param)


def test_lora_without_a_key_of_the_caller_or_for_another_model_is_refused() -> None:
    loras = [{"url": WEIGHTS}]
    assert refused(SDXL, loras=loras) == ("byok_required", "loras")
    assert refused(VEO, loras=loras, byok=["google"]) == ("unsupported_parameter", "loras")
