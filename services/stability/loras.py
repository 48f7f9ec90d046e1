"""LoRAs as every route of SDXL reads them: a place or a name, and a strength. The router has checked the place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.common.errors import unsupported

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
    """The LoRAs of a call, with strength 1 where none was given."""
    return [
        Weights(lora.url, lora.id, lora.scale if lora.HasField("scale") else 1.0, f"loras[{index}]")
        for index, lora in enumerate(call.task.loras)
    ]


def refuse_option(call: Call, name: str) -> None:
    """Refuse weights that come by the provider's own option: no caller's key was asked for, no URL was checked."""
    if name in call.options:
        raise unsupported(f"provider_options.{name}", "LoRAs are sent in loras, with a key of the caller's own.")
