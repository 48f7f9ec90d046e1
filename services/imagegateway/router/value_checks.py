"""Checks of single values of a request, and the warnings that a check may leave."""

from __future__ import annotations

from dataclasses import dataclass, field

from imagegateway.platform.errors import invalid, unsupported
from imagegateway.v1.job_pb2 import Warning as PbWarning

MAX_TEXT = 512
"""Longest free text of a small field, in characters."""


@dataclass(slots=True)
class Warnings:
    """Warnings for requested options that a model does not support; under strict handling the first is an error."""

    strict: bool
    found: list[PbWarning] = field(default_factory=list)

    def add(self, code: str, param: str, message: str) -> None:
        """Add a warning. Raises GatewayError UNSUPPORTED_PARAMETER under strict handling."""
        if self.strict:
            raise unsupported(param, message)
        self.note(code, param, message)

    def note(self, code: str, param: str, message: str) -> None:
        """Add a warning that strict handling does not refuse."""
        self.found.append(PbWarning(code=code, message=message, param=param))


def text(value: str, param: str, longest: int = MAX_TEXT) -> str:
    """Return a text of at most `longest` characters. Raises GatewayError naming `param`."""
    if len(value) > longest:
        raise invalid(param, f"{param} has at most {longest} characters.")
    return value


def choice(value: str, param: str, choices: tuple[str, ...], default: str = "") -> str:
    """Return one of `choices`, or `default` for an empty value. Raises GatewayError naming `param`."""
    if not value:
        return default
    if value not in choices:
        raise invalid(param, f"{param} must be one of {', '.join(choices)}, not {value[:40]!r}.")
    return value
