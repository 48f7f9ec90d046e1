"""Adapter of Bria's models on fal: the same operations under other names, one image per response."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from imagegateway.providers.bria import operations
from imagegateway.providers.fal import FalAdapter
from imagegateway.providers.kit.call import InputImage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imagegateway.providers.kit.call import Call
    from imagegateway.providers.kit.outcomes import Outcome

_SEEDED: Final = frozenset({"bria/fibo-edit/edit", "bria/fibo/generate"})
"""Apps that use the seed 5555 unless the request has one."""


class BriaFalAdapter(FalAdapter):
    """Adapter of the route `fal` for Bria.

    Source: fal's model pages (bria/fibo-edit, bria/fibo, fal-ai/bria), read 2026-11-22.
    """

    params: Mapping[str, str] = {
        **dict.fromkeys(operations.PROMPT_FIELDS, "prompt"),
        "image_url": "image",
        "mask_url": "mask",
        "steps_num": "quality",
    }

    def app(self, call: Call) -> str:
        return call.route.native_id

    def arguments(self, call: Call) -> dict[str, Any]:
        body = operations.arguments(call, InputImage.data_url)
        if call.route.native_id in _SEEDED:
            body["seed"] = _seed(call)
        return body

    def read_output(self, call: Call, output: Mapping[str, Any]) -> Outcome:
        # The response does not repeat the seed.
        known = {"seed": _seed(call)} if call.route.native_id in _SEEDED else {}
        return super().read_output(
            call, {**known, **{name: value for name, value in output.items() if value is not None}}
        )


def _seed(call: Call) -> int:
    """Return the caller's seed, else one derived from the job and the image, equal for each repeat of the job."""
    if call.seed is not None:
        return call.seed
    return int.from_bytes(hashlib.sha256(f"{call.job_id}/{call.index}".encode()).digest()[:4], "big") >> 1
