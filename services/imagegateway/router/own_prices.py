"""Own prices: the operator's prices of models and routes, from the file of the setting IMAGEGATEWAY_PRICES."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from imagegateway.platform.money import usd
from imagegateway.platform.setting_source import PREFIX, SettingError
from imagegateway.providers.pricing import PerImage, PerMegapixel, PerSecond

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from imagegateway.providers.catalog import Model
    from imagegateway.providers.pricing import Rule

SETTING: Final = "PRICES"
_UNITS: Final = ("per_image", "per_megapixel", "per_second")
_PER_INPUT: Final = "per_input_megapixel"
_MAX_PRICE: Final = 10_000
"""Largest price of a unit in US dollars."""
_LONGEST_VIDEO: Final = 10.0
"""Seconds of a video without a requested length, of a model whose longest video is unknown."""


def load(path: str, models: Mapping[str, Model], ids: Mapping[str, str]) -> dict[tuple[str, str], Rule]:
    """Return the rules of a file by model id and route name; empty without a path.

    `ids`: model ids by id or alias in lower case. Raises SettingError naming the file and the key.
    """
    if not path:
        return {}
    try:
        file = tomllib.loads(Path(path).read_text(), parse_float=Decimal)
        return dict(_rules(file, models, ids))
    except (OSError, ValueError) as error:
        raise SettingError(f"{PREFIX}{SETTING}: {path}: {error}") from error


def _rules(
    file: Mapping[str, Any], models: Mapping[str, Model], ids: Mapping[str, str]
) -> Iterator[tuple[tuple[str, str], Rule]]:
    """Yield the rule of each route, those of a whole model first. Raises ValueError naming the key."""
    _check_names(file, ("prices",), "the file")
    for name, entry in _table(file.get("prices", {}), "prices").items():
        key = f'prices."{name}"'
        if name.lower() not in ids:
            raise ValueError(f"{key}: there is no model {name!r}")
        model = models[ids[name.lower()]]
        fields = dict(_table(entry, key))
        routes = _table(fields.pop("routes", {}), f"{key}.routes")
        if fields or not routes:
            rule = _rule(fields, key, model)
            yield from (((model.id, route.name), rule) for route in model.routes)
        _check_names(routes, tuple(route.name for route in model.routes), f"{key}.routes")
        for route, route_entry in routes.items():
            route_key = f"{key}.routes.{route}"
            yield (model.id, route), _rule(_table(route_entry, route_key), route_key, model)


def _rule(fields: Mapping[str, Any], key: str, model: Model) -> Rule:
    _check_names(fields, (*_UNITS, _PER_INPUT), key)
    units = [name for name in _UNITS if name in fields]
    if len(units) != 1 or (_PER_INPUT in fields and units != ["per_megapixel"]):
        raise ValueError(f"{key}: set one of {', '.join(_UNITS)}, and {_PER_INPUT} with per_megapixel only")
    amounts = {name: _amount(value, f"{key}.{name}") for name, value in fields.items()}
    amount = amounts[units[0]]
    if units[0] == "per_image":
        return PerImage(amount)
    if units[0] == "per_megapixel":
        return PerMegapixel(amount, amount, per_input=amounts.get(_PER_INPUT, 0))
    longest = model.seconds[1] if model.seconds else _LONGEST_VIDEO
    return PerSecond(((0, amount),), default_seconds=longest)


def _amount(value: Any, key: str) -> int:
    amount = Decimal("nan") if isinstance(value, bool) or not isinstance(value, int | Decimal) else Decimal(value)
    if not (amount.is_finite() and 0 <= amount <= _MAX_PRICE):
        raise ValueError(f"{key} must be a number of US dollars from 0 to {_MAX_PRICE}")
    return usd(amount)


def _table(value: Any, key: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{key} must be a table")
    return value


def _check_names(fields: Mapping[str, Any], known: tuple[str, ...], key: str) -> None:
    for name in fields:
        if name not in known:
            raise ValueError(f"{key} has an unknown key {name!r}; it may have {', '.join(known)}")
