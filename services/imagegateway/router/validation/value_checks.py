"""Checks of single values: length of a text, membership in a set of choices."""

from __future__ import annotations

from typing import Final

from imagegateway.platform.errors import invalid

MAX_TEXT: Final = 512
"""Maximum length of a small text field, in characters."""


def checked_text(value: str, param: str, max_length: int = MAX_TEXT) -> str:
    """Return a text of at most `max_length` characters. Raises GatewayError naming `param`."""
    if len(value) > max_length:
        raise invalid(param, f"{param} has at most {max_length} characters.")
    return value


def checked_choice(value: str, param: str, choices: tuple[str, ...], default: str = "") -> str:
    """Return one of `choices`, or `default` for an empty value. Raises GatewayError naming `param`."""
    if not value:
        return default
    if value not in choices:
        raise invalid(param, f"{param} must be one of {', '.join(choices)}, not {value[:40]!r}.")
    return value
