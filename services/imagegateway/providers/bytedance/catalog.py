"""Catalog of Seedream, SeedEdit and Seedance. Source: BytePlus ModelArk documentation, read 2026-11-22."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Final, Unpack

from imagegateway.platform.money import usd
from imagegateway.providers.catalog import Capability, Modality, Mode, Model, ModelFacts, Route
from imagegateway.providers.kit import reserved_options
from imagegateway.providers.pricing import PerImage, PerImageByArea, Price
from imagegateway.providers.sizes import FixedSizes, SizeRange

if TYPE_CHECKING:
    from imagegateway.providers.pricing import Rule

_SOURCE: Final = "https://docs.byteplus.com/en/docs/ModelArk/1541523"
_VIDEO_SOURCE: Final = "https://docs.byteplus.com/en/docs/ModelArk/1520757"
_CHECKED: Final = date(2026, 11, 22)
_ADDED: Final = date(2026, 11, 25)

_MAX_RATIO: Final = 16
_MAX_PIXELS: Final = 16_777_216
# 4.5 and 5.0 lite refuse sizes under 2560x1440 pixels; the gateway scales smaller ones up in steps of 16.
_LARGE: Final = SizeRange(
    default=(2048, 2048),
    min_side=16,
    max_side=16_384,
    step=16,
    min_pixels=3_686_400,
    max_pixels=_MAX_PIXELS,
    max_ratio=_MAX_RATIO,
)
_PRO: Final = SizeRange(
    default=(2048, 2048),
    min_side=15,
    max_side=8_192,
    min_pixels=921_600,
    max_pixels=4_624_220,
    max_ratio=_MAX_RATIO,
)
_V4: Final = SizeRange(
    default=(2048, 2048),
    min_side=15,
    max_side=16_384,
    min_pixels=921_600,
    max_pixels=_MAX_PIXELS,
    max_ratio=_MAX_RATIO,
)
_V3: Final = SizeRange(default=(1024, 1024), min_side=512, max_side=2048)
_INPUT_SIZE: Final = SizeRange(default=(1024, 1024), min_side=1, max_side=16_384)  # SeedEdit keeps its input's shape

VIDEO_RATIOS: Final = ("16:9", "4:3", "1:1", "3:4", "9:16", "21:9")
# Resolutions are named after the shorter side; the first size is the default.
_VIDEO: Final = FixedSizes(
    (
        *((1280, 720), (960, 720), (720, 720), (720, 960), (720, 1280), (1680, 720)),
        *((854, 480), (640, 480), (480, 480), (480, 640), (480, 854), (1120, 480)),
        *((1920, 1080), (1440, 1080), (1080, 1080), (1080, 1440), (1080, 1920), (2520, 1080)),
    ),
    min_area_share=1.0,
)

QUALITY_SIZES: Final = {"low": "1K", "medium": "2K", "high": "4K", "xhigh": "4K", "max": "4K"}
"""Size class by quality, for size `auto`; each model takes the qualities whose size class it makes."""

_PRO_PRICE: Final = PerImageByArea(
    ((2_360_000, usd("0.045")), (_PRO.max_pixels, usd("0.09"))), further_input=usd("0.003")
)

_T2I: Final = frozenset({Capability.TEXT_TO_IMAGE})
_I2I: Final = frozenset({Capability.IMAGE_TO_IMAGE})


_LARGE_QUALITIES: Final = ("medium", "high", "xhigh", "max")


_RESERVED: Final = reserved_options.paths(
    *("sequential_image_generation", "sequential_image_generation_options", "layer_decomposition"),
    *("content", "ratio", "resolution", "duration", "frames", "service_tier", "draft"),
)
"""Options that change the number of images of a call or its price, beside the names of the adapter's fields."""


def _ark(native: str, mode: Mode = Mode.INLINE, rule: Rule | None = None) -> Route:
    return Route(
        name="bytedance",
        mode=mode,
        native_id=native,
        required_settings=("IMAGEGATEWAY_BYTEDANCE_API_KEY",),
        price=Price(rule, _SOURCE, _CHECKED) if rule else None,
        reserved_options=_RESERVED,
    )


def _image(
    name: str,
    description: str,
    native: str,
    sizes: SizeRange,
    *,
    capabilities: frozenset[Capability],
    rule: Rule | None = None,
    **facts: Unpack[ModelFacts],
) -> Model:
    facts = {"output_formats": ("jpeg",), **facts}
    return Model(
        id=f"bytedance/{name}",
        family="bytedance",
        description=description,
        created=_ADDED,
        source=_SOURCE,
        checked=_CHECKED,
        routes=(_ark(native, rule=rule),),
        sizes=sizes,
        capabilities=capabilities,
        **facts,
    )


def _seedream(
    name: str,
    description: str,
    native: str,
    sizes: SizeRange,
    *more_aliases: str,
    rule: Rule | None = None,
    **facts: Unpack[ModelFacts],
) -> tuple[Model, Model]:
    """Return a model, and the entry of its edits: the same native model, which requires an input image."""
    facts = {**facts, "aliases": (name, *more_aliases)}
    edit_facts: ModelFacts = {**facts, "aliases": (f"{name}-edit", f"bytedance/{name}/edit")}
    return (
        _image(name, description, native, sizes, capabilities=_T2I | _I2I, rule=rule, **facts),
        _image(
            f"{name}-edit",
            f"{description} Edits only.",
            native,
            sizes,
            capabilities=_I2I,
            rule=rule,
            **edit_facts,
        ),
    )


def _seedance(name: str, description: str, native: str, *aliases: str) -> Model:
    return Model(
        id=f"bytedance/{name}",
        family="bytedance",
        description=description,
        created=_ADDED,
        source=_VIDEO_SOURCE,
        checked=_CHECKED,
        routes=(_ark(native, Mode.ASYNC),),
        sizes=_VIDEO,
        capabilities=frozenset({Capability.TEXT_TO_VIDEO, Capability.SEED}),
        modality=Modality.VIDEO,
        aliases=(name, native, *aliases),
        output_formats=("mp4",),
    )


MODELS: Final = (
    *_seedream(
        "seedream-5",
        "Seedream 5.0 lite: images from text and up to 14 references, from 3.7 MP on.",
        "seedream-5-0-260128",
        _LARGE,
        "bytedance/seedream-5-lite",
        "bytedance/seedream-5.0",
        "bytedance/seedream-5.0-lite",
        "seedream-5.0",
        "seedream-5.0-lite",
        "seedream-5-0-260128",
        "seedream-5-0-lite-260128",
        max_inputs=14,
        output_formats=("jpeg", "png"),
        qualities=_LARGE_QUALITIES,
        rule=PerImage(usd("0.035")),
    ),
    *_seedream(
        "seedream-5-pro",
        "Seedream 5.0 pro: images from text and up to 10 references, up to 4.6 MP.",
        "dola-seedream-5-0-pro-260628",
        _PRO,
        "bytedance/seedream-5.0-pro",
        "seedream-5.0-pro",
        "dola-seedream-5-0-pro-260628",
        "seedream-5-0-pro-260628",
        max_inputs=10,
        output_formats=("jpeg", "png"),
        qualities=("low", "medium"),
        rule=_PRO_PRICE,
    ),
    *_seedream(
        "seedream-4.5",
        "Seedream 4.5: images from text and up to 14 references, from 3.7 MP on.",
        "seedream-4-5-251128",
        _LARGE,
        "bytedance/seedream-4-5",
        "seedream-4-5-251128",
        max_inputs=14,
        qualities=_LARGE_QUALITIES,
        rule=PerImage(usd("0.04")),
    ),
    *_seedream(
        "seedream-4",
        "Seedream 4.0: images from text and up to 10 references.",
        "seedream-4-0-250828",
        _V4,
        "bytedance/seedream-4.0",
        "seedream-4.0",
        "seedream-4-0-250828",
        max_inputs=10,
        qualities=tuple(QUALITY_SIZES),
        rule=PerImage(usd("0.03")),
    ),
    _image(
        "seedream-3",
        "Seedream 3.0: images from text.",
        "seedream-3-0-t2i-250415",
        _V3,
        capabilities=_T2I | {Capability.SEED},
        aliases=("bytedance/seedream-3.0", "seedream-3", "seedream-3-0-t2i-250415"),
        rule=PerImage(usd("0.03")),
    ),
    _image(
        "seededit-3",
        "SeedEdit 3.0: edits one image by instruction.",
        "seededit-3-0-i2i-250628",
        _INPUT_SIZE,
        capabilities=_I2I | {Capability.SEED},
        max_inputs=1,
        aliases=("bytedance/seededit-3.0", "seededit-3", "seededit-3-0-i2i-250628"),
        rule=PerImage(usd("0.03")),
    ),
    _seedance("seedance-2.5", "Seedance 2.5: videos from text.", "dreamina-seedance-2-5-260628"),
    _seedance(
        "seedance-2.0", "Seedance 2.0: videos from text.", "dreamina-seedance-2-0-260128", "bytedance/seedance-2"
    ),
    _seedance("seedance-1.5-pro", "Seedance 1.5 pro: videos from text.", "seedance-1-5-pro-251215"),
    _seedance(
        "seedance-1-pro",
        "Seedance 1.0 pro: videos from text.",
        "seedance-1-0-pro-250528",
        "bytedance/seedance-1.0-pro",
    ),
)
