"""Catalog of OpenAI's models.

Source: OpenAI's OpenAPI document 2.3.0, its deprecations and pricing pages and its image guide, read 2026-11-22.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Final, Unpack

from imagegateway.platform.money import usd
from imagegateway.providers.catalog import Capability, Mode, Model, ModelFacts, Route
from imagegateway.providers.kit import reserved_options
from imagegateway.providers.pricing import PerImageBySize, PerToken, Price, per_million
from imagegateway.providers.sizes import FixedSizes, SizeRange

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imagegateway.providers.pricing import Rule
    from imagegateway.providers.sizes import Sizes

_SOURCE: Final = "https://developers.openai.com/api/docs/models"
_PRICES: Final = "https://developers.openai.com/api/docs/pricing"
_CHECKED: Final = date(2026, 11, 22)
_ADDED: Final = date(2026, 11, 25)
_SUCCESSOR: Final = "openai/gpt-image-2"

_ANY_SIZE: Final = SizeRange(
    default=(1024, 1024),
    min_side=480,
    max_side=3840,
    step=16,
    max_pixels=8_294_400,
    min_pixels=655_360,
    max_ratio=3,
)
_THREE_SIZES: Final = FixedSizes(((1024, 1024), (1536, 1024), (1024, 1536)))
_DALLE3: Final = FixedSizes(((1024, 1024), (1792, 1024), (1024, 1792)))
_DALLE2: Final = FixedSizes(((1024, 1024), (512, 512), (256, 256)))

_GPT: Final = frozenset(
    {
        Capability.TEXT_TO_IMAGE,
        Capability.IMAGE_TO_IMAGE,
        Capability.MASK,
        Capability.PARTIAL_IMAGES,
        Capability.TRANSPARENT,
        Capability.SAFETY_IDENTIFIER,
    }
)
# `standard` and `hd` are DALL·E's values, which clients still send; the adapter sends `medium` and `high` instead.
_QUALITIES: Final = ("low", "medium", "high", "standard", "hd")

DALLE: Final = frozenset({"dall-e-2", "dall-e-3"})
"""Native ids that accept `response_format`, and no parameter of the GPT image models."""

INPUT_FIDELITY: Final[Mapping[str, tuple[str, ...]]] = {
    "gpt-image-1": ("low", "high"),
    "gpt-image-1-mini": ("low",),
    "gpt-image-1.5": ("low", "high"),
    "gpt-image-1.5-2025-12-16": ("low", "high"),
    "chatgpt-image-latest": ("low", "high"),
}
"""Values of `input_fidelity` by native id; other models do not accept the field."""


_RESERVED: Final = reserved_options.paths("tools", "input", "previous_response_id", "store")
"""Names of OpenAI's Responses API for inputs and targets. Names of its Images API are reserved for all families."""


def _outputs(*rows: str) -> PerImageBySize:
    """Return the expected cost of an image's tokens: in low, medium and high quality, square and not.

    `rows`: two amounts in US dollars for each quality. OpenAI states none above high. The quality `auto` may be any.
    """
    low, medium, high = (
        {(1024, 1024): usd(square), (1536, 1024): usd(other), (1024, 1536): usd(other)}
        for square, other in map(str.split, rows)
    )
    levels = {"low": low, "medium": medium, "standard": medium}
    return PerImageBySize(levels | dict.fromkeys(("high", "hd", "xhigh", "max"), high), default="high")


# Expected tokens of an input image of one or two megapixels. High fidelity adds the tokens of a whole image.
_LOW_FIDELITY: Final = 323
_HIGH_FIDELITY: Final = _LOW_FIDELITY + 6240
_ANY_FIDELITY: Final = {"": _LOW_FIDELITY, "high": _HIGH_FIDELITY}
_PARTIAL_IMAGE_TOKENS: Final = 100
"""Output tokens of a partial image."""

_GPT_2: Final = PerToken(
    text_in=per_million("5"),
    image_in=per_million("8"),
    output_token=per_million("30"),
    outputs=_outputs("0.006 0.005", "0.053 0.041", "0.211 0.165"),
    input_tokens={"": _HIGH_FIDELITY},
    partial_image_tokens=_PARTIAL_IMAGE_TOKENS,
)
_GPT_1_5: Final = PerToken(
    text_in=per_million("5"),
    image_in=per_million("8"),
    output_token=per_million("32"),
    text_out=per_million("10"),
    outputs=_outputs("0.009 0.013", "0.034 0.05", "0.133 0.2"),
    input_tokens=_ANY_FIDELITY,
    partial_image_tokens=_PARTIAL_IMAGE_TOKENS,
)
_GPT_1: Final = PerToken(
    text_in=per_million("5"),
    image_in=per_million("10"),
    output_token=per_million("40"),
    outputs=_outputs("0.011 0.016", "0.042 0.063", "0.167 0.25"),
    input_tokens=_ANY_FIDELITY,
    partial_image_tokens=_PARTIAL_IMAGE_TOKENS,
)
_GPT_1_MINI: Final = PerToken(
    text_in=per_million("2"),
    image_in=per_million("2.5"),
    output_token=per_million("8"),
    outputs=_outputs("0.005 0.006", "0.011 0.015", "0.036 0.052"),
    input_tokens={"": _LOW_FIDELITY},
    partial_image_tokens=_PARTIAL_IMAGE_TOKENS,
)


def _model(
    name: str,
    description: str,
    *,
    sizes: Sizes = _ANY_SIZE,
    capabilities: frozenset[Capability] = _GPT,
    rule: Rule | None = _GPT_2,
    max_images_per_call: int | None = None,
    **facts: Unpack[ModelFacts],
) -> Model:
    facts = {
        "max_prompt_length": 32_000,
        "max_inputs": 16,
        "output_formats": ("png", "webp", "jpeg"),
        "qualities": _QUALITIES,
        "aliases": (name,),
        "base64_aliases": frozenset() if name in DALLE else frozenset({name}),
        **facts,
    }
    route = Route(
        name="openai",
        mode=Mode.INLINE,
        native_id=name,
        required_settings=("IMAGEGATEWAY_OPENAI_API_KEY",),
        price=Price(rule, _PRICES, _CHECKED) if rule else None,
        max_images_per_call=max_images_per_call,
        reserved_options=_RESERVED,
    )
    return Model(
        id=f"openai/{name}",
        family="openai",
        description=description,
        created=_ADDED,
        source=_SOURCE,
        checked=_CHECKED,
        routes=(route,),
        sizes=sizes,
        capabilities=capabilities,
        **facts,
    )


def _gpt_2_5(name: str, description: str) -> Model:
    """Return the entry of a GPT Image 2.5 or 2.6 model. OpenAI grants access to gif and svg by account."""
    return _model(
        name,
        description,
        capabilities=_GPT | {Capability.COMPLEXITY, Capability.MARKUP, Capability.SVG_AUTHOR},
        output_formats=("png", "webp", "jpeg", "gif", "svg"),
        qualities=("low", "medium", "high", "xhigh", "max", "standard", "hd"),
    )


MODELS: Final = (
    _gpt_2_5("gpt-image-2.6-flare", "GPT Image 2.6 flare."),
    _gpt_2_5("gpt-image-2.6-sunburst", "GPT Image 2.6 sunburst."),
    _gpt_2_5("gpt-image-2.5-flare", "GPT Image 2.5 flare."),
    _gpt_2_5("gpt-image-2.5-sunburst", "GPT Image 2.5 sunburst."),
    _gpt_2_5("gpt-image-2.5-flare-2026-09-08", "GPT Image 2.5 flare, snapshot of 2026-09-08."),
    _gpt_2_5("gpt-image-2.5-sunburst-2026-09-08", "GPT Image 2.5 sunburst, snapshot of 2026-09-08."),
    _model("gpt-image-2", "GPT Image 2: images and edits of any size up to 4K."),
    _model("gpt-image-2-2026-04-21", "GPT Image 2, snapshot of 2026-04-21."),
    _model(
        "gpt-image-1.5",
        "GPT Image 1.5.",
        rule=_GPT_1_5,
        sizes=_THREE_SIZES,
        retired_at=date(2026, 12, 1),
        successor=_SUCCESSOR,
    ),
    _model(
        "gpt-image-1.5-2025-12-16",
        "GPT Image 1.5, snapshot of 2025-12-16.",
        rule=_GPT_1_5,
        sizes=_THREE_SIZES,
        retired_at=date(2026, 12, 1),
        successor=_SUCCESSOR,
    ),
    _model(
        "chatgpt-image-latest",
        "The GPT Image model of ChatGPT.",
        rule=_GPT_1_5,
        sizes=_THREE_SIZES,
        retired_at=date(2026, 12, 1),
        successor=_SUCCESSOR,
    ),
    _model(
        "gpt-image-1-mini",
        "GPT Image 1 mini: the cheapest GPT image model.",
        rule=_GPT_1_MINI,
        sizes=_THREE_SIZES,
        retired_at=date(2026, 12, 1),
        successor=_SUCCESSOR,
    ),
    _model(
        "gpt-image-1",
        "GPT Image 1.",
        rule=_GPT_1,
        sizes=_THREE_SIZES,
        retired_at=date(2026, 10, 23),
        successor=_SUCCESSOR,
    ),
    _model(
        "dall-e-3",
        "DALL·E 3.",
        rule=None,
        sizes=_DALLE3,
        capabilities=frozenset({Capability.TEXT_TO_IMAGE, Capability.STYLE}),
        max_prompt_length=4000,
        max_inputs=0,
        output_formats=("png",),
        qualities=("standard", "hd"),
        max_images_per_call=1,
        retired_at=date(2026, 5, 12),
        successor=_SUCCESSOR,
    ),
    _model(
        "dall-e-2",
        "DALL·E 2: edits one square PNG under 4 MB.",
        rule=None,
        sizes=_DALLE2,
        capabilities=frozenset({Capability.TEXT_TO_IMAGE, Capability.IMAGE_TO_IMAGE, Capability.MASK}),
        max_prompt_length=1000,
        max_inputs=1,
        output_formats=("png",),
        qualities=("standard",),
        retired_at=date(2026, 5, 12),
        successor=_SUCCESSOR,
    ),
)
