"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated, Final

from cyclopts import Parameter

JSON_HELP: Final = "Print JSON."
Json = Annotated[bool, Parameter(help=JSON_HELP)]
KeyId = Annotated[str, Parameter(help="The key's id, as `keys list` shows it.")]
