"""The embedded model's facts. Our own: there is no provider's page to cite."""

from datetime import date
from typing import Final

from imagegateway.providers import catalog as c

MODELS: Final = (
    c.Model(
        id="local/sketch",
        family="local",
        description="The embedded development model: draws a poster from the prompt. No key, no network.",
        created=date(2026, 11, 25),
        source="",
        checked=date(2026, 11, 25),
        routes=(
            c.Route(
                name="local",
                mode=c.INLINE,
                native="sketch",
                repeatable=True,
                price_per_image=0.0,
                # It draws on this machine's cores.
                concurrency=64,
                pictures_per_place=10,
                shared=True,
            ),
        ),
        sizes=c.Free(default=(1024, 1024), min_side=64, max_side=2048),
        capabilities=frozenset(
            {
                c.TEXT_TO_IMAGE,
                c.IMAGE_TO_IMAGE,
                c.MASK,
                c.SEED,
                c.NEGATIVE_PROMPT,
                c.PARTIAL_IMAGES,
                c.TRANSPARENT,
                c.STYLE,
            }
        ),
        aliases=("sketch",),
        max_prompt_length=4000,
        max_inputs=16,
        output_formats=("png", "jpeg", "webp"),
        qualities=("low", "medium", "high", "standard", "hd"),
    ),
)
