"""Options for the limits of keys and tenants."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.field_mask_pb2 import FieldMask
from imagegateway.keys.policy import MAX_RATE, BudgetPeriod, Scope

if TYPE_CHECKING:
    from collections.abc import Collection

_NONE: Final = "none"
_NUMBERS: Final = (
    ("--rpm", "requests_per_minute", "calls that make jobs, per minute"),
    ("--ipm", "images_per_minute", "images and videos, per minute"),
    ("--concurrent", "concurrent_jobs", "jobs at the providers at once; more wait"),
)
_DAYS: Final = (
    ("--media-days", "media_days", "days for which media are kept"),
    ("--record-days", "record_days", "days for which records of jobs are kept"),
    ("--usage-days", "usage_days", "days for which usage is kept"),
)
LIMITS: Final = (*(name for _, name, _ in _NUMBERS), "budget", "budget_period")
KEY_FIELDS: Final = (*LIMITS, "name", "scopes", "models", "prefer", "response_format", "expires")
TENANT_FIELDS: Final = (*LIMITS, *(name for _, name, _ in _DAYS))


def add_limits(parser: argparse.ArgumentParser) -> None:
    """Add the options of a key's or a tenant's limits."""
    for flag, field, meaning in _NUMBERS:
        _add(parser, flag, field, f"{meaning}, or `none`", type=_number, metavar="N")
    _add(parser, "--budget", "budget", "US dollars in a period, or `none`", type=_amount, metavar="USD")
    _add(parser, "--budget-period", "budget_period", "period of the budget", choices=tuple(BudgetPeriod))


def add_retention(parser: argparse.ArgumentParser) -> None:
    """Add the options of a tenant's retention."""
    for flag, field, meaning in _DAYS:
        _add(parser, flag, field, f"{meaning}, or `none` for the gateway's setting", type=_number, metavar="DAYS")


def add_policy(parser: argparse.ArgumentParser) -> None:
    """Add the options of a key's policy."""
    _add(parser, "--name", "name", "a note for the list")
    _add(parser, "--scopes", "scopes", f"of {','.join(Scope)}; default: all but admin", type=_scopes, metavar="A,B")
    _add(parser, "--models", "models", "patterns of allowed models, such as 'openai/*,local/*'", type=_texts)
    _add(parser, "--expires", "expires", "duration (30d, 24h) or date (2027-01-01), or `none`", type=_text)
    _add(parser, "--prefer", "prefer", 'default Prefer header, such as "wait=120"')
    _add(parser, "--response-format", "response_format", "default response format", choices=("url", "b64_json"))
    add_limits(parser)


def given(options: argparse.Namespace, names: Collection[str]) -> dict[str, Any]:
    """Return the fields that the command line sets to a value."""
    return {name: value for name, value in _named(options, names).items() if value is not None}


def changes(options: argparse.Namespace, names: Collection[str]) -> dict[str, Any]:
    """Return the fields of a request that changes what the command line names: to a value, or back to the default.

    Exit with 2 if it names nothing. `options.parser`: the parser of the action.
    """
    named = _named(options, names)
    if not named:
        options.parser.error("name at least one option to change")
    return {**given(options, names), "update_mask": FieldMask(paths=named)}


def _named(options: argparse.Namespace, names: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in vars(options).items() if name in names}


def _add(parser: argparse.ArgumentParser, flag: str, field: str, meaning: str, **more: Any) -> None:
    parser.add_argument(flag, dest=field, default=argparse.SUPPRESS, help=meaning, **more)


def _text(text: str) -> str | None:
    return None if text == _NONE else text


def _texts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _scopes(text: str) -> list[str]:
    names = _texts(text)
    for name in names:
        if name not in tuple(Scope):
            raise argparse.ArgumentTypeError(f"there is no scope {name!r}; scopes are {', '.join(Scope)}")
    return names


def _number(text: str) -> int | None:
    if text == _NONE:
        return None
    if not text.isdecimal() or not 1 <= int(text) <= MAX_RATE:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 to {MAX_RATE}, nor `none`")
    return int(text)


def _amount(text: str) -> float | None:
    if text == _NONE:
        return None
    try:
        amount = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no amount of US dollars, nor `none`") from None
    return amount
