"""Options of commands that make a job or save its results."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Annotated, Final

from cyclopts import Group, Parameter
from imagegateway.cli.errors import UsageError
from imagegateway.cli.images.destination import STDOUT, Destination, DestinationError
from imagegateway.cli.images.terminal_query import Protocol
from imagegateway.cli.options import Json

_RESULT: Final = Group("Result", sort_key=3)
_RUN: Final = Group("Run", sort_key=3)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ResultOptions:
    """Options of commands that save results."""

    output: Annotated[
        str | None,
        Parameter(
            ("--output", "-o"),
            group=_RESULT,
            metavar="FILE|DIR/|-",
            allow_leading_hyphen=True,
            help="File, folder, or - for standard output. Default: here, named by prompt and job.",
        ),
    ] = None
    force: Annotated[bool, Parameter(("--force", "-f"), group=_RESULT, help="Overwrite existing files.")] = False
    no_preview: Annotated[bool, Parameter(group=_RESULT, help="Show no preview in the terminal.")] = False
    preview: Annotated[
        Protocol | None, Parameter(group=_RESULT, help="Protocol of the preview. Default: the terminal's best.")
    ] = None
    json: Annotated[Json, Parameter(group=_RESULT, help="Print the job as JSON, with the saved files.")] = False

    @property
    def is_stdout(self) -> bool:
        """True if results go to the standard output."""
        return self.output == STDOUT

    def destination(self) -> Destination:
        """Return the destination of files."""
        return Destination.of(None if self.is_stdout else self.output, force=self.force)

    def format_fields(self) -> dict[str, str]:
        """Return the field of the output format that the file's suffix asks for, if any."""
        wanted = self.destination().output_format
        return {"output_format": wanted} if wanted else {}

    def check(self, number: int, command: str) -> None:
        """Check, before anything is paid, that `number` results can be written. Raises UsageError."""
        if not self.is_stdout:
            try:
                self.destination().prepare(number)
            except DestinationError as error:
                raise UsageError(str(error), command) from None
        elif self.json:
            raise UsageError("--json and --output - both write to standard output", command)
        elif number > 1:
            raise UsageError("--output - takes one result: leave out --n", command)
        elif sys.stdout.isatty():
            raise UsageError("--output - needs a pipe or a file: the terminal can't take an image's bytes", command)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class RunOptions(ResultOptions):
    """Options of commands that make a job."""

    detached: Annotated[
        bool, Parameter("--async", group=_RUN, help="Print the job's id, and do not wait for its end.")
    ] = False
    dry_run: Annotated[
        bool, Parameter(group=_RUN, help="Show model, size, warnings and cost. Nothing is made or paid.")
    ] = False
    strict: Annotated[bool, Parameter(group=_RUN, help="Fail on whatever would be a warning.")] = False
    idempotency_key: Annotated[
        str | None, Parameter(group=_RUN, help="The same key and request make one job within 24 hours.")
    ] = None
