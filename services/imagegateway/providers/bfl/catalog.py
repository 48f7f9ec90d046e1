"""Catalog of the FLUX models.

Source: docs.bfl.ai, BFL's OpenAPI document and Cloudflare's model pages, read 2026-11-22.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Final, Unpack

from imagegateway.platform.money import usd
from imagegateway.providers.catalog import Capability, Modality, Mode, Model, ModelFacts, Route
from imagegateway.providers.kit import reserved_options
from imagegateway.providers.pricing import PerImage, PerMegapixel, Price
from imagegateway.providers.sizes import AspectRatioSizes, FixedSizes, SizeRange

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imagegateway.providers.pricing import Rule
    from imagegateway.providers.sizes import Sizes

_SOURCE: Final = "https://docs.bfl.ai/"
_BFL_PRICES: Final = "https://docs.bfl.ai/quick_start/pricing"
_CLOUDFLARE_PRICES: Final = "https://developers.cloudflare.com/workers-ai/platform/pricing/"
_CHECKED: Final = date(2026, 11, 22)
_ADDED: Final = date(2026, 11, 25)

# BFL scales sizes over 4 MP down without a warning, so the gateway never requests them.
_FLUX2: Final = SizeRange(default=(1024, 1024), min_side=64, max_side=4096, step=16, max_pixels=4_194_304)
# Sizes that both routes of klein make: Cloudflare's limit is 1920.
_KLEIN: Final = SizeRange(default=(1024, 1024), min_side=256, max_side=1920, step=16, max_pixels=3_686_400)
_FLUX1: Final = SizeRange(default=(1024, 768), min_side=256, max_side=1440, step=32)
_KONTEXT: Final = AspectRatioSizes(
    ("21:9", "16:9", "3:2", "4:3", "5:4", "1:1", "4:5", "3:4", "2:3", "9:16", "9:21"), pixels=1_048_576
)
VIDEO_ASPECT_RATIOS: Final = AspectRatioSizes(("16:9", "21:9", "2:1", "4:3", "1:1", "3:4", "9:16"), pixels=921_600)
# The tiers hd and fhd in every aspect ratio; a request names tier and ratio, and BFL chooses the pixels.
_VIDEO: Final = FixedSizes(
    tuple(
        (round(side * max(wide / high, 1)), round(side * max(high / wide, 1)))
        for side in (720, 1080)
        for wide, high in (map(int, ratio.split(":")) for ratio in VIDEO_ASPECT_RATIOS.aspect_ratios)
    )
)
_INPUT_SIZE: Final = SizeRange(default=(1024, 1024), min_side=1, max_side=16_384)  # results have their input's size

KEEPS_SIZE: Final = frozenset({"flux-pro-1.0-fill"})
"""BFL's native ids that take no size: the result has its input's size."""

INPUT_FIELDS: Final[Mapping[str, str]] = {"flux-dev": "image_prompt", "flux-pro-1.0-fill": "image"}
"""BFL's field for the only input, by native id; other models take `input_image`, `input_image_2` and so on."""

JSON_ONLY: Final = frozenset({"@cf/black-forest-labs/flux-1-schnell"})
"""Cloudflare's native ids that take JSON, without size and seed; all others take multipart, even for text alone."""

_T2I: Final = frozenset({Capability.TEXT_TO_IMAGE, Capability.IMAGE_TO_IMAGE, Capability.SEED})
_EDIT: Final = frozenset({Capability.IMAGE_TO_IMAGE, Capability.MASK, Capability.SEED})


_BFL_RESERVED: Final = reserved_options.paths(
    *("input_image", *(f"input_image_{index}" for index in range(2, 11)), "input_image_blob_path"),
    *("image_prompt", "control_image", "start_video", "keyframes", "draft_cache"),
    *("duration", "resolution", "mode", "version", "finetune_id"),
)
_CLOUDFLARE_RESERVED: Final = reserved_options.paths(
    *(f"input_image_{index}" for index in range(8)), "image_b64", "requests", "queue_request", "input"
)


_TILE: Final = 512 * 512
"""Pixels of the area that Cloudflare prices the smaller models by."""


def _flat(amount: str) -> PerImage:
    return PerImage(usd(amount))


def _megapixel(first: str, further: str) -> PerMegapixel:
    """Return a rule of FLUX.2: inputs cost as further megapixels. BFL's page does not say how it rounds."""
    return PerMegapixel(usd(first), usd(further), per_input=usd(further))


def _cloudflare(native: str, rule: Rule | None) -> Route:
    return Route(
        name="cloudflare",
        mode=Mode.INLINE,
        native_id=f"@cf/black-forest-labs/{native}",
        required_settings=("IMAGEGATEWAY_CLOUDFLARE_API_KEY", "IMAGEGATEWAY_CLOUDFLARE_ACCOUNT_ID"),
        price=Price(rule, _CLOUDFLARE_PRICES, _CHECKED) if rule else None,
        reserved_options=_CLOUDFLARE_RESERVED,
    )


def _bfl(native: str, rule: Rule | None, concurrency: int = 24, mode: Mode = Mode.ASYNC) -> Route:
    return Route(
        name="bfl",
        mode=mode,
        native_id=native,
        required_settings=("IMAGEGATEWAY_BFL_API_KEY",),
        concurrency=concurrency,
        price=Price(rule, _BFL_PRICES, _CHECKED) if rule else None,
        reserved_options=_BFL_RESERVED,
    )


def _model(
    name: str,
    description: str,
    sizes: Sizes,
    *,
    routes: tuple[Route, ...] | None = None,
    capabilities: frozenset[Capability] = _T2I,
    **facts: Unpack[ModelFacts],
) -> Model:
    facts = {
        "max_inputs": 1,
        "output_formats": ("jpeg", "png", "webp"),
        "max_prompt_length": 10_000,
        "aliases": (f"black-forest-labs/{name}", name),
        **facts,
    }
    return Model(
        id=f"bfl/{name}",
        family="bfl",
        description=description,
        created=_ADDED,
        source=_SOURCE,
        checked=_CHECKED,
        routes=routes or (_bfl(name, None),),
        sizes=sizes,
        capabilities=capabilities,
        **facts,
    )


MODELS: Final = (
    _model(
        "flux-2-klein-9b",
        "FLUX.2 klein 9B: fast images from text and up to 4 references.",
        _KLEIN,
        routes=(
            _cloudflare("flux-2-klein-9b", _megapixel("0.015", "0.002")),
            _bfl("flux-2-klein-9b", _megapixel("0.015", "0.002"), mode=Mode.INLINE),
        ),
        max_inputs=4,
    ),
    _model(
        "flux-2-klein-4b",
        "FLUX.2 klein 4B: the smallest FLUX.2, from text and up to 4 references.",
        _KLEIN,
        routes=(
            _cloudflare(
                "flux-2-klein-4b",
                PerMegapixel(usd("0.000287"), usd("0.000287"), per_input=usd("0.000059"), area=_TILE),
            ),
            _bfl("flux-2-klein-4b", _megapixel("0.014", "0.001"), mode=Mode.INLINE),
        ),
        max_inputs=4,
    ),
    _model(
        "flux-2-dev",
        "FLUX.2 dev: open weights, hosted by Cloudflare, with adjustable steps.",
        _KLEIN,
        # The price depends on the steps, whose default no page states.
        routes=(_cloudflare("flux-2-dev", None),),
        max_inputs=4,
    ),
    _model(
        "flux-1-schnell",
        "FLUX.1 schnell: the fastest FLUX.1, square images only.",
        FixedSizes(((1024, 1024),)),
        routes=(_cloudflare("flux-1-schnell", _flat("0.0002")),),
        capabilities=frozenset({Capability.TEXT_TO_IMAGE}),
        max_inputs=0,
        max_prompt_length=2048,
    ),
    _model(
        "flux-2-pro",
        "FLUX.2 pro: images from text and up to 8 references.",
        _FLUX2,
        routes=(_bfl("flux-2-pro", _megapixel("0.03", "0.015")),),
        max_inputs=8,
    ),
    _model(
        "flux-2-max",
        "FLUX.2 max: the largest FLUX.2, up to 8 references.",
        _FLUX2,
        routes=(_bfl("flux-2-max", _megapixel("0.07", "0.03")),),
        max_inputs=8,
    ),
    _model(
        "flux-2-flex",
        "FLUX.2 flex: adjustable steps and guidance, up to 8 references.",
        _FLUX2,
        routes=(_bfl("flux-2-flex", _megapixel("0.05", "0.05")),),
        max_inputs=8,
    ),
    _model(
        "flux-kontext-pro",
        "FLUX.1 Kontext pro: edits by instruction.",
        _KONTEXT,
        routes=(_bfl("flux-kontext-pro", _flat("0.04")),),
        max_inputs=4,
        output_formats=("png", "jpeg", "webp"),
    ),
    _model(
        "flux-kontext-max",
        "FLUX.1 Kontext max: edits by instruction, with better typography.",
        _KONTEXT,
        routes=(_bfl("flux-kontext-max", _flat("0.08"), concurrency=6),),
        max_inputs=4,
        output_formats=("png", "jpeg", "webp"),
    ),
    _model("flux-dev", "FLUX.1 dev.", _FLUX1, routes=(_bfl("flux-dev", _flat("0.025")),)),
    _model(
        "flux-pro-1.0-fill",
        "FLUX.1 Fill: repaints the masked area.",
        _INPUT_SIZE,
        routes=(_bfl("flux-pro-1.0-fill", _flat("0.05")),),
        capabilities=_EDIT,
        prompt_required=False,
    ),
    _model(
        "flux-3-video",
        "FLUX 3 video: 5 to 20 seconds from text, in HD or Full HD.",
        _VIDEO,
        capabilities=frozenset({Capability.TEXT_TO_VIDEO}),
        modality=Modality.VIDEO,
        max_inputs=0,
        output_formats=("mp4",),
        seconds=(5, 20),
    ),
)
