"""Rendering of configuration files from Jinja templates."""

from __future__ import annotations

import shlex
from functools import cache
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

FILES: Final = Path(__file__).parent
"""Folder of the templates."""


def render(name: str, /, **values: object) -> str:
    """Return the text of a template with its values. Raises UndefinedError for a missing value."""
    return _environment().get_template(name).render(**values)


@cache
def _environment() -> Environment:
    """Return the environment, which keeps compiled templates."""
    environment = Environment(  # noqa: S701  configuration files, not HTML
        loader=FileSystemLoader(FILES), undefined=StrictUndefined, keep_trailing_newline=True
    )
    environment.filters |= {"literal": _literal, "word": lambda value: shlex.quote(_literal(value))}
    return environment


def _literal(value: object) -> str:
    """Return a text escaped for supervisord, which expands `%(name)s`."""
    return str(value).replace("%", "%%")
