"""LoRAs as every route of SDXL reads them: a place or a name, and a strength."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from services.common.errors import invalid
from services.common.urlguard import Guard, UrlRefusedError

if TYPE_CHECKING:
    from services.common.adapter import Call

_GUARD: Final = Guard(())  # the provider fetches them: no host of the operator's own is meant


@dataclass(frozen=True, slots=True)
class Weights:
    """One LoRA. `param` is the request field that it came from."""

    url: str
    id: str
    scale: float
    param: str


def of(call: Call) -> list[Weights]:
    """The LoRAs of a call, with strength 1 where none was given. Raises GatewayError for a URL of no public host."""
    found = []
    for index, lora in enumerate(call.task.loras):
        param = f"loras[{index}]"
        try:
            if lora.url:
                _GUARD.parse(lora.url)
        except UrlRefusedError as error:
            raise invalid(f"{param}.url", f"{param}.url can't be used: {error.reason}.") from None
        found.append(Weights(lora.url, lora.id, lora.scale if lora.HasField("scale") else 1.0, param))
    return found
