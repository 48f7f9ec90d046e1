"""LoRAs of a request, as all routes of SDXL read them. The router has checked their URLs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imagegateway.providers.kit.call import Call


@dataclass(frozen=True, slots=True)
class Lora:
    """LoRA by URL or id, with its scale. `param` is its request field, such as `loras[0]`."""

    url: str
    id: str
    scale: float
    param: str


def loras_of(call: Call) -> list[Lora]:
    """Return the LoRAs of a call, with scale 1 by default."""
    return [
        Lora(lora.url, lora.id, lora.scale if lora.HasField("scale") else 1.0, f"loras[{index}]")
        for index, lora in enumerate(call.task.loras)
    ]
