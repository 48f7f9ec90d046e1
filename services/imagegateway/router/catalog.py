"""Catalog: lookup of models by id or alias, choice and limits of their routes, prices."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from imagegateway.jobs.limits import Limits
from imagegateway.platform.errors import GatewayError, invalid
from imagegateway.platform.money import to_cost
from imagegateway.platform.setting_source import PREFIX, SettingError
from imagegateway.providers.catalog import Modality
from imagegateway.providers.pricing import Order
from imagegateway.providers.registry import EMBEDDED_MODEL, MODELS
from imagegateway.router import own_prices
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from datetime import date

    from imagegateway.platform.setting_source import Source
    from imagegateway.platform.settings import Settings
    from imagegateway.provider.v1 import provider_service_pb2 as provider
    from imagegateway.providers.catalog import Capability, Model, Route
    from imagegateway.providers.pricing import Rule
    from imagegateway.v1.job_pb2 import Cost


def _today() -> date:
    return datetime.now(UTC).date()


def _no_open_circuit(_route: str) -> bool:
    return False


def _every_model(_model_id: str) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Catalog:
    """All models, and the configured settings of their routes."""

    models: dict[str, Model]
    aliases: dict[str, str]
    configured: frozenset[str]
    """Names of required settings that have a value."""
    today: Callable[[], date] = _today
    """Clock that decides which models are retired."""
    own_prices: Mapping[tuple[str, str], Rule] = field(default_factory=dict)
    """The operator's prices, by model id and route name. They replace those of the provider."""

    @classmethod
    def load(
        cls,
        source: Source,
        models: Iterable[Model] = MODELS,
        today: Callable[[], date] = _today,
    ) -> Catalog:
        """Return the catalog of these models, with the operator's own prices.

        Raises ValueError when two models share an id or an alias, and SettingError for unreadable prices.
        """
        by_id: dict[str, Model] = {}
        aliases: dict[str, str] = {}
        settings: set[str] = set()
        for model in models:
            for name in (model.id, *model.aliases):
                if name.lower() in aliases:
                    raise ValueError(f"the catalog has {name} twice")
                aliases[name.lower()] = model.id
            by_id[model.id] = model
            settings.update(name for route in model.routes for name in route.required_settings)
        configured = {name for name in settings if source.origin(name.removeprefix(PREFIX))}
        return cls(
            models=by_id,
            aliases=aliases,
            configured=frozenset(configured),
            today=today,
            own_prices=own_prices.load(source.text(own_prices.SETTING), by_id, aliases),
        )

    @classmethod
    def of(cls, settings: Settings) -> Catalog:
        """Return the catalog of all models. Raises SettingError for unreadable prices and wrong default models."""
        catalog = cls.load(settings.source)
        catalog.check_defaults(settings.default_models)
        return catalog

    def resolve(self, name: str, shows: Callable[[str], bool] = _every_model) -> Model:
        """Return the model of an id or alias, case aside.

        Raises GatewayError MODEL_NOT_FOUND as `not_found` makes it.
        """
        model_id = self.aliases.get(name.lower())
        if model_id:
            return self.models[model_id]
        raise self.not_found(name, shows)

    def check_defaults(self, defaults: Mapping[str, str]) -> None:
        """Raise SettingError for a default model, by operation, that is unknown or can't serve its operation."""
        for operation, name in defaults.items():
            setting = f"{PREFIX}DEFAULT_{operation.upper()}_MODEL"
            try:
                model = self.resolve(name)
            except GatewayError as error:
                raise SettingError(f"{setting}: {error.message}") from None
            if operation == "video" and model.modality != Modality.VIDEO:
                raise SettingError(f"{setting}: {model.id} makes no videos")

    def not_found(self, name: str, shows: Callable[[str], bool] = _every_model) -> GatewayError:
        """Return the error MODEL_NOT_FOUND naming near matches: live models, or retired ones where no other is near.

        `shows` returns whether the caller may see a model id.
        """
        asked = name[:100].lower()
        shown = {alias: known for alias, known in self.aliases.items() if shows(known)}
        live = {alias: known for alias, known in shown.items() if not self.is_retired(self.models[known])}
        names = next((near for known in (live, shown) if (near := _near(asked, known))), [])
        ids = list(dict.fromkeys(self.aliases[match] for match in names))
        hint = f" Did you mean {' or '.join(ids)}?" if ids else " GET /v1/models lists them."
        return GatewayError(
            ErrorReason.ERROR_REASON_MODEL_NOT_FOUND,
            f"There is no model {name[:100]!r}.{hint}",
            param="model",
            details={"model": name[:100], "near": ",".join(ids)},
        )

    def default_or_embedded(self, model: Model, stored: Collection[str] = ()) -> Model:
        """Return a default model, or the embedded model for images while no route of the default is ready.

        A gateway without any provider key makes images that way.
        """
        if any(self.ready(route, stored) for route in model.routes) or model.modality != Modality.IMAGE:
            return model
        return self.resolve(EMBEDDED_MODEL)

    def ready(self, route: Route, stored: Collection[str] = ()) -> bool:
        """Return True when a route can serve a tenant. `stored`: routes that the tenant has stored a key for."""
        return not self.missing(route, stored)

    def missing(self, route: Route, stored: Collection[str] = ()) -> tuple[str, ...]:
        """Return the required settings of a route that have no value.

        `stored`: routes that the tenant has stored a key for. Such a key replaces the operator's key only.
        """
        own = route.api_key_setting if route.name in stored else None
        return tuple(name for name in route.required_settings if name not in self.configured and name != own)

    @property
    def routes_with_keys(self) -> list[str]:
        """Return the sorted names of the routes that take a provider key."""
        return sorted(
            {route.name for model in self.models.values() for route in model.routes if route.required_settings}
        )

    def route(
        self,
        model: Model,
        byok: Collection[str] = (),
        is_open: Callable[[str], bool] = _no_open_circuit,
        stored: Collection[str] = (),
        *,
        own: bool = False,
    ) -> Route:
        """Return the route that the caller brings a key for, else the first ready one with a closed circuit.

        Without a closed one, return the first ready one. `own`: consider only routes that the tenant has stored a key
        for. Raises GatewayError: PROVIDER_NOT_CONFIGURED naming the settings, INVALID_VALUE for a key of another
        route.
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
                ErrorReason.ERROR_REASON_PROVIDER_NOT_CONFIGURED,
                self._unready(model, stored, own=own),
                param="model",
            )
        return next((route for route in ready if not is_open(route.name)), ready[0])

    def fallback(
        self, task: provider.ImageTask, is_open: Callable[[str], bool], stored: Collection[str] = ()
    ) -> Route | None:
        """Return the next ready route of a task's model with a closed circuit, or None.

        LoRAs stay on routes that the tenant has stored a key for.
        """
        after = self._ready(self.models[task.model].routes_after(task.route), stored, own=bool(task.loras))
        return next((route for route in after if not is_open(route.name)), None)

    def limits(self, settings: Settings) -> Limits:
        """Return the concurrency limits of the providers.

        A route's limit is the largest of its models' limits; a model with a smaller one has its own. The operator's
        setting for a route takes precedence over the catalog.
        """
        known: dict[str, int | None] = {}
        for route in (route for model in self.models.values() for route in model.routes):
            known[route.name] = max(known.get(route.name) or 0, route.concurrency or 0) or None
        routes = {name: settings.route_concurrency(name, most) for name, most in known.items()}
        return Limits(
            routes=routes,
            default=settings.concurrency,
            tenant=settings.tenant_concurrency,
            models={
                (route.name, model.id): route.concurrency
                for model in self.models.values()
                for route in model.routes
                if route.concurrency and route.concurrency < (known[route.name] or 0)
            },
        )

    def estimate(self, task: provider.ImageTask, route: Route | None = None) -> Cost | None:
        """Return the expected cost of a task on a route, by default on its own one; None for an unknown price."""
        model = self.models[task.model]
        rule = self.rule(model, route or model.route(task.route))
        amount = rule.estimate(Order(task, model.output_size(task))) if rule else None
        return None if amount is None else to_cost(amount, estimated=True)

    def price(self, task: provider.ImageTask, done: provider.Done) -> Cost | None:
        """Return the cost by the operator's own price, else as the provider reports it, else by the results.

        None without any of them.
        """
        model = self.models[task.model]
        has_own_price = (model.id, task.route) in self.own_prices
        if done.HasField("cost") and not has_own_price:
            return done.cost
        rule = self.rule(model, model.route(task.route))
        amount = rule.final(Order(task, model.output_size(task)), done) if rule else None
        return None if amount is None else to_cost(amount, estimated=bool(amount) and not has_own_price)

    def rule(self, model: Model, route: Route) -> Rule | None:
        """Return the price rule of a model's route; None: no price is known."""
        own = self.own_prices.get((model.id, route.name))
        return own or (route.price.rule if route.price else None)

    def with_capability(self, capability: Capability) -> list[str]:
        """Return the ids of the models that have a capability and are not retired, in order."""
        return sorted(
            model.id for model in self.models.values() if model.supports(capability) and not self.is_retired(model)
        )

    def _ready(self, routes: Iterable[Route], stored: Collection[str], *, own: bool) -> tuple[Route, ...]:
        return tuple(route for route in _usable(routes, stored, own=own) if self.ready(route, stored))

    def unavailable_reason(self, model: Model, stored: Collection[str] = ()) -> str:
        """Return a sentence on why a model can't serve: it is retired, or no route is ready."""
        if self.is_retired(model):
            successor = f"; its successor is {model.successor}" if model.successor else ""
            return f"{model.id} is retired by its provider since {model.retired_at}{successor}."
        return self._unready(model, stored)

    def is_retired(self, model: Model) -> bool:
        """Return True from the model's date of retirement on."""
        return model.retired_at is not None and model.retired_at <= self.today()

    def _unready(self, model: Model, stored: Collection[str], *, own: bool = False) -> str:
        """Return a sentence on the settings that the model's routes lack."""
        options = (" and ".join(self.missing(route, stored)) for route in _usable(model.routes, stored, own=own))
        return f"{model.id} needs {', or '.join(dict.fromkeys(options))}."


def _near(name: str, known: Collection[str]) -> list[str]:
    return difflib.get_close_matches(name, known, n=3, cutoff=0.5)


def _usable(routes: Iterable[Route], stored: Collection[str], *, own: bool) -> Iterator[Route]:
    """Return the routes that a call may use. `own`: only those that the tenant has stored a key for."""
    return (route for route in routes if route.name in stored or not own)
