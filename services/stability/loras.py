"""LoRAs as every route of SDXL reads them: a place or a name, and a strength."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.common.errors import invalid

if TYPE_CHECKING:
    from services.common.adapter import Call


@dataclass(frozen=True, slots=True)
class Weights:
    """One LoRA. `param` is the request field that it came from."""

    url: str
    id: str
    scale: float
    param: str


def of(call: Call) -> list[Weights]:
    """The LoRAs of a call, with strength 1 where none was given. Raises GatewayError for a URL without https."""
    found = []
    for index, lora in enumerate(call.task.loras):
        param = f"loras[{index}]"
        if lora.url and not lora.url.startswith("https://"):
            raise invalid(f"{param}.url", f"{param}.url must be an https URL.")
        found.append(Weights(lora.url, lora.id, lora.scale if lora.HasField("scale") else 1.0, param))
    return found
