"""Permissions of a caller's key: which methods and models it may call."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from imagegateway.keys import policy
from imagegateway.keys.policy import ALL_SCOPES, ANY_MODEL, Scope
from imagegateway.platform.errors import GatewayError
from imagegateway.providers.catalog import Modality
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imagegateway.keys.api_keys import ApiKey
    from imagegateway.providers.catalog import Model

_GENERATING: Final = frozenset({Scope.GENERATE, Scope.VIDEO})
_EDITING: Final = frozenset({Scope.EDIT, Scope.VIDEO})
_MAKING: Final = frozenset({Scope.GENERATE, Scope.EDIT, Scope.VIDEO})
_READING: Final = _MAKING | {Scope.READ}
_REPORTING: Final = _READING | {Scope.ADMIN}
EDIT_FORM: Final = frozenset(_EDITING)
"""Scopes of which one is needed to send an edit as a form."""
_ADMIN_PACKAGE: Final = "imagegateway.admin."

METHOD_SCOPES: Final[Mapping[str, frozenset[Scope]]] = MappingProxyType(
    {
        "imagegateway.v1.ImageService/Generate": _GENERATING,
        "imagegateway.v1.ImageService/Edit": _EDITING,
        "imagegateway.v1.ImageService/GetJob": _READING,
        "imagegateway.v1.ImageService/StreamJob": _READING,
        "imagegateway.v1.ImageService/CancelJob": _MAKING,
        "imagegateway.v1.ImageService/EraseJob": _MAKING,
        "imagegateway.v1.ImageService/ListJobs": _READING,
        "imagegateway.v1.ImageService/ListModels": ALL_SCOPES,
        "imagegateway.v1.ImageService/GetModel": ALL_SCOPES,
        "imagegateway.v1.ProviderKeyService/SetProviderKey": _MAKING,
        "imagegateway.v1.ProviderKeyService/ListProviderKeys": _READING,
        "imagegateway.v1.ProviderKeyService/DeleteProviderKey": _MAKING,
        "imagegateway.v1.RestEventService/StreamJobEvents": _READING,
        "imagegateway.v1.RestFileService/DownloadFile": _READING,
        "imagegateway.v1.RestFileService/SignFile": _READING,
        "imagegateway.v1.RestImageService/Edit": _EDITING,
        "imagegateway.v1.RestImageService/Generate": _GENERATING,
        "imagegateway.v1.RestImageService/GenerateVideo": frozenset({Scope.VIDEO}),
        "imagegateway.v1.RestProviderKeyService/SetProviderKey": _MAKING,
        "imagegateway.v1.RestUsageService/GetUsage": _REPORTING,
        "imagegateway.v1.UsageService/GetUsage": _REPORTING,
        "imagegateway.v1.WebhookService/GetWebhookSecret": _MAKING,
        "imagegateway.v1.WebhookService/RotateWebhookSecret": _MAKING,
        "imagegateway.v1.WebhookService/RedeliverWebhook": _MAKING,
    }
)
"""Scopes of each method, of which one is enough."""


def scopes_of(method: str) -> frozenset[Scope]:
    """Return the scopes of which one is enough to call a method, by its full name without the first slash.

    Raises KeyError for a method without a row in METHOD_SCOPES: every caller is refused.
    """
    if method.startswith(_ADMIN_PACKAGE):
        return frozenset({Scope.ADMIN})
    return METHOD_SCOPES[method]


def check_scopes(key: ApiKey, enough: frozenset[Scope]) -> None:
    """Raise GatewayError INSUFFICIENT_SCOPE for a key without any of the scopes."""
    if not key.scopes & enough:
        names = sorted(enough)
        raise GatewayError(
            ErrorReason.ERROR_REASON_INSUFFICIENT_SCOPE,
            f"The API key lacks the scope {' or '.join(names)}.",
            details={"scopes": ",".join(names)},
        )


@dataclass(frozen=True, slots=True)
class Permissions:
    """Permissions of one key, for the work that a request asks for."""

    scopes: frozenset[Scope] = ALL_SCOPES
    models: tuple[str, ...] = ANY_MODEL

    @classmethod
    def of(cls, key: ApiKey) -> Permissions:
        """Return the permissions of a key."""
        return cls(key.scopes, key.models)

    def shows(self, model_id: str) -> bool:
        """Return whether the caller may see a model."""
        return policy.allows(self.models, model_id)

    def check(self, model: Model, *, edit: bool) -> None:
        """Raise GatewayError: INSUFFICIENT_SCOPE, or MODEL_NOT_ALLOWED for a model off the key's list."""
        work = Scope.EDIT if edit else Scope.GENERATE
        needed = Scope.VIDEO if model.modality == Modality.VIDEO else work
        if needed not in self.scopes:
            raise GatewayError(
                ErrorReason.ERROR_REASON_INSUFFICIENT_SCOPE,
                f"The API key lacks the scope {needed}, which {model.id} needs here.",
                details={"scopes": needed},
            )
        if not self.shows(model.id):
            raise GatewayError(
                ErrorReason.ERROR_REASON_MODEL_NOT_ALLOWED,
                f"The API key may not use {model.id}. GET /v1/models lists the models that it may use.",
                param="model",
                details={"model": model.id},
            )


UNRESTRICTED: Final = Permissions()
"""Permissions without limits."""
