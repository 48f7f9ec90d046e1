"""Catalog of Stability AI's models and services.

Source: platform.stability.ai (API reference, pricing), read 2026-11-22.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Final, Unpack

from imagegateway.platform.money import usd
from imagegateway.providers.catalog import Capability, Mode, Model, ModelFacts, Route
from imagegateway.providers.kit import reserved_options
from imagegateway.providers.pricing import FREE, PerImage, Price
from imagegateway.providers.sizes import AspectRatioSizes, SizeRange

if TYPE_CHECKING:
    from imagegateway.providers.sizes import Sizes

_SOURCE: Final = "https://platform.stability.ai/docs/api-reference"
_PRICES: Final = "https://platform.stability.ai/pricing"
_CHECKED: Final = date(2026, 11, 22)
_ADDED: Final = date(2026, 11, 25)
_SETTINGS: Final = ("IMAGEGATEWAY_STABILITY_API_KEY",)

_RATIOS: Final = ("16:9", "1:1", "21:9", "2:3", "3:2", "4:5", "5:4", "9:16", "9:21")
_ONE_MP: Final = AspectRatioSizes(_RATIOS, pixels=1_048_576)
_CORE: Final = AspectRatioSizes(_RATIOS, pixels=1_572_864)
# Results have their input's size: sides from 64 pixels, at most 9,437,184 pixels in all.
_INPUT: Final = SizeRange(default=(1024, 1024), min_side=64, max_side=16_384, max_pixels=9_437_184)
# The gateway's own limits: SDXL was trained around 1024x1024 and repeats its subject far beyond.
_SDXL: Final = SizeRange(default=(1024, 1024), min_side=256, max_side=2048, step=8)

_STYLES: Final = (
    "3d-model", "analog-film", "anime", "cinematic", "comic-book", "digital-art", "enhance", "fantasy-art",
    "isometric", "line-art", "low-poly", "modeling-compound", "neon-punk", "origami", "photographic", "pixel-art",
    "tile-texture",
)  # fmt: skip
# Services that accept a style.
_STYLED: Final = frozenset({
    "generate/ultra", "generate/core", "generate/sd3", "edit/inpaint", "edit/outpaint", "edit/search-and-replace",
    "edit/search-and-recolor", "control/sketch", "control/structure", "control/style", "upscale/creative",
})  # fmt: skip

_ALL_FORMATS: Final = ("png", "jpeg", "webp")
_GENERATE: Final = frozenset({Capability.TEXT_TO_IMAGE, Capability.SEED, Capability.NEGATIVE_PROMPT})
_BOTH: Final = _GENERATE | {Capability.IMAGE_TO_IMAGE, Capability.STRENGTH}
_STEERED: Final = frozenset({Capability.IMAGE_TO_IMAGE, Capability.SEED, Capability.NEGATIVE_PROMPT})
_EDIT: Final = frozenset({Capability.IMAGE_TO_IMAGE, Capability.SEED})


def _price(price_in_credits: str) -> Price:
    """Return a price in credits, which cost a cent each."""
    return Price(PerImage(usd(price_in_credits) // 100), _PRICES, _CHECKED)


def _model(
    name: str,
    description: str,
    native: str,
    price_in_credits: str | None,
    *,
    capabilities: frozenset[Capability],
    sizes: Sizes = _INPUT,
    mode: Mode = Mode.INLINE,
    **facts: Unpack[ModelFacts],
) -> Model:
    facts = {
        "max_prompt_length": 10_000,
        "max_inputs": 1,
        "output_formats": _ALL_FORMATS,
        "styles": _STYLES if native.partition(":")[0] in _STYLED else (),
        **facts,
        "aliases": (f"stability/{name}", *facts.get("aliases", ())),
    }
    return Model(
        id=f"stability-ai/{name}",
        family="stability",
        description=description,
        created=_ADDED,
        source=_SOURCE,
        checked=_CHECKED,
        routes=(
            Route(
                "stability",
                mode,
                native,
                _SETTINGS,
                price=_price(price_in_credits) if price_in_credits else None,
                reserved_options=_RESERVED,
            ),
        ),
        sizes=sizes,
        capabilities=capabilities,
        **facts,
    )


def _sd35(variant: str, price_in_credits: str, capabilities: frozenset[Capability], *aliases: str) -> Model:
    name = f"sd3.5-{variant}"
    return _model(
        name,
        f"Stable Diffusion 3.5 {variant.replace('-', ' ').title()}.",
        f"generate/sd3:{name}",
        price_in_credits,
        # Stability serves the older ids of Stable Diffusion 3 with 3.5.
        aliases=(name, f"sd3-{variant}", f"stability-ai/sd3-{variant}", *aliases),
        capabilities=capabilities,
        sizes=_ONE_MP,
        output_formats=("png", "jpeg"),
    )


def _service(
    name: str,
    description: str,
    native: str,
    price_in_credits: str | None,
    capabilities: frozenset[Capability],
    *,
    sizes: Sizes = _INPUT,
    mode: Mode = Mode.INLINE,
    **facts: Unpack[ModelFacts],
) -> Model:
    """Return the entry of a service that edits an image. Its alias names the vendor, as its bare name is generic."""
    facts = {"aliases": (f"stability-edit-{name}",), **facts}
    return _model(
        name,
        description,
        native,
        price_in_credits,
        capabilities=capabilities,
        sizes=sizes,
        mode=mode,
        **facts,
    )


_RESERVED: Final = reserved_options.paths(
    *("mode", "samples", "text_prompts", "engine", "init_image", "style_image", "mask_image", "mask_source"),
    *("subject_image", "background_reference", "background_prompt", "init_image_mode"),
)
_LORAS: Final = ("lora_weights", "lora_scale", "replicate_weights", "embeddings")
_REPLICATE_RESERVED: Final = reserved_options.paths("num_outputs", "version", "input", *_LORAS)
_FAL_RESERVED: Final = reserved_options.paths(
    *("num_images", "image_size", "format", "model_name", "mask_image_url", "fal_webhook", *_LORAS)
)
_AUTOMATIC1111_RESERVED: Final = reserved_options.paths(
    *("n_iter", "batch_size", "init_images", "sd_model_checkpoint", "refiner_checkpoint", "hr_checkpoint_name"),
    *("override_settings.sd_model_checkpoint", "override_settings.samples_format"),
    *("hr_prompt", "hr_negative_prompt", "infotext", "force_task_id", "send_images", "save_images"),
)


_SDXL_MODEL: Final = Model(
    id="stability-ai/sdxl",
    family="stability",
    description="Stable Diffusion XL 1.0: open weights, LoRAs with the caller's own key.",
    created=_ADDED,
    source="https://replicate.com/stability-ai/sdxl",
    checked=_CHECKED,
    aliases=("sdxl", "stability/sdxl", "stability-ai/sdxl-1.0", "sdxl-1.0", "stable-diffusion-xl-1024-v1-0"),
    routes=(
        Route(
            "replicate",
            Mode.ASYNC,
            "stability-ai/sdxl:7762fd07cf82c948538e41f63f77d685e02b063e37e496e96eefd46c929f9bdc",
            ("IMAGEGATEWAY_REPLICATE_API_KEY",),
            reserved_options=_REPLICATE_RESERVED,
        ),
        Route("fal", Mode.ASYNC, "fal-ai/fast-sdxl", ("IMAGEGATEWAY_FAL_API_KEY",), reserved_options=_FAL_RESERVED),
        # One GPU serves one request at a time. Without the base URL no server is configured.
        Route(
            "automatic1111",
            Mode.INLINE,
            "sd_xl_base_1.0.safetensors",
            ("IMAGEGATEWAY_AUTOMATIC1111_BASE_URL",),
            concurrency=1,
            images_per_slot=10,
            shared_slots=True,
            price=Price(FREE, page="", checked=_CHECKED),  # a server of the operator's own
            reserved_options=_AUTOMATIC1111_RESERVED,
        ),
    ),
    sizes=_SDXL,
    capabilities=_BOTH - {Capability.STRENGTH} | {Capability.MASK, Capability.LORA},
    max_prompt_length=2000,
    max_inputs=1,
    output_formats=_ALL_FORMATS,
    qualities=("low", "medium", "high", "xhigh", "max"),
)

MODELS: Final = (
    _SDXL_MODEL,
    _model(
        "stable-image-ultra",
        "Stable Image Ultra: Stability's best quality, from text or an image.",
        "generate/ultra",
        "8",
        aliases=("stable-image-ultra",),
        capabilities=_BOTH,
        sizes=_ONE_MP,
    ),
    _model(
        "stable-image-core",
        "Stable Image Core: fast and low-priced images from text.",
        "generate/core",
        "3",
        aliases=("stable-image-core",),
        capabilities=_GENERATE,
        sizes=_CORE,
        max_inputs=0,
    ),
    _sd35("large", "6.5", _BOTH, "stability-ai/sd3.5", "stability/sd3.5", "sd3.5", "stability-ai/sd3", "sd3"),
    _sd35("large-turbo", "4", _BOTH - {Capability.NEGATIVE_PROMPT}),
    _sd35("medium", "3.5", _BOTH),
    _service(
        "inpaint",
        "Repaints the masked area by a prompt.",
        "edit/inpaint",
        "5",
        _STEERED | {Capability.MASK},
    ),
    _service(
        "erase",
        "Removes the content of the masked area.",
        "edit/erase",
        "5",
        _EDIT | {Capability.MASK},
        prompt_required=False,
    ),
    _service(
        "outpaint",
        "Extends the image beyond its edges: provider_options left, right, up and down, in pixels.",
        "edit/outpaint",
        None,
        _EDIT,
        prompt_required=False,
    ),
    _service(
        "search-and-replace",
        "Replaces the object that provider_options.search_prompt names, by the prompt.",
        "edit/search-and-replace",
        "5",
        _STEERED,
    ),
    _service(
        "search-and-recolor",
        "Recolors the object that provider_options.select_prompt names, by the prompt.",
        "edit/search-and-recolor",
        None,
        _STEERED,
    ),
    _service(
        "remove-background",
        "Cuts out the subject on a transparent background.",
        "edit/remove-background",
        "5",
        frozenset({Capability.IMAGE_TO_IMAGE, Capability.TRANSPARENT}),
        prompt_required=False,
        output_formats=("png", "webp"),
    ),
    _service(
        "replace-background-and-relight",
        "Replaces the background by prompt or by a second image, and relights the subject to match.",
        "edit/replace-background-and-relight",
        "8",
        _EDIT,
        mode=Mode.ASYNC,
        max_inputs=2,
    ),
    _service("sketch", "Makes an image from a sketch.", "control/sketch", "5", _STEERED),
    _service("structure", "Keeps an image's structure and changes the rest.", "control/structure", "5", _STEERED),
    _service(
        "style",
        "Makes an image in the style of another.",
        "control/style",
        "5",
        _STEERED,
        sizes=_ONE_MP,
    ),
    _service(
        "style-transfer",
        "Applies the style of the second image to the first.",
        "control/style-transfer",
        "8",
        _STEERED,
        max_inputs=2,
        prompt_required=False,
    ),
    _service(
        "upscale-fast",
        "Upscales to four times the width and height within a second.",
        "upscale/fast",
        "2",
        frozenset({Capability.IMAGE_TO_IMAGE}),
        prompt_required=False,
    ),
    _service(
        "upscale-conservative",
        "Upscales to at most 4 MP, with little new detail.",
        "upscale/conservative",
        "40",
        _STEERED,
    ),
    _service(
        "upscale-creative",
        "Upscales a small image to at most 4 MP, with much new detail.",
        "upscale/creative",
        "60",
        _STEERED,
        mode=Mode.ASYNC,
    ),
)
