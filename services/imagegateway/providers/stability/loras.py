"""LoRAs as every route of SDXL reads them: a place or a name, and a strength. The router has checked the place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imagegateway.providers.kit.adapter import Call


@dataclass(frozen=True, slots=True)
class Weights:
    """One LoRA. `param` is the request field that it came from."""

    url: str
    id: str
    scale: float
    param: str


def of(call: Call) -> list[Weights]:
    """The LoRAs of a call, with strength 1 where none was given."""
    return [
        Weights(lora.url, lora.id, lora.scale if lora.HasField("scale") else 1.0, f"loras[{index}]")
        for index, lora in enumerate(call.task.loras)
    ]
