"""Catalog of Recraft's models. Source: Recraft's API pages, price page and OpenAPI document, read 2026-11-22."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Final, Unpack

from imagegateway.platform.money import usd
from imagegateway.providers.catalog import Capability, Mode, Model, ModelFacts, Route
from imagegateway.providers.kit import reserved_options
from imagegateway.providers.pricing import PerImage, Price
from imagegateway.providers.sizes import FixedSizes, SizeRange

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imagegateway.providers.sizes import Sizes

_SOURCE: Final = "https://www.recraft.ai/docs/api-reference/"
_PRICES: Final = "https://www.recraft.ai/docs/api-reference/pricing"
_CHECKED: Final = date(2026, 11, 22)
_ADDED: Final = date(2026, 11, 25)


RATIOS: Final = (
    *("1:1", "2:1", "1:2", "3:2", "2:3", "4:3", "3:4", "5:4", "4:5", "6:10", "14:10", "10:14", "16:9", "9:16"),
)


def _sizes(square: int, wide: tuple[tuple[int, int], ...], *more: tuple[int, int]) -> FixedSizes:
    tall = ((height, width) for width, height in wide)
    return FixedSizes(((square, square), *wide, *tall, *more), aspect_ratios=RATIOS)


_SIZES_3: Final = _sizes(
    1024, ((1365, 1024), (1536, 1024), (1820, 1024), (2048, 1024), (1434, 1024), (1280, 1024), (1707, 1024))
)
_SIZES_4: Final = _sizes(
    1024, ((1536, 768), (1280, 832), (1216, 896), (1152, 896), (1280, 896), (1344, 768)), (832, 1344)
)
_SIZES_PRO: Final = _sizes(
    2048, ((3072, 1536), (2560, 1664), (2432, 1792), (2304, 1792), (2560, 1792), (2688, 1536)), (1664, 2688)
)
_AS_INPUT: Final = SizeRange(default=(1024, 1024), min_side=1, max_side=16_384)  # the result has its input's size
_STYLES: Final = (*("any", "realistic_image", "digital_illustration", "vector_illustration", "logo_raster", "icon"),)

_TEXT: Final = frozenset({Capability.TEXT_TO_IMAGE, Capability.SEED})
_IMAGE: Final = _TEXT | {Capability.IMAGE_TO_IMAGE, Capability.STRENGTH}
_V3: Final = _IMAGE | {Capability.MASK, Capability.NEGATIVE_PROMPT}

_RASTER: Final = ("webp", "png")
_BOTH: Final = (*_RASTER, "svg")  # the vector variant makes svg
_SVG: Final = ("svg",)


_RESERVED: Final = reserved_options.paths("random_seed", "image_format", "upscale")


def _model(
    name: str,
    native: str,
    price: str | None,
    *,
    description: str,
    sizes: Sizes,
    capabilities: frozenset[Capability],
    **facts: Unpack[ModelFacts],
) -> Model:
    if Capability.IMAGE_TO_IMAGE in capabilities:
        facts = {"max_inputs": 1, "edit_sizes": _AS_INPUT, **facts}
    return Model(
        id=f"recraft/{name}",
        family="recraft",
        description=description,
        created=_ADDED,
        source=_SOURCE,
        checked=_CHECKED,
        routes=(
            Route(
                name="recraft",
                mode=Mode.INLINE,
                native_id=native,
                required_settings=("IMAGEGATEWAY_RECRAFT_API_KEY",),
                price=Price(PerImage(usd(price)), _PRICES, _CHECKED) if price else None,
                reserved_options=_RESERVED,
            ),
        ),
        sizes=sizes,
        capabilities=capabilities,
        **facts,
    )


def _both(
    name: str,
    title: str,
    *,
    prices: tuple[str | None, str | None],
    sizes: FixedSizes,
    capabilities: frozenset[Capability],
    vector_capabilities: frozenset[Capability] | None = None,
    max_prompt_length: int = 10_000,
    styles: tuple[str, ...] = (),
) -> Iterator[Model]:
    """Yield a model and its vector variant, with the same capabilities unless `vector_capabilities` is given."""
    native = name.replace("recraft-v", "recraftv").replace(".", "_").replace("-", "_")
    yield _model(
        name,
        native,
        prices[0],
        description=f"{title}: raster images.",
        aliases=_aliases(name, native),
        output_formats=_BOTH,
        sizes=sizes,
        capabilities=capabilities,
        max_prompt_length=max_prompt_length,
        styles=styles,
    )
    yield _model(
        f"{name}-svg",
        f"{native}_vector",
        prices[1],
        description=f"{title}: vector drawings as SVG.",
        aliases=(*_aliases(f"{name}-svg", f"{native}_vector"), f"recraft/{name}-vector", f"{name}-vector"),
        output_formats=_SVG,
        sizes=sizes,
        capabilities=capabilities if vector_capabilities is None else vector_capabilities,
        max_prompt_length=max_prompt_length,
        styles=styles,
    )


def _aliases(name: str, native: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((name, native, f"recraft/{native}", f"recraft-ai/{name}")))


def _tool(
    name: str, native: str, price: str, description: str, formats: tuple[str, ...], *capabilities: Capability
) -> Model:
    return _model(
        name,
        native,
        price,
        description=description,
        capabilities=frozenset({Capability.IMAGE_TO_IMAGE, *capabilities}),
        sizes=_AS_INPUT,
        prompt_required=False,
        max_n=1,
        output_formats=formats,
    )


MODELS: Final = (
    *_both(
        "recraft-v3",
        "Recraft V3, with styles and inpainting",
        prices=("0.04", "0.08"),
        sizes=_SIZES_3,
        capabilities=_V3,
        max_prompt_length=1000,
        styles=_STYLES,
    ),
    *_both(
        "recraft-v2",
        "Recraft V2, with styles",
        prices=("0.022", "0.044"),
        sizes=_SIZES_3,
        capabilities=_V3 - {Capability.MASK},
        max_prompt_length=1000,
        styles=_STYLES,
    ),
    *_both("recraft-v4", "Recraft V4", prices=("0.04", "0.08"), sizes=_SIZES_4, capabilities=_IMAGE),
    *_both(
        "recraft-v4-pro",
        "Recraft V4 Pro, of about 4 megapixels",
        prices=("0.25", "0.30"),
        sizes=_SIZES_PRO,
        capabilities=_IMAGE,
    ),
    *_both(
        "recraft-v4-styles",
        "Recraft V4 in a custom style",
        prices=(None, None),
        sizes=_SIZES_4,
        capabilities=_TEXT,
    ),
    *_both(
        "recraft-v4-styles-pro",
        "Recraft V4 Pro in a custom style",
        prices=(None, None),
        sizes=_SIZES_PRO,
        capabilities=_TEXT,
    ),
    *_both(
        "recraft-v4.1",
        "Recraft V4.1",
        prices=("0.035", "0.08"),
        sizes=_SIZES_4,
        capabilities=_IMAGE,
        vector_capabilities=_TEXT,
    ),
    *_both(
        "recraft-v4.1-pro",
        "Recraft V4.1 Pro",
        prices=("0.21", "0.30"),
        sizes=_SIZES_PRO,
        capabilities=_IMAGE,
        vector_capabilities=_TEXT,
    ),
    *(
        _model(
            f"recraft-v4.1-{kind}",
            f"recraftv4_1_{kind.replace('-', '_')}",
            price,
            description=f"Recraft V4.1 {kind}: raster images.",
            aliases=_aliases(f"recraft-v4.1-{kind}", f"recraftv4_1_{kind.replace('-', '_')}"),
            output_formats=_RASTER,
            sizes=sizes,
            capabilities=capabilities,
            max_prompt_length=10_000,
        )
        for kind, price, capabilities, sizes in (
            ("flash", "0.007", _TEXT, _SIZES_4),
            ("utility", "0.035", _IMAGE, _SIZES_4),
            ("utility-pro", "0.21", _IMAGE, _SIZES_PRO),
        )
    ),
    _tool(
        "remove-background",
        "removeBackground",
        "0.01",
        "Recraft: the subject on a transparent background.",
        ("png", "webp"),
        Capability.TRANSPARENT,
    ),
    _tool("vectorize", "vectorize", "0.01", "Recraft: an image redrawn as SVG.", _SVG),
    _tool("crisp-upscale", "crispUpscale", "0.004", "Recraft: larger and sharper, without new detail.", _RASTER),
    _tool("creative-upscale", "creativeUpscale", "0.25", "Recraft: larger, with new detail.", _RASTER),
)
