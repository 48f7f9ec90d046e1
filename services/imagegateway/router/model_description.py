"""Public descriptions of the catalog's models, for one tenant."""

from __future__ import annotations

import calendar
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from imagegateway.platform.money import CURRENCY, NANO
from imagegateway.provider.v1 import provider_service_pb2 as provider
from imagegateway.providers.catalog import Capability
from imagegateway.providers.pricing import Order
from imagegateway.providers.sizes import AspectRatioSizes, FixedSizes, SizeRange
from imagegateway.router.validation.appearance_checks import OPENAI_STYLES
from imagegateway.v1 import model_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from datetime import date

    from imagegateway.providers.catalog import Model
    from imagegateway.providers.sizes import Sizes
    from imagegateway.router.catalog import Catalog

_NO_DEFAULTS: Final[Mapping[str, str]] = MappingProxyType({})


def describe_models(
    catalog: Catalog,
    *,
    modality: str = "",
    provider: str = "",
    stored: Collection[str],
    defaults: Mapping[str, str],
    shows: Callable[[str], bool],
) -> list[pb.Model]:
    """Return the models of a modality and of a family or route, sorted by id. Empty filters match every model.

    `stored`, `defaults`: as for `describe_model`. `shows` returns whether the caller may see a model id.
    """
    served = _default_models(catalog, stored, defaults)
    return [
        _describe(catalog, model, stored, served)
        for _, model in sorted(catalog.models.items())
        if shows(model.id)
        and (not modality or model.modality == modality)
        and (not provider or provider in {model.family, *(route.name for route in model.routes)})
    ]


def describe_model(
    catalog: Catalog, model: Model, stored: Collection[str] = (), defaults: Mapping[str, str] = _NO_DEFAULTS
) -> pb.Model:
    """Return the description of a model.

    `stored`: routes that the tenant has stored a key for. `defaults`: default models by operation.
    """
    return _describe(catalog, model, stored, _default_models(catalog, stored, defaults))


def _describe(catalog: Catalog, model: Model, stored: Collection[str], served: Mapping[str, Model]) -> pb.Model:
    available = any(catalog.ready(route, stored) for route in model.routes) and not catalog.is_retired(model)
    return pb.Model(
        id=model.id,
        object="model",
        created=_unix_time(model.created),
        owned_by=model.family,
        description=model.description,
        modality=model.modality,
        aliases=model.aliases,
        capabilities=sorted(model.capabilities),
        limits=_limits(model, model.sizes),
        edit_limits=_limits(model, model.edit_sizes) if model.edit_sizes else None,
        routes=[
            pb.ModelRoute(
                name=route.name,
                mode=route.mode,
                available=catalog.ready(route, stored),
                missing_settings=catalog.missing(route, stored),
            )
            for route in model.routes
        ],
        available=available,
        unavailable_reason=None if available else catalog.unavailable_reason(model, stored),
        retired_at=model.retired_at.isoformat() if model.retired_at else None,
        successor=model.successor or None,
        pricing=_pricing(catalog, model, stored),
        default_for=[operation for operation, default in served.items() if default is model],
    )


def _default_models(catalog: Catalog, stored: Collection[str], defaults: Mapping[str, str]) -> dict[str, Model]:
    """Return the model that serves requests without a model, by operation."""
    return {
        operation: catalog.default_or_embedded(catalog.resolve(name), stored) for operation, name in defaults.items()
    }


def _pricing(catalog: Catalog, model: Model, stored: Collection[str]) -> pb.ModelPricing | None:
    """Return the price of the route that serves a call now, else of the first one; None: unknown."""
    route = next((route for route in model.routes if catalog.ready(route, stored)), model.routes[0])
    rule = catalog.rule(model, route)
    if rule is None:
        return None
    task = provider.ImageTask(model=model.id, route=route.name, n=1)
    size = model.output_size(task)
    unit_price = rule.unit_price(Order(task, size))
    if not {Capability.TEXT_TO_IMAGE, Capability.TEXT_TO_VIDEO} & model.capabilities:
        task.inputs.add(width=size[0], height=size[1])
        unit_price = rule.unit_price(Order(task, size)) if unit_price is None else unit_price
    expected = rule.estimate(Order(task, size))
    if unit_price is None or expected is None:
        return None
    return pb.ModelPricing(currency=CURRENCY, unit=rule.unit, amount=unit_price / NANO, estimate=expected / NANO)


def _limits(model: Model, sizes: Sizes) -> pb.ModelLimits:
    limits = pb.ModelLimits(
        max_prompt_length=model.max_prompt_length,
        prompt_required=model.prompt_required,
        max_n=model.max_n,
        max_input_images=model.max_inputs,
        output_formats=model.output_formats,
        qualities=model.qualities,
        styles=(*(OPENAI_STYLES if model.supports(Capability.STYLE) else ()), *model.styles),
        fps=model.fps,
        default_size="{}x{}".format(*sizes.default),
    )
    if model.seconds:
        limits.min_seconds, limits.max_seconds = model.seconds
    match sizes:
        case FixedSizes(sizes=fixed, aspect_ratios=aspect_ratios):
            limits.sizes.extend(f"{width}x{height}" for width, height in fixed)
            limits.aspect_ratios.extend(aspect_ratios)
        case SizeRange():
            limits.min_side, limits.max_side, limits.side_step = sizes.min_side, sizes.max_side, sizes.step
            limits.min_pixels = max(sizes.min_pixels, sizes.min_side**2)
            limits.max_pixels = min(sizes.max_pixels, sizes.max_side**2)
            limits.max_aspect_ratio = min(sizes.max_ratio, sizes.max_side / sizes.min_side)
        case AspectRatioSizes(aspect_ratios=aspect_ratios):
            limits.aspect_ratios.extend(aspect_ratios)
    return limits


def _unix_time(day: date) -> int:
    return calendar.timegm(day.timetuple())
