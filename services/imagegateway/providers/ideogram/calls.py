"""Ideogram's endpoints as data: the path and the fields of each.

Source: Ideogram's OpenAPI document of API v1 and its reference of API v2, read 2026-11-22.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Endpoint of the API, called by POST."""

    path: str
    takes: frozenset[str]
    """Fields of the endpoint, of those that the adapter can send."""
    prompt: str = "prompt"
    """Name of the prompt field; empty: the endpoint takes no prompt."""
    image: str = "image"
    levels: Mapping[str, str] = field(default_factory=dict)
    """Ideogram's level by the gateway's quality."""
    max_bytes: int = 10_000_000
    """Largest input image, in bytes. API v1's pages say 10 MB and 25 MB: the smaller number applies."""
    max_total_bytes: int = 50_000_000
    """Largest sum of a request's input images, in bytes, as API v2 states it."""
    transparent: bool = False
    """Every result has a transparent background."""
    mask_needs_both_colours: bool = False
    """The mask must hold both black and white."""
    json: bool = False
    """A body without images is JSON; otherwise every body is multipart."""


_SPEEDS: Final = {
    "low": "TURBO",
    "medium": "DEFAULT",
    "standard": "DEFAULT",
    "high": "QUALITY",
    "xhigh": "QUALITY",
    "max": "QUALITY",
    "hd": "QUALITY",
}
_LEVELS: Final = {
    "low": "low",
    "medium": "medium",
    "standard": "medium",
    "high": "high",
    "xhigh": "high",
    "max": "high",
    "hd": "high",
}
QUALITIES: Final = tuple(_SPEEDS)
RATIOS: Final = (
    *("1:1", "1:2", "2:1", "1:3", "3:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4"),
    *("9:16", "16:9", "10:16", "16:10"),
)
"""Aspect ratios of 3.0, which the API writes with `x` between the numbers."""

_V3: Final = frozenset({"seed", "num_images", "rendering_speed"})
_SIZED: Final = frozenset({"resolution", "aspect_ratio", "negative_prompt", "style_type"})
_V4: Final = frozenset({"num_images", "rendering_speed", "resolution"})
_V2: Final = frozenset({"seed", "num_images", "quality", "size"})


def _v3(action: str, takes: frozenset[str] = _V3, *, prompt: str = "prompt") -> Endpoint:
    return Endpoint(f"/v1/ideogram-v3/{action}", takes, prompt=prompt, levels=_SPEEDS)


def _v4(action: str) -> Endpoint:
    return Endpoint(f"/v1/ideogram-v4/{action}", _V4, prompt="text_prompt", levels=_SPEEDS)


def _v2(native: str) -> Mapping[str, Endpoint]:
    plain = Endpoint(
        f"/v2/image/generate/{native}",
        _V2,
        image="images",
        levels=_LEVELS,
        max_bytes=25_000_000,
        json=True,
    )
    return {
        "generate": plain,
        "image": plain,
        "mask": replace(plain, takes=_V2 - {"size"}, mask_needs_both_colours=True),
    }


ENDPOINTS: Final[Mapping[str, Mapping[str, Endpoint]]] = {
    "ideogram-v3": {
        "generate": _v3("generate", _V3 | _SIZED),
        "transparent": replace(
            _v3("generate-transparent", _V3 | {"aspect_ratio", "negative_prompt"}),
            transparent=True,
        ),
        "image": _v3("remix", _V3 | _SIZED),
        "mask": _v3("inpaint", _V3 | {"style_type"}),
    },
    "ideogram-v3-remix": {"image": _v3("remix", _V3 | _SIZED)},
    "ideogram-v3-edit": {
        # Without a mask only the instruction names the change.
        "image": Endpoint("/v1/edit", frozenset({"num_images", "transparent_background"}), image="images"),
        "mask": _v3("inpaint", _V3 | {"style_type"}),
    },
    "ideogram-v3-reframe": {"image": _v3("reframe", _V3 | {"resolution"}, prompt="")},
    "ideogram-v3-replace-background": {"image": _v3("replace-background", _V3 | {"style_type"})},
    "ideogram-v4": {"generate": _v4("generate"), "image": _v4("remix")},
    "ideogram-4-5": _v2("ideogram-4-5"),
    "ideogram-4-6": _v2("ideogram-4-6"),
    "remove-background": {"image": Endpoint("/v1/remove-background", frozenset(), prompt="", transparent=True)},
}
"""Endpoints by native id, then by the call's input: `image`, `mask` with an image, `transparent` or `generate`."""
