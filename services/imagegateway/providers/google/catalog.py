"""Catalog of Google's models.

Source: ai.google.dev (models, image generation, pricing, deprecations, Interactions) and google-genai 3.4.0, 2.34.0
and 1.60.0, read 2026-11-22.
"""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Unpack

from imagegateway.platform.money import usd
from imagegateway.providers.catalog import Capability, Modality, Mode, Model, ModelFacts, Route
from imagegateway.providers.google.sizes import TieredSizes
from imagegateway.providers.kit import reserved_options
from imagegateway.providers.pricing import PerImage, PerImageByArea, PerSecond, PerToken, Price, per_million
from imagegateway.providers.sizes import FixedSizes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imagegateway.providers.pricing import Rule

_SOURCE: Final = "https://ai.google.dev/gemini-api/docs/models"
_PRICES: Final = "https://ai.google.dev/gemini-api/docs/pricing"
_CHECKED: Final = date(2026, 11, 22)
_ADDED: Final = date(2026, 11, 25)
_IMAGE_SUCCESSOR: Final = "google/gemini-nano-banana-2.1"
_VIDEO_SUCCESSOR: Final = "google/gemini-omni-1.2-flash"

_RATIOS: Final = {
    "1:1": (1024, 1024),
    "2:3": (848, 1264),
    "3:2": (1264, 848),
    "3:4": (896, 1200),
    "4:3": (1200, 896),
    "4:5": (928, 1152),
    "5:4": (1152, 928),
    "9:16": (768, 1376),
    "16:9": (1376, 768),
    "21:9": (1584, 672),
}
_LONG_RATIOS: Final = {
    **_RATIOS,
    "1:4": (512, 2048),
    "4:1": (2048, 512),
    "1:8": (384, 3072),
    "8:1": (3072, 384),
}
_RATIOS_2_5: Final = {
    "1:1": (1024, 1024),
    "2:3": (832, 1248),
    "3:2": (1248, 832),
    "3:4": (864, 1184),
    "4:3": (1184, 864),
    "4:5": (896, 1152),
    "5:4": (1152, 896),
    "9:16": (768, 1344),
    "16:9": (1344, 768),
    "21:9": (1536, 672),
}
_IMAGEN_RATIOS: Final = {
    "1:1": (1024, 1024),
    "3:4": (896, 1280),
    "4:3": (1280, 896),
    "9:16": (768, 1408),
    "16:9": (1408, 768),
}
_VIDEO: Final = FixedSizes(((1280, 720), (720, 1280), (1920, 1080), (1080, 1920), (3840, 2160), (2160, 3840)))
_OMNI: Final = FixedSizes((*_VIDEO.sizes, (640, 360), (360, 640)))

RESOLUTIONS: Final[Mapping[int, str]] = {360: "360p", 720: "720p", 1080: "1080p", 2160: "4k"}
"""Resolution of a video by its shorter side, in pixels."""

VEO_SECONDS: Final = (4, 6, 8)
"""Lengths of a Veo video, in seconds; the last one is the default."""


class ApiName(StrEnum):
    """Names of Google's APIs."""

    PREDICT = "predict"
    PREDICT_LONG_RUNNING = "predictLongRunning"
    GENERATE_CONTENT = "generateContent"
    INTERACTIONS = "interactions"


API_NAMES: Final[Mapping[str, ApiName]] = {
    "gemini-nano-banana-2.1": ApiName.GENERATE_CONTENT,
    "gemini-3.1-flash-image": ApiName.GENERATE_CONTENT,
    "gemini-3.1-flash-lite-image": ApiName.GENERATE_CONTENT,
    "gemini-3-pro-image": ApiName.GENERATE_CONTENT,
    "gemini-2.5-flash-image": ApiName.GENERATE_CONTENT,
    "imagen-4.0-generate-001": ApiName.PREDICT,
    "imagen-4.0-fast-generate-001": ApiName.PREDICT,
    "imagen-4.0-ultra-generate-001": ApiName.PREDICT,
    "imagen-3.0-generate-002": ApiName.PREDICT,
    "veo-3.1-generate-preview": ApiName.PREDICT_LONG_RUNNING,
    "veo-3.1-fast-generate-preview": ApiName.PREDICT_LONG_RUNNING,
    "veo-3.1-lite-generate-preview": ApiName.PREDICT_LONG_RUNNING,
    "gemini-omni-1.1-flash": ApiName.INTERACTIONS,
    "gemini-omni-1.2-flash": ApiName.INTERACTIONS,
}
"""The API that serves a model, by native id."""

# Pixels above every size of a tier and below every size of the next one.
_UP_TO_512: Final = 500_000
_UP_TO_1K: Final = 2_000_000
_UP_TO_2K: Final = 8_000_000
_UP_TO_4K: Final = 32_000_000


def _tiers(one: str, two: str, four: str) -> PerImageByArea:
    """Return the prices of images of 1K, 2K and 4K."""
    return PerImageByArea(((_UP_TO_1K, usd(one)), (_UP_TO_2K, usd(two)), (_UP_TO_4K, usd(four))))


_NANO_BANANA_2_1: Final = PerToken(
    text_in=per_million("1.5"),
    image_in=per_million("1.5"),
    output_token=per_million("30"),
    text_out=per_million("30"),
    # 1120, 1680 and 2520 tokens: Google states those of 2K and 4K for 3.1 Flash Image only.
    outputs=_tiers("0.0336", "0.0504", "0.0756"),
    input_tokens={"": 1120},
)
_FLASH_3_1: Final = PerImageByArea(((_UP_TO_512, usd("0.045")), *_tiers("0.067", "0.101", "0.151").steps))
_OMNI_PRICE: Final = PerToken(
    text_in=0,
    image_in=0,
    output_token=per_million("17.5"),
    text_out=per_million("17.5"),
    # Google states about $0.10 for a second, without a resolution.
    outputs=PerSecond(((2160, usd("0.10")),), default_seconds=8),
)


_RESERVED: Final = reserved_options.paths(
    *("contents", "cachedContent", "instances", "input", "previousInteractionId", "webhookConfig", "storageUri"),
    *(f"generationConfig.{name}" for name in ("seed", "candidateCount", "responseModalities")),
    *(f"generationConfig.imageConfig.{name}" for name in ("aspectRatio", "imageSize", "imageOutputOptions")),
    *(f"parameters.{name}" for name in ("sampleCount", "aspectRatio", "sampleImageSize", "resolution", "seed")),
    *(f"parameters.{name}" for name in ("durationSeconds", "negativePrompt", "fps", "outputOptions")),
    *(f"parameters.{name}" for name in ("storageUri", "pubsubTopic", "editMode", "sampleImageStyle")),
)
"""Reserved options of all of Google's APIs: no API takes another one's names."""


def _model(
    name: str,
    native: str,
    mode: Mode,
    rule: Rule | None,
    max_images_per_call: int,
    *,
    description: str,
    sizes: FixedSizes,
    capabilities: frozenset[Capability],
    **facts: Unpack[ModelFacts],
) -> Model:
    route = Route(
        name="google",
        mode=mode,
        native_id=native,
        required_settings=("IMAGEGATEWAY_GOOGLE_API_KEY",),
        price=Price(rule, _PRICES, _CHECKED) if rule else None,
        max_images_per_call=max_images_per_call,
        reserved_options=_RESERVED,
    )
    facts = {"aliases": (name,) if name == native else (name, native), **facts}
    return Model(
        id=f"google/{name}",
        family="google",
        description=description,
        created=_ADDED,
        source=_SOURCE,
        checked=_CHECKED,
        routes=(route,),
        sizes=sizes,
        capabilities=capabilities,
        **facts,
    )


def _gemini(
    name: str,
    description: str,
    sizes: TieredSizes,
    rule: Rule,
    **facts: Unpack[ModelFacts],
) -> Model:
    facts = {
        "max_prompt_length": 32_000,
        "max_inputs": 14,
        "output_formats": ("png", "jpeg", "webp"),
        **facts,
    }
    return _model(
        name,
        name,
        Mode.INLINE,
        rule,
        1,
        description=description,
        sizes=sizes,
        capabilities=frozenset({Capability.TEXT_TO_IMAGE, Capability.IMAGE_TO_IMAGE, Capability.SEED}),
        **facts,
    )


def _imagen(name: str, native: str, tiers: tuple[str, ...], price: str | None) -> Model:
    return _model(
        name,
        native,
        Mode.INLINE,
        PerImage(usd(price)) if price else None,
        4,
        description=f"{name.replace('-', ' ').capitalize()}: images from text.",
        sizes=TieredSizes.of(_IMAGEN_RATIOS, tiers),
        capabilities=frozenset({Capability.TEXT_TO_IMAGE}),
        output_formats=("png", "jpeg", "webp"),
        retired_at=date(2026, 8, 17),
        successor=_IMAGE_SUCCESSOR,
    )


def _veo(name: str, *prices: str, sizes: FixedSizes = _VIDEO) -> Model:
    """Return the entry of a Veo model. `prices`: US dollars for a second in 720p, 1080p and 4k."""
    return _model(
        name,
        f"{name}-generate-preview",
        Mode.ASYNC,
        PerSecond(tuple(zip((720, 1080, 2160), map(usd, prices), strict=False)), default_seconds=VEO_SECONDS[-1]),
        4,
        description=f"{name.replace('-', ' ').capitalize()}: video with sound from text.",
        sizes=sizes,
        capabilities=frozenset({Capability.TEXT_TO_VIDEO, Capability.NEGATIVE_PROMPT}),
        modality=Modality.VIDEO,
        output_formats=("mp4",),
        seconds=(VEO_SECONDS[0], VEO_SECONDS[-1]),
        retired_at=date(2026, 10, 22),
        successor=_VIDEO_SUCCESSOR,
        aliases=(name, f"{name}-generate-preview", f"{name}-generate-001"),
    )


def _omni(name: str) -> Model:
    return _model(
        name,
        name,
        Mode.ASYNC,
        _OMNI_PRICE,
        1,
        description=f"{name.replace('-', ' ').capitalize()}: video with sound from text.",
        sizes=_OMNI,
        capabilities=frozenset({Capability.TEXT_TO_VIDEO}),
        modality=Modality.VIDEO,
        output_formats=("mp4",),
    )


# Google's pages contradict each other on when some of these models end, so those have a successor and no date.
MODELS: Final = (
    _gemini(
        "gemini-nano-banana-2.1",
        "Gemini Nano Banana 2.1: images from text and up to 14 references.",
        TieredSizes.of(_LONG_RATIOS, ("1K", "2K", "4K")),
        _NANO_BANANA_2_1,
    ),
    _gemini(
        "gemini-3.1-flash-image",
        "Gemini 3.1 Flash Image: images from text and up to 14 references.",
        TieredSizes.of(_LONG_RATIOS, ("512", "1K", "2K", "4K")),
        _FLASH_3_1,
        successor=_IMAGE_SUCCESSOR,
        aliases=("gemini-3.1-flash-image", "gemini-3.1-flash-image-preview"),
    ),
    _gemini(
        "gemini-3.1-flash-lite-image",
        "Gemini 3.1 Flash Lite Image: the cheapest Gemini image model.",
        TieredSizes.of(_RATIOS),
        PerImage(usd("0.0336")),
    ),
    _gemini(
        "gemini-3-pro-image",
        "Gemini 3 Pro Image: images from text and up to 14 references, up to 4K.",
        TieredSizes.of(_RATIOS, ("1K", "2K", "4K")),
        _tiers("0.134", "0.134", "0.24"),
        successor=_IMAGE_SUCCESSOR,
        aliases=("gemini-3-pro-image", "gemini-3-pro-image-preview"),
    ),
    _gemini(
        "gemini-2.5-flash-image",
        "Gemini 2.5 Flash Image: images from text and up to 3 references.",
        TieredSizes.of(_RATIOS_2_5),
        PerImage(usd("0.039")),
        max_inputs=3,
        successor=_IMAGE_SUCCESSOR,
        aliases=("gemini-2.5-flash-image", "gemini-2.5-flash-image-preview"),
    ),
    _imagen("imagen-4", "imagen-4.0-generate-001", ("1K", "2K"), "0.04"),
    _imagen("imagen-4-fast", "imagen-4.0-fast-generate-001", ("1K",), "0.02"),
    _imagen("imagen-4-ultra", "imagen-4.0-ultra-generate-001", ("1K", "2K"), "0.06"),
    _imagen("imagen-3", "imagen-3.0-generate-002", ("1K",), None),
    _veo("veo-3.1", "0.40", "0.40", "0.60"),
    _veo("veo-3.1-fast", "0.10", "0.12", "0.30"),
    _veo("veo-3.1-lite", "0.05", "0.08", sizes=FixedSizes(_VIDEO.sizes[:4])),
    _omni("gemini-omni-1.1-flash"),
    _omni("gemini-omni-1.2-flash"),
)
