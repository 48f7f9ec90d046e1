"""Catalog of Bria's models. Source: Bria's OpenAPI documents and fal's model pages, read 2026-11-22."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Final, Unpack

from imagegateway.platform.money import usd
from imagegateway.providers.catalog import Capability, Mode, Model, ModelFacts, Route
from imagegateway.providers.kit import reserved_options
from imagegateway.providers.pricing import PerImage, Price
from imagegateway.providers.sizes import FixedSizes, SizeRange

if TYPE_CHECKING:
    from imagegateway.providers.sizes import Sizes

_SOURCE: Final = "https://docs.bria.ai/"
_CHECKED: Final = date(2026, 11, 22)
_ADDED: Final = date(2026, 11, 25)

RATIOS: Final = ("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9")
LARGE_FROM: Final = 2_000_000
"""Pixels above which an image is requested as 4MP instead of 1MP."""

_LANDSCAPE: Final = ((1365, 768), (1183, 887), (1254, 836), (1145, 916))
_SMALL: Final = ((1024, 1024), *_LANDSCAPE, *((height, width) for width, height in _LANDSCAPE))
# Bria states the pixels of 1MP only; 4MP is four times the area.
_GENERATED: Final = FixedSizes(
    (*_SMALL, *((2 * width, 2 * height) for width, height in _SMALL)), min_area_share=1024 * 1024 / LARGE_FROM
)
_INPUT_SIZE: Final = SizeRange(default=(1024, 1024), min_side=1, max_side=16_384)  # results have their input's size

_QUALITIES: Final = ("low", "medium", "standard", "high", "xhigh", "max", "hd")
_SEED_AND_NEGATIVE: Final = frozenset({Capability.SEED, Capability.NEGATIVE_PROMPT})
_EDIT: Final = frozenset({Capability.IMAGE_TO_IMAGE})


_RESERVED: Final = reserved_options.paths(
    *("instruction", "structured_instruction", "structured_prompt", "object_name", "new_text", "season"),
    *("num_results", "model_version", "tailored_model_id", "resolution", "output_type", "desired_increase"),
)
_FAL_RESERVED: Final = reserved_options.paths("num_images", "image_size", "original_vgl", "new_vgl", "fal_webhook")


def _bria(operation: str, price: str | None = None) -> Route:
    return Route(
        name="bria",
        mode=Mode.INLINE,
        native_id=f"/image/{operation}",
        required_settings=("IMAGEGATEWAY_BRIA_API_KEY",),
        price=Price(PerImage(usd(price)), _SOURCE, _CHECKED) if price else None,
        reserved_options=_RESERVED,
    )


def _fal(app: str, price: str | None = None) -> Route:
    return Route(
        name="fal",
        mode=Mode.INLINE,
        native_id=app,
        required_settings=("IMAGEGATEWAY_FAL_API_KEY",),
        price=Price(PerImage(usd(price)), f"https://fal.ai/models/{app}", _CHECKED) if price else None,
        reserved_options=_RESERVED | _FAL_RESERVED,
    )


def _model(
    name: str,
    description: str,
    *routes: Route,
    capabilities: frozenset[Capability] = _EDIT,
    sizes: Sizes = _INPUT_SIZE,
    **facts: Unpack[ModelFacts],
) -> Model:
    facts = {"aliases": (name,), "max_inputs": 1, **facts}
    return Model(
        id=f"bria/{name}",
        family="bria",
        description=description,
        created=_ADDED,
        source=_SOURCE,
        checked=_CHECKED,
        routes=routes,
        sizes=sizes,
        capabilities=capabilities,
        **facts,
    )


def _without_prompt(
    name: str,
    description: str,
    *routes: Route,
    capabilities: frozenset[Capability] = _EDIT,
    aliases: tuple[str, ...] | None = None,
) -> Model:
    """Return the entry of an edit that takes no prompt."""
    return _model(
        name,
        description,
        *routes,
        capabilities=capabilities,
        aliases=(name,) if aliases is None else aliases,
        prompt_required=False,
    )


MODELS: Final = (
    _model(
        "fibo-edit/edit",
        "FIBO edit: edits by instruction, in the whole image or in the masked area.",
        _bria("edit", "0.04"),
        _fal("bria/fibo-edit/edit", "0.04"),
        capabilities=_EDIT | _SEED_AND_NEGATIVE | {Capability.MASK},
        aliases=("bria/fibo-edit", "fibo-edit", "fibo-edit/edit"),
        output_formats=("png", "jpeg"),
        qualities=_QUALITIES,
    ),
    _model(
        "fibo/generate",
        "FIBO: images from text, and from a reference.",
        _bria("generate"),
        _fal("bria/fibo/generate", "0.04"),
        capabilities=_EDIT | _SEED_AND_NEGATIVE | {Capability.TEXT_TO_IMAGE},
        sizes=_GENERATED,
        aliases=("bria/fibo", "fibo", "fibo/generate"),
        output_formats=("png", "jpeg"),
        qualities=_QUALITIES,
    ),
    _model(
        "fibo/generate-lite",
        "FIBO lite: faster images from text, and from a reference.",
        _bria("generate/lite"),
        capabilities=_EDIT | _SEED_AND_NEGATIVE | {Capability.TEXT_TO_IMAGE},
        sizes=_GENERATED,
        aliases=("bria/fibo-lite", "fibo-lite"),
        output_formats=("png", "jpeg"),
    ),
    _without_prompt(
        "eraser",
        "Eraser: removes the masked area.",
        _bria("edit/erase"),
        _fal("fal-ai/bria/eraser"),
        capabilities=_EDIT | {Capability.MASK},
        aliases=("bria/erase", "fal-ai/bria/eraser"),
    ),
    _model(
        "genfill",
        "Generative fill: fills the masked area by the prompt.",
        _bria("edit/gen_fill"),
        _fal("fal-ai/bria/genfill"),
        capabilities=_EDIT | _SEED_AND_NEGATIVE | {Capability.MASK},
        aliases=("bria/gen-fill", "bria/gen_fill", "fal-ai/bria/genfill"),
    ),
    _without_prompt(
        "remove-background",
        "Background removal: the subject on a transparent background.",
        _bria("edit/remove_background", "0.018"),
        _fal("fal-ai/bria/background/remove"),
        capabilities=_EDIT | {Capability.TRANSPARENT},
        aliases=("bria/remove_background", "bria/background-removal", "fal-ai/bria/background/remove"),
    ),
    _model(
        "replace-background",
        "Background replacement by prompt.",
        _bria("edit/replace_background"),
        _fal("fal-ai/bria/background/replace"),
        capabilities=_EDIT | _SEED_AND_NEGATIVE,
        aliases=("bria/replace_background", "fal-ai/bria/background/replace"),
    ),
    _without_prompt(
        "blur-background", "Background blur.", _bria("edit/blur_background"), aliases=("bria/blur_background",)
    ),
    _without_prompt(
        "erase-foreground",
        "Foreground eraser: the background without its subject.",
        _bria("edit/erase_foreground"),
        aliases=("bria/erase_foreground",),
    ),
    _without_prompt(
        "crop-foreground",
        "Crops to the subject.",
        _bria("edit/crop_foreground"),
        capabilities=_EDIT | {Capability.TRANSPARENT},
        aliases=("bria/crop_foreground",),
    ),
    _without_prompt("enhance", "Enhances details.", _bria("edit/enhance"), aliases=("bria/image-enhance",)),
    _without_prompt(
        "increase-resolution",
        "Enlarges two or four times.",
        _bria("edit/increase_resolution"),
        aliases=("bria/increase_resolution",),
    ),
    *(
        _model(
            f"fibo-edit/{name}",
            description,
            _bria(f"edit/{name}"),
            _fal(f"bria/fibo-edit/{name}"),
        )
        for name, description in (
            ("add_object_by_text", "Adds the object that the prompt names."),
            ("replace_object_by_text", "Replaces an object by the prompt."),
            ("blend", "Blends objects into the image by the prompt."),
            ("erase_by_text", "Erases the object that the prompt names."),
            ("rewrite_text", "Changes the lettering to the prompt."),
            ("reseason", "Changes the season to the one that the prompt names."),
        )
    ),
    *(
        _without_prompt(f"fibo-edit/{name}", description, _bria(f"edit/{name}"), _fal(f"bria/fibo-edit/{name}"))
        for name, description in (
            ("restore", "Restores an old photograph."),
            ("sketch_to_colored_image", "Colours a sketch."),
        )
    ),
)
