"""Checks of LoRAs: weights that the caller's own provider account loads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from imagegateway.outbound.url_guard import UrlGuard, UrlRefusedError
from imagegateway.platform.errors import GatewayError, invalid, unsupported
from imagegateway.providers.catalog import Capability
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from imagegateway.router.validation.draft import Draft

_MAX_SCALE: Final = 4
_URL_GUARD: Final = UrlGuard(())
"""UrlGuard without allowed private hosts: the provider fetches LoRAs, not the gateway."""


def check_loras(draft: Draft) -> None:
    """Set the LoRAs. Raises GatewayError BYOK_REQUIRED without a provider key of the caller's own."""
    for index, lora in enumerate(draft.request.loras):
        param = f"loras[{index}]"
        if not draft.model.supports(Capability.LORA):
            raise unsupported("loras", f"{draft.model.id} loads no LoRAs.")
        if bool(lora.url) == bool(lora.id):
            raise invalid(param, "A LoRA needs either url or id.")
        if lora.HasField("scale") and not -_MAX_SCALE <= lora.scale <= _MAX_SCALE:
            raise invalid(f"{param}.scale", f"scale must be from -{_MAX_SCALE} to {_MAX_SCALE}.")
        if not draft.has_caller_key:
            raise GatewayError(
                ErrorReason.ERROR_REASON_BYOK_REQUIRED,
                "LoRAs run on the caller's own provider account: send its key as X-BYOK-<route>, or store it with "
                "PUT /v1/provider-keys/<route>.",
                param="loras",
            )
        try:
            if lora.url:
                _URL_GUARD.parse(lora.url)
        except UrlRefusedError as error:
            raise invalid(f"{param}.url", f"{param}.url can't be used: {error.reason}.") from None
        draft.task.loras.append(lora)
