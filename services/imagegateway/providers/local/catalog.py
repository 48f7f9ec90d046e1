"""Catalog of the embedded model. It has no provider's page as its source."""

from datetime import date
from typing import Final

from imagegateway.providers.catalog import Capability, Mode, Model, Route
from imagegateway.providers.pricing import FREE, Price
from imagegateway.providers.sizes import SizeRange

MODELS: Final = (
    Model(
        id="local/sketch",
        family="local",
        description="The embedded development model: draws a poster from the prompt. No key, no network.",
        created=date(2026, 11, 25),
        source="",
        checked=date(2026, 11, 25),
        routes=(
            Route(
                name="local",
                mode=Mode.INLINE,
                native_id="sketch",
                idempotent=True,
                price=Price(FREE, page="", checked=date(2026, 11, 25)),
                # Drawing uses this machine's cores.
                concurrency=64,
                images_per_slot=10,
                shared_slots=True,
            ),
        ),
        sizes=SizeRange(default=(1024, 1024), min_side=64, max_side=2048),
        capabilities=frozenset(
            {
                Capability.TEXT_TO_IMAGE,
                Capability.IMAGE_TO_IMAGE,
                Capability.MASK,
                Capability.SEED,
                Capability.NEGATIVE_PROMPT,
                Capability.PARTIAL_IMAGES,
                Capability.TRANSPARENT,
                Capability.STYLE,
            }
        ),
        aliases=("sketch",),
        max_prompt_length=4000,
        max_inputs=16,
        output_formats=("png", "jpeg", "webp"),
        qualities=("low", "medium", "high", "standard", "hd"),
    ),
)
