"""Options for the limits of keys and tenants."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import Parameter
from google.protobuf.field_mask_pb2 import FieldMask
from imagegateway.cli.errors import UsageError
from imagegateway.keys.policy import MAX_RATE, BudgetPeriod, Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cyclopts import Token

_NONE: Final = "none"


@dataclass(frozen=True, slots=True)
class Change:
    """Value that an option sets, or None for the default again. An option that is absent changes nothing."""

    value: Any


def _option(name: str, help_text: str, read: Callable[[str], Any], metavar: str) -> Parameter:
    """Return an option whose text `read` turns into a value, or refuses by ValueError."""

    def convert(_type: object, tokens: Sequence[Token]) -> Change:
        return Change(read(tokens[0].value))

    return Parameter(name, help=help_text, converter=convert, n_tokens=1, accepts_keys=False, metavar=metavar)


def _text(text: str) -> str | None:
    return None if text == _NONE else text


def _texts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _one_of(names: Sequence[str]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in names:
            raise ValueError(f"{text!r} is not one of {', '.join(names)}")
        return text

    return read


def _scopes(text: str) -> list[str]:
    names = _texts(text)
    for name in names:
        if name not in tuple(Scope):
            raise ValueError(f"there is no scope {name!r}; scopes are {', '.join(Scope)}")
    return names


def _number(text: str) -> int | None:
    if text == _NONE:
        return None
    if not text.isdecimal() or not 1 <= int(text) <= MAX_RATE:
        raise ValueError(f"{text!r} is no whole number from 1 to {MAX_RATE}, nor `none`")
    return int(text)


def _amount(text: str) -> float | None:
    if text == _NONE:
        return None
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is no amount of US dollars, nor `none`") from None


_Changed = Change | None


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Options of a key's or a tenant's limits, by the names of the API's fields."""

    requests_per_minute: Annotated[
        _Changed, _option("--rpm", "Calls that make jobs, per minute, or `none`.", _number, "N")
    ] = None
    images_per_minute: Annotated[
        _Changed, _option("--ipm", "Images and videos, per minute, or `none`.", _number, "N")
    ] = None
    concurrent_jobs: Annotated[
        _Changed, _option("--concurrent", "Jobs at the providers at once, or `none`; more wait.", _number, "N")
    ] = None
    budget: Annotated[_Changed, _option("--budget", "US dollars in a period, or `none`.", _amount, "USD")] = None
    budget_period: Annotated[
        _Changed,
        _option(
            "--budget-period",
            f"Period of the budget: {', '.join(BudgetPeriod)}.",
            _one_of(tuple(BudgetPeriod)),
            "PERIOD",
        ),
    ] = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class KeyPolicy(Limits):
    """Options of a key's policy."""

    name: Annotated[_Changed, _option("--name", "A note for the list.", _text, "TEXT")] = None
    scopes: Annotated[
        _Changed, _option("--scopes", f"Of {','.join(Scope)}; default: all but admin.", _scopes, "A,B")
    ] = None
    models: Annotated[
        _Changed, _option("--models", "Patterns of allowed models, such as 'openai/*,local/*'.", _texts, "A,B")
    ] = None
    expires: Annotated[
        _Changed, _option("--expires", "Duration (30d, 24h) or date (2027-01-01), or `none`.", _text, "TIME")
    ] = None
    prefer: Annotated[_Changed, _option("--prefer", 'Default Prefer header, such as "wait=120".', _text, "TEXT")] = (
        None
    )
    response_format: Annotated[
        _Changed,
        _option(
            "--response-format",
            "Default response format: url or b64_json.",
            _one_of(("url", "b64_json")),
            "FORMAT",
        ),
    ] = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class TenantPolicy(Limits):
    """Options of a tenant's limits and retention."""

    media_days: Annotated[
        _Changed, _option("--media-days", "Days for which media are kept; `none`: the setting.", _number, "DAYS")
    ] = None
    record_days: Annotated[
        _Changed,
        _option("--record-days", "Days for which records of jobs are kept; `none`: the setting.", _number, "DAYS"),
    ] = None
    usage_days: Annotated[
        _Changed, _option("--usage-days", "Days for which usage is kept; `none`: the setting.", _number, "DAYS")
    ] = None


def given(policy: Limits) -> dict[str, Any]:
    """Return the fields that the command line sets to a value."""
    return {name: change.value for name, change in _named(policy).items() if change.value is not None}


def changes(policy: Limits, command: str) -> dict[str, Any]:
    """Return the fields of a request that changes what the command line names: to a value, or back to the default.

    Raises UsageError if it names nothing.
    """
    named = _named(policy)
    if not named:
        raise UsageError("name at least one option to change", command)
    return {**given(policy), "update_mask": FieldMask(paths=named)}


def _named(policy: Limits) -> dict[str, Change]:
    values = {field.name: getattr(policy, field.name) for field in fields(policy)}
    return {name: change for name, change in values.items() if change is not None}
