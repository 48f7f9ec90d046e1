"""Request validation against the catalog: no field is dropped or clamped silently.

A value that would change the meaning of the request is refused. An option that the model lacks becomes a warning, or
an error under `Prefer: handling=strict`.
"""

from __future__ import annotations

from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from imagegateway.platform.errors import GatewayError
from imagegateway.provider.v1 import provider_service_pb2 as provider
from imagegateway.router.permissions import UNRESTRICTED
from imagegateway.router.validation import (
    appearance_checks,
    input_checks,
    lora_checks,
    model_checks,
    output_checks,
    passthrough_checks,
    prompt_checks,
    sizes,
    video_checks,
)
from imagegateway.router.validation.draft import Draft, WarningList
from imagegateway.router.validation.plan import Plan
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from imagegateway.router.call_context import Preferences
    from imagegateway.router.catalog import Catalog
    from imagegateway.router.permissions import Permissions
    from imagegateway.router.validation.draft import Request

CHECKS: Final[tuple[Callable[[Draft], None], ...]] = (
    passthrough_checks.check_unknown_fields,
    prompt_checks.check_prompt,
    prompt_checks.check_image_count,
    passthrough_checks.check_end_user,
    sizes.check_size,
    appearance_checks.check_quality,
    appearance_checks.check_style,
    appearance_checks.check_background,
    appearance_checks.check_complexity,
    appearance_checks.check_moderation,
    appearance_checks.check_input_fidelity,
    appearance_checks.check_strength,
    prompt_checks.check_seed,
    prompt_checks.check_negative_prompt,
    output_checks.check_output,
    lora_checks.check_loras,
    video_checks.check_video_options,
    model_checks.note_retirement,
    output_checks.check_partial_images,
    input_checks.check_mask_and_markup,
    passthrough_checks.check_provider_options,
)
"""Checks of a request, in order: the first failure is the caller's error. Later checks read what earlier ones set."""

_NO_KEYS: Final[Mapping[str, bytes]] = MappingProxyType({})


def _no_open_circuit(_model: str, _route: str) -> bool:
    return False


def validate_request(
    request: Request,
    catalog: Catalog,
    default_model: str,
    preferences: Preferences,
    *,
    has_mask: bool = False,
    has_markup: bool = False,
    byok: Collection[str] = (),
    stored_keys: Mapping[str, bytes] = _NO_KEYS,
    is_open: Callable[[str, str], bool] = _no_open_circuit,
    unknown: Sequence[str] = (),
    permissions: Permissions = UNRESTRICTED,
    response_format: str = "",
) -> Plan:
    """Return the plan of a request. Raises GatewayError naming the first wrong field.

    `input_images` checks the content of inputs, mask and markup. `unknown`: names that a form or a JSON body sent and
    no field takes. `byok`: routes that the caller brings keys for. `stored_keys`: as `Plan.stored_keys`. `is_open`
    returns True for a model and a route whose circuit breaker is open. `permissions` and `response_format`: those of
    the caller's key. That format applies where the request states none.
    """
    warnings = WarningList(strict=preferences.strict)
    model = model_checks.choose_model(
        request, catalog, default_model, warnings, byok=byok, stored=stored_keys, permissions=permissions
    )
    task = provider.ImageTask(model=model.id, strict=preferences.strict)
    draft = Draft(
        request=request,
        model=model,
        task=task,
        warnings=warnings,
        unknown=unknown,
        has_mask=has_mask,
        has_markup=has_markup,
        respond_async=preferences.respond_async,
        has_caller_key=bool(byok) or any(route.name in stored_keys for route in model.routes),
    )
    for check in CHECKS:
        check(draft)
    route = catalog.route(model, byok, partial(is_open, model.id), stored_keys, own=bool(task.loras))
    task.route = route.name
    routes = (route,) if byok else (route, *model.routes_after(route.name))
    passthrough_checks.check_reserved_options(task, routes)
    return Plan(
        model=model,
        route=route,
        task=task,
        warnings=tuple(warnings.found),
        b64_json=output_checks.wants_b64_json(draft, response_format),
        stream=request.stream,
        metadata=passthrough_checks.checked_metadata(request),
        webhook_url=request.webhook_url,
        is_edit=draft.is_edit,
        stored_keys=_NO_KEYS if byok else stored_keys,
        routes=routes,
        own_key_routes=frozenset(byok or stored_keys),
    )


def refuse_stream(request: Request) -> None:
    """Raise GatewayError UNSUPPORTED_PARAMETER for `stream` in a typed unary method."""
    if request.stream:
        raise GatewayError(
            ErrorReason.ERROR_REASON_UNSUPPORTED_PARAMETER,
            "stream must be the JSON value true, over REST; gRPC callers use StreamJob.",
            param="stream",
        )
