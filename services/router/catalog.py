"""Every family's models in one place: lookup by id or alias, near matches, and the catalog as callers see it."""

from __future__ import annotations

import calendar
import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from imagegateway.v1 import model_pb2 as pb
from imagegateway.v1.error_reason_pb2 import ErrorReason
from imagegateway.v1.job_pb2 import Cost

from services.bfl.catalog import MODELS as BFL
from services.bria.catalog import MODELS as BRIA
from services.bytedance.catalog import MODELS as BYTEDANCE
from services.common.catalog import Free, Listed, Model, Route
from services.common.errors import GatewayError, invalid
from services.google.catalog import MODELS as GOOGLE
from services.ideogram.catalog import MODELS as IDEOGRAM
from services.local.catalog import MODELS as LOCAL
from services.openai.catalog import MODELS as OPENAI
from services.recraft.catalog import MODELS as RECRAFT
from services.stability.catalog import MODELS as STABILITY

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from datetime import date

    from imagegateway.provider.v1 import provider_service_pb2 as provider

    from services.common.settings import Source

FAMILIES: Final = (LOCAL, BFL, BRIA, BYTEDANCE, GOOGLE, IDEOGRAM, OPENAI, RECRAFT, STABILITY)


EMBEDDED: Final = LOCAL[0].id


@dataclass(frozen=True, slots=True)
class Catalog:
    """The models that this gateway knows, and which of their routes are configured."""

    models: dict[str, Model]
    aliases: dict[str, str]
    configured: frozenset[str]
    """Names of the settings that routes ask for and that have a value."""

    @classmethod
    def load(cls, source: Source, families: Iterable[tuple[Model, ...]] = FAMILIES) -> Catalog:
        """Raises ValueError when two models share an id or an alias."""
        models: dict[str, Model] = {}
        aliases: dict[str, str] = {}
        settings: set[str] = set()
        for model in (model for family in families for model in family):
            for name in (model.id, *model.aliases):
                if name.lower() in aliases:
                    raise ValueError(f"the catalog has {name} twice")
                aliases[name.lower()] = model.id
            models[model.id] = model
            settings.update(route.setting for route in model.routes if route.setting)
        configured = {name for name in settings if source.text(name.removeprefix("IMAGEGATEWAY_"))}
        return cls(models=models, aliases=aliases, configured=frozenset(configured))

    def resolve(self, name: str) -> Model:
        """The model of an id or alias, case aside. Raises GatewayError MODEL_NOT_FOUND naming near matches."""
        model_id = self.aliases.get(name.lower())
        if model_id:
            return self.models[model_id]
        near = difflib.get_close_matches(name.lower(), self.aliases, n=3, cutoff=0.5)
        ids = list(dict.fromkeys(self.aliases[match] for match in near))
        hint = f" Did you mean {' or '.join(ids)}?" if ids else " GET /v1/models lists them."
        raise GatewayError(
            ErrorReason.ERROR_REASON_MODEL_NOT_FOUND,
            f"There is no model {name[:100]!r}.{hint}",
            param="model",
            details={"model": name[:100], "near": ",".join(ids)},
        )

    def default(self, wanted: str, stored: Collection[str] = ()) -> Model:
        """The model for a request that names none: the one that is wanted, or without its key the embedded one, so
        that a gateway without any key can be tried. The answer says which it was.
        """
        model = self.resolve(wanted)
        if any(self.ready(route, stored) for route in model.routes) or model.modality != "image":
            return model
        return self.resolve(EMBEDDED)

    def ready(self, route: Route, stored: Collection[str] = ()) -> bool:
        """Whether the operator configured the route, or all that it lacks is a key and the tenant stored one:
        `stored` names the routes of which it did.
        """
        if not route.setting or route.setting in self.configured:
            return True
        return route.name in stored and route.setting == f"IMAGEGATEWAY_{route.name.upper()}_API_KEY"

    @property
    def keyed(self) -> list[str]:
        """Names of the routes that a provider's key can be stored for, in order."""
        return sorted({route.name for model in self.models.values() for route in model.routes if route.setting})

    def route(
        self,
        model: Model,
        byok: Collection[str] = (),
        avoid: Callable[[str], bool] = bool,
        stored: Collection[str] = (),
        *,
        own: bool = False,
    ) -> Route:
        """The route that the caller brings a key for, else the first ready one that need not be avoided; with `own`,
        of those only that the tenant stored a key for.

        Raises GatewayError: PROVIDER_NOT_CONFIGURED naming the settings, INVALID_VALUE for a key of another route.
        """
        if byok:
            for route in model.routes:
                if route.name in byok:
                    return route
            names = ", ".join(route.name for route in model.routes)
            header = f"X-BYOK-{min(byok)}"
            raise invalid(header, f"{model.id} is not reached by this provider; its routes are {names}.")
        ready = self._ready(model.routes, stored, own=own)
        if not ready:
            raise GatewayError(
                ErrorReason.ERROR_REASON_PROVIDER_NOT_CONFIGURED, self._unavailable(model), param="model"
            )
        return next((route for route in ready if not avoid(route.name)), ready[0])

    def fallback(self, task: provider.ImageTask, stored: Collection[str] = ()) -> Route | None:
        """The ready route of the same model that is tried after a task's present one; LoRAs stay on routes that the
        tenant stored a key for.
        """
        return next(iter(self._ready(self.models[task.model].after(task.route), stored, own=bool(task.loras))), None)

    @property
    def concurrency(self) -> dict[str, int | None]:
        """Every route, with the most tasks that its provider allows at once, where the catalog says so."""
        limits: dict[str, int | None] = {}
        for route in (route for model in self.models.values() for route in model.routes):
            known = limits.setdefault(route.name, None)
            if route.concurrency is not None:
                limits[route.name] = max(known or 0, route.concurrency)
        return limits

    def price(self, task: provider.ImageTask, done: provider.Done) -> Cost | None:
        """What the provider says it charged, else the catalog's flat price times the pictures; None when unknown."""
        if done.HasField("cost"):
            return done.cost
        route = next(route for route in self.models[task.model].routes if route.name == task.route)
        if route.price_per_image is None:
            return None
        amount = round(route.price_per_image * len(done.artifacts), 6)
        return Cost(amount=amount, currency="USD", estimated=True)

    def with_capability(self, capability: str) -> list[str]:
        """Ids of the models that can do something, in order."""
        return sorted(model.id for model in self.models.values() if model.can(capability))

    def list(self, modality: str = "", provider: str = "", stored: Collection[str] = ()) -> list[pb.Model]:
        """The public catalog, in the order of ids, for a tenant that stored keys of these routes. Raises nothing:
        unknown filters match nothing.
        """
        return [
            self.describe(model, stored)
            for _, model in sorted(self.models.items())
            if (not modality or model.modality == modality)
            and (not provider or provider in {model.family, *(route.name for route in model.routes)})
        ]

    def describe(self, model: Model, stored: Collection[str] = ()) -> pb.Model:
        """One model as callers see it who stored keys of these routes."""
        available = any(self.ready(route, stored) for route in model.routes)
        return pb.Model(
            id=model.id,
            object="model",
            created=_unix(model.created),
            owned_by=model.family,
            description=model.description,
            modality=model.modality,
            aliases=model.aliases,
            capabilities=sorted(model.capabilities),
            limits=_limits(model),
            routes=[
                pb.ModelRoute(name=route.name, mode=route.mode, available=self.ready(route, stored))
                for route in model.routes
            ],
            available=available,
            unavailable_reason=None if available else self._unavailable(model),
            retired_at=model.retired_at.isoformat() if model.retired_at else None,
            successor=model.successor or None,
        )

    def _ready(self, routes: Iterable[Route], stored: Collection[str], *, own: bool) -> tuple[Route, ...]:
        return tuple(route for route in routes if self.ready(route, stored) and (route.name in stored or not own))

    @staticmethod
    def _unavailable(model: Model) -> str:
        settings = " or ".join(dict.fromkeys(route.setting for route in model.routes))
        return f"{model.id} needs the setting {settings}."


def _limits(model: Model) -> pb.ModelLimits:
    limits = pb.ModelLimits(
        max_prompt_length=model.max_prompt_length,
        max_n=model.max_n,
        max_input_images=model.max_inputs,
        output_formats=model.output_formats,
        qualities=model.qualities,
    )
    match model.sizes:
        case Listed(sizes):
            limits.sizes.extend(f"{width}x{height}" for width, height in sizes)
        case Free(min_side=low, max_side=high, step=step):
            limits.min_side, limits.max_side, limits.side_step = low, high, step
    return limits


def _unix(day: date) -> int:
    return calendar.timegm(day.timetuple())
