"""Choice of the model, and checks of what it can do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagegateway.platform.errors import unsupported
from imagegateway.providers.catalog import Capability
from imagegateway.v1 import image_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Collection

    from imagegateway.providers.catalog import Model
    from imagegateway.router.catalog import Catalog
    from imagegateway.router.permissions import Permissions
    from imagegateway.router.validation.draft import Draft, Request, WarningList


def choose_model(
    request: Request,
    catalog: Catalog,
    default_model: str,
    warnings: WarningList,
    *,
    byok: Collection[str],
    stored: Collection[str],
    permissions: Permissions,
) -> Model:
    """Return the requested model, else the default one or, with a warning, its substitute.

    Raises GatewayError MODEL_NOT_FOUND, as `Permissions.check` does, or UNSUPPORTED_PARAMETER for a model that can't
    do this kind of work.
    """
    model = catalog.resolve(request.model or default_model, permissions.shows)
    if not (request.model or byok or warnings.strict):
        model = _substitute(model, catalog, warnings, stored)
    edit = isinstance(request, pb.EditRequest)
    permissions.check(model, edit=edit)
    _check_capability(model, catalog, permissions, edit=edit)
    return model


def _substitute(default: Model, catalog: Catalog, warnings: WarningList, stored: Collection[str]) -> Model:
    """Return the default model while it is ready, else the embedded model with a warning."""
    model = catalog.default_or_embedded(default, stored)
    if model is not default:
        reason = catalog.unavailable_reason(default, stored)
        message = f"{reason} No model was named, so {model.id} serves instead of this default."
        warnings.add_always("default_model_unavailable", "model", message)
    return model


def _check_capability(model: Model, catalog: Catalog, permissions: Permissions, *, edit: bool) -> None:
    if edit and not model.supports(Capability.IMAGE_TO_IMAGE):
        able = ", ".join(filter(permissions.shows, catalog.with_capability(Capability.IMAGE_TO_IMAGE)))
        raise unsupported("model", f"{model.id} can't edit images. These can: {able}.")
    if not edit and not (model.supports(Capability.TEXT_TO_IMAGE) or model.supports(Capability.TEXT_TO_VIDEO)):
        raise unsupported("model", f"{model.id} edits images; send it to /v1/images/edits.")


def note_retirement(draft: Draft) -> None:
    """Warn of a model with a retirement date, under strict handling too."""
    model = draft.model
    if model.retired_at:
        successor = f" Its successor is {model.successor}." if model.successor else ""
        message = f"{model.id}: its provider ends its service on {model.retired_at}.{successor}"
        draft.warnings.add_always("model_retired", "model", message)
