"""Catalog of Ideogram's models. Source: Ideogram's API reference, OpenAPI document and prices, read 2026-11-22."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Final, Unpack

from imagegateway.platform.money import usd
from imagegateway.providers.catalog import Capability, Mode, Model, ModelFacts, Route
from imagegateway.providers.ideogram.calls import QUALITIES, RATIOS
from imagegateway.providers.kit import reserved_options
from imagegateway.providers.pricing import ByInput, PerImage, PerImageByQuality, Price
from imagegateway.providers.sizes import FixedSizes, SizeRange

if TYPE_CHECKING:
    from imagegateway.providers.pricing import Rule
    from imagegateway.providers.sizes import Sizes

_SOURCE: Final = "https://developer.ideogram.ai/"
_PRICES: Final = "https://ideogram.ai/features/api-pricing"
_CHECKED: Final = date(2026, 11, 22)
_ADDED: Final = date(2026, 11, 25)

_TALL: Final = (
    *((512, 1536), (576, 1408), (576, 1472), (576, 1536), (640, 1344), (640, 1408), (640, 1472), (640, 1536)),
    *((704, 1152), (704, 1216), (704, 1280), (704, 1344), (704, 1408), (704, 1472), (736, 1312), (768, 1088)),
    *((768, 1216), (768, 1280), (768, 1344), (800, 1280), (832, 960), (832, 1024), (832, 1088), (832, 1152)),
    *((832, 1216), (832, 1248), (864, 1152), (896, 960), (896, 1024), (896, 1088), (896, 1120), (896, 1152)),
    *((960, 1024), (960, 1088)),
)
_SIZES_3: Final = FixedSizes(((1024, 1024), *_TALL, *((high, wide) for wide, high in _TALL)))
# All calls except reframing take an aspect ratio instead, which replaces a size that is not listed.
_SIZES_3_OR_RATIO: Final = replace(_SIZES_3, aspect_ratios=RATIOS, by_aspect_ratio=True)
_TALL_4: Final = (
    *((1664, 2496), (1792, 2240), (1728, 2304), (1440, 2560), (1600, 2560), (1440, 2880)),
    *((1296, 3168), (1152, 2944), (1248, 3328), (1280, 3072)),
)
_SIZES_4: Final = FixedSizes(((2048, 2048), *_TALL_4, *((high, wide) for wide, high in _TALL_4)))
# Presets of both size classes; of the smaller class only the square is documented.
_SIZES_4_5: Final = FixedSizes(((1024, 1024), *_SIZES_4.sizes))
_EDITS_4_5: Final = SizeRange(
    default=(1024, 1024), min_side=256, max_side=4992, step=32, max_pixels=2048 * 2048, max_ratio=6
)
_SIZES_4_6: Final = SizeRange(default=(1024, 1024), min_side=256, max_side=4096, step=32)
_INPUT_SIZE: Final = SizeRange(default=(1024, 1024), min_side=64, max_side=8192)  # results have their input's size

_TEXT: Final = frozenset({Capability.TEXT_TO_IMAGE, Capability.IMAGE_TO_IMAGE, Capability.SEED})
_EDIT: Final = frozenset({Capability.IMAGE_TO_IMAGE, Capability.SEED})


_RESERVED: Final = reserved_options.paths(
    *("text_prompt", "json_prompt", "image_request", "custom_model_uri", "resolution", "num_images"),
    *("rendering_speed", "transparent_background", "upscale_factor", "character_reference_images"),
)


def _model(
    name: str,
    native: str,
    description: str,
    sizes: Sizes,
    *,
    capabilities: frozenset[Capability],
    rule: Rule | None = None,
    also: tuple[str, ...] = (),
    **facts: Unpack[ModelFacts],
) -> Model:
    aliases = (name.replace("/", "-"), f"ideogram/{name.replace('/', '-')}") if "/" in name else (name,)
    facts = {
        "max_prompt_length": 10_000,
        "max_inputs": 1,
        "qualities": QUALITIES,
        "aliases": (*aliases, *also),
        **facts,
    }
    return Model(
        id=f"ideogram/{name}",
        family="ideogram",
        description=description,
        created=_ADDED,
        source=_SOURCE,
        checked=_CHECKED,
        routes=(
            Route(
                name="ideogram",
                mode=Mode.INLINE,
                native_id=native,
                required_settings=("IMAGEGATEWAY_IDEOGRAM_API_KEY",),
                concurrency=10,
                price=Price(rule, _PRICES, _CHECKED) if rule else None,
                reserved_options=_RESERVED,
            ),
        ),
        sizes=sizes,
        capabilities=capabilities,
        **facts,
    )


def _by_quality(low: str, medium: str, high: str, default: str = "") -> PerImageByQuality:
    """Return the prices of Ideogram's levels. Without a quality, the level is `medium` unless `default` names one."""
    amounts = dict(zip(("low", "medium", "high"), map(usd, (low, medium, high)), strict=True))
    amounts["standard"] = amounts["medium"]
    amounts["xhigh"] = amounts["max"] = amounts["hd"] = amounts["high"]
    return PerImageByQuality(amounts[default or "medium"], amounts)


_PRICE_3: Final = _by_quality("0.03", "0.06", "0.09")
_PRICE_4: Final = _by_quality("0.03", "0.06", "0.10")

_STYLES: Final = ("AUTO", "GENERAL", "REALISTIC", "DESIGN", "FICTION")

MODELS: Final = (
    _model(
        "ideogram-v3",
        "ideogram-v3",
        "Ideogram 3.0: images with lettering, remixes of an image, and repaints of a masked area.",
        _SIZES_3_OR_RATIO,
        capabilities=_TEXT | {Capability.MASK, Capability.NEGATIVE_PROMPT, Capability.TRANSPARENT},
        styles=_STYLES,
        rule=ByInput(text=_PRICE_3, image=_PRICE_3, mask=_PRICE_3, transparent=_by_quality("0.04", "0.07", "0.10")),
        also=("ideogram/v3", "ideogram-ai/ideogram-v3", "ideogram-3"),
    ),
    _model(
        "ideogram-v3/edit",
        "ideogram-v3-edit",
        "Ideogram 3.0 edit: repaints the masked area, or follows an instruction without a mask.",
        _INPUT_SIZE,
        capabilities=_EDIT | {Capability.MASK, Capability.TRANSPARENT},
        styles=_STYLES,
        max_inputs=10,
        rule=ByInput(image=PerImage(usd("0.06")), mask=_PRICE_3),
        also=("ideogram/v3/edit",),
    ),
    _model(
        "ideogram-v3/remix",
        "ideogram-v3-remix",
        "Ideogram 3.0 remix: a variation of an image by a prompt.",
        _SIZES_3_OR_RATIO,
        capabilities=_EDIT | {Capability.NEGATIVE_PROMPT},
        styles=_STYLES,
        rule=_PRICE_3,
        also=("ideogram/v3/remix",),
    ),
    _model(
        "ideogram-v3/reframe",
        "ideogram-v3-reframe",
        "Ideogram 3.0 reframe: extends an image to another aspect ratio.",
        _SIZES_3,
        capabilities=_EDIT,
        prompt_required=False,
        rule=_PRICE_3,
    ),
    _model(
        "ideogram-v3/replace-background",
        "ideogram-v3-replace-background",
        "Ideogram 3.0: another background behind the same subject.",
        _INPUT_SIZE,
        capabilities=_EDIT,
        styles=_STYLES,
        rule=_PRICE_3,
    ),
    _model(
        "ideogram-v4",
        "ideogram-v4",
        "Ideogram 4.0: images of about 4 megapixels, and remixes.",
        _SIZES_4,
        capabilities=frozenset({Capability.TEXT_TO_IMAGE, Capability.IMAGE_TO_IMAGE}),
        rule=_PRICE_4,
        also=("ideogram/v4", "ideogram-4"),
    ),
    _model(
        "ideogram-v4.5",
        "ideogram-4-5",
        "Ideogram 4.5: images from text and up to 5 references; takes a mask.",
        _SIZES_4_5,
        capabilities=_TEXT | {Capability.MASK},
        edit_sizes=_EDITS_4_5,
        max_inputs=5,
        rule=ByInput(text=_by_quality("0.03", "0.06", "0.10", default="high"), image=_PRICE_4, mask=_PRICE_4),
        also=("ideogram/v4.5", "ideogram-4-5", "ideogram-4.5"),
    ),
    _model(
        "ideogram-v4.6",
        "ideogram-4-6",
        "Ideogram 4.6: up to 4096x4096, from text and up to 5 references; takes a mask.",
        _SIZES_4_6,
        capabilities=_TEXT | {Capability.MASK},
        max_inputs=5,
        also=("ideogram/v4.6", "ideogram-4-6", "ideogram-4.6"),
    ),
    _model(
        "remove-background",
        "remove-background",
        "Ideogram: the subject on a transparent background.",
        _INPUT_SIZE,
        capabilities=frozenset({Capability.IMAGE_TO_IMAGE, Capability.TRANSPARENT}),
        prompt_required=False,
        max_n=1,
        qualities=(),
        aliases=("ideogram/remove-bg",),
        rule=PerImage(usd("0.01")),
    ),
)
