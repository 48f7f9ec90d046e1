"""Stability AI's models and services. Source: platform.stability.ai (API reference, pricing) as of 2026-11-22."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Final, Unpack

from imagegateway.providers.catalog import Capability, Mode, Model, ModelFacts, Route
from imagegateway.providers.kit import reserved_options
from imagegateway.providers.sizes import AspectRatioSizes, SizeRange

if TYPE_CHECKING:
    from imagegateway.providers.sizes import Sizes

_SOURCE: Final = "https://platform.stability.ai/docs/api-reference"
_CHECKED: Final = date(2026, 11, 22)
_ADDED: Final = date(2026, 11, 25)
_SETTINGS: Final = ("IMAGEGATEWAY_STABILITY_API_KEY",)

_RATIOS: Final = ("16:9", "1:1", "21:9", "2:3", "3:2", "4:5", "5:4", "9:16", "9:21")
_ONE_MP: Final = AspectRatioSizes(_RATIOS, pixels=1_048_576)
_CORE: Final = AspectRatioSizes(_RATIOS, pixels=1_572_864)
# Results follow their input, whose sides start at 64 and whose area ends at 9,437,184 pixels.
_INPUT: Final = SizeRange(default=(1024, 1024), min_side=64, max_side=16_384, max_pixels=9_437_184)
# Limits of ours: SDXL was trained around 1024x1024 and repeats its subject far beyond.
_SDXL: Final = SizeRange(default=(1024, 1024), min_side=256, max_side=2048, step=8)

_STYLES: Final = (
    "3d-model", "analog-film", "anime", "cinematic", "comic-book", "digital-art", "enhance", "fantasy-art",
    "isometric", "line-art", "low-poly", "modeling-compound", "neon-punk", "origami", "photographic", "pixel-art",
    "tile-texture",
)  # fmt: skip
# The services that take one of them.
_STYLED: Final = frozenset({
    "generate/ultra", "generate/core", "generate/sd3", "edit/inpaint", "edit/outpaint", "edit/search-and-replace",
    "edit/search-and-recolor", "control/sketch", "control/structure", "control/style", "upscale/creative",
})  # fmt: skip

_ALL_FORMATS: Final = ("png", "jpeg", "webp")
_GENERATE: Final = frozenset({Capability.TEXT_TO_IMAGE, Capability.SEED, Capability.NEGATIVE_PROMPT})
_BOTH: Final = _GENERATE | {Capability.IMAGE_TO_IMAGE}
_STEERED: Final = frozenset({Capability.IMAGE_TO_IMAGE, Capability.SEED, Capability.NEGATIVE_PROMPT})
_EDIT: Final = frozenset({Capability.IMAGE_TO_IMAGE, Capability.SEED})


def _model(
    name: str,
    description: str,
    native: str,
    price: float | None,
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
        routes=(Route("stability", mode, native, _SETTINGS, price_per_image=price, reserved_options=_RESERVED),),
        sizes=sizes,
        capabilities=capabilities,
        **facts,
    )


def _sd35(variant: str, price: float, capabilities: frozenset[Capability], *aliases: str) -> Model:
    name = f"sd3.5-{variant}"
    return _model(
        name,
        f"Stable Diffusion 3.5 {variant.replace('-', ' ').title()}.",
        f"generate/sd3:{name}",
        price,
        # The older ids of Stable Diffusion 3 are served by 3.5.
        aliases=(name, f"sd3-{variant}", f"stability-ai/sd3-{variant}", *aliases),
        capabilities=capabilities,
        sizes=_ONE_MP,
        output_formats=("png", "jpeg"),
    )


def _service(
    name: str,
    description: str,
    native: str,
    price: float | None,
    capabilities: frozenset[Capability],
    *,
    sizes: Sizes = _INPUT,
    mode: Mode = Mode.INLINE,
    **facts: Unpack[ModelFacts],
) -> Model:
    """A service that works on a picture; its bare name belongs to no vendor, so the alias says whose it is."""
    facts = {"aliases": (f"stability-edit-{name}",), **facts}
    return _model(
        name,
        description,
        native,
        price,
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
    description="Stable Diffusion XL 1.0: open weights, LoRAs by the caller's own key.",
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
        # One GPU serves one request at a time; without a setting nobody has said that there is a server.
        Route(
            "automatic1111",
            Mode.INLINE,
            "sd_xl_base_1.0.safetensors",
            ("IMAGEGATEWAY_AUTOMATIC1111_BASE_URL",),
            concurrency=1,
            images_per_slot=10,
            shared_slots=True,
            reserved_options=_AUTOMATIC1111_RESERVED,
        ),
    ),
    sizes=_SDXL,
    capabilities=_BOTH | {Capability.MASK, Capability.LORA},
    max_prompt_length=2000,
    max_inputs=1,
    output_formats=_ALL_FORMATS,
    qualities=("low", "medium", "high", "xhigh", "max"),
)

MODELS: Final = (
    _SDXL_MODEL,
    _model(
        "stable-image-ultra",
        "Stable Image Ultra: Stability's best picture, from text or a picture.",
        "generate/ultra",
        0.08,
        aliases=("stable-image-ultra",),
        capabilities=_BOTH,
        sizes=_ONE_MP,
    ),
    _model(
        "stable-image-core",
        "Stable Image Core: fast and low-priced pictures from text.",
        "generate/core",
        0.03,
        aliases=("stable-image-core",),
        capabilities=_GENERATE,
        sizes=_CORE,
        max_inputs=0,
    ),
    _sd35("large", 0.065, _BOTH, "stability-ai/sd3.5", "stability/sd3.5", "sd3.5", "stability-ai/sd3", "sd3"),
    _sd35("large-turbo", 0.04, _BOTH - {Capability.NEGATIVE_PROMPT}),
    _sd35("medium", 0.035, _BOTH),
    _service(
        "inpaint",
        "Repaints by a prompt what the mask marks.",
        "edit/inpaint",
        0.05,
        _STEERED | {Capability.MASK},
    ),
    _service(
        "erase",
        "Takes away what the mask marks.",
        "edit/erase",
        0.05,
        _EDIT | {Capability.MASK},
        prompt_required=False,
    ),
    _service(
        "outpaint",
        "Paints on beyond the edges: provider_options left, right, up and down, in pixels.",
        "edit/outpaint",
        None,
        _EDIT,
        prompt_required=False,
    ),
    _service(
        "search-and-replace",
        "Replaces what provider_options.search_prompt names by what the prompt says.",
        "edit/search-and-replace",
        0.05,
        _STEERED,
    ),
    _service(
        "search-and-recolor",
        "Gives what provider_options.select_prompt names the colours that the prompt says.",
        "edit/search-and-recolor",
        None,
        _STEERED,
    ),
    _service(
        "remove-background",
        "Cuts the subject out; the result is transparent.",
        "edit/remove-background",
        0.05,
        frozenset({Capability.IMAGE_TO_IMAGE, Capability.TRANSPARENT}),
        prompt_required=False,
        output_formats=("png", "webp"),
    ),
    _service(
        "replace-background-and-relight",
        "Puts the subject before another background, by prompt or by a second picture, and lights it to fit.",
        "edit/replace-background-and-relight",
        0.08,
        _EDIT,
        mode=Mode.ASYNC,
        max_inputs=2,
    ),
    _service("sketch", "Makes a picture of a sketch.", "control/sketch", 0.05, _STEERED),
    _service("structure", "Keeps a picture's structure and changes the rest.", "control/structure", 0.05, _STEERED),
    _service(
        "style",
        "Makes a picture in the style of another.",
        "control/style",
        0.05,
        _STEERED,
        sizes=_ONE_MP,
    ),
    _service(
        "style-transfer",
        "Gives the first picture the style of the second.",
        "control/style-transfer",
        0.08,
        _STEERED,
        max_inputs=2,
        prompt_required=False,
    ),
    _service(
        "upscale-fast",
        "Four times as wide and high within a second.",
        "upscale/fast",
        0.02,
        frozenset({Capability.IMAGE_TO_IMAGE}),
        prompt_required=False,
    ),
    _service("upscale-conservative", "Up to 4 MP, with little invention.", "upscale/conservative", 0.40, _STEERED),
    _service(
        "upscale-creative",
        "Up to 4 MP from a small picture, with much invention.",
        "upscale/creative",
        0.60,
        _STEERED,
        mode=Mode.ASYNC,
    ),
)
