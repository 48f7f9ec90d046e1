"""Progress of a job: one moving line in a terminal, one line for each change elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from imagegateway.cli.images import job as jobs
from imagegateway.platform.printable import printable
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from imagegateway.cli.images.job import Job
    from rich.console import Console


class Display(Protocol):
    """Display of a job's progress while its block runs."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def update(self, job: Job) -> None:
        """Show the job's present state."""

    def lose(self) -> None:
        """Show that the connection is lost, and that the wait goes on."""

    def note(self, text: str) -> None:
        """Show what happens apart from the job, such as a download."""


def display(console: Console) -> Display:
    """Return the display for a console."""
    return _Bar(console) if console.is_terminal and not console.is_dumb_terminal else _Lines(console)


class _Bar:
    """Spinner, status, bar and time. The line disappears at the end."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            SpinnerColumn("line" if console.options.ascii_only else "dots"),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._task = self._progress.add_task("sending", total=None)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def update(self, job: Job) -> None:
        known = job.get("progress") if job["status"] == "running" else None
        self._progress.update(
            self._task,
            description=printable(jobs.status(job)),
            total=None if known is None else 100,
            completed=known or 0,
        )

    def lose(self) -> None:
        self.note("connection lost, reconnecting")

    def note(self, text: str) -> None:
        self._progress.update(self._task, description=printable(text), total=None)


class _Lines:
    """A line for each change of status: logs and pipes can't move the cursor."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def update(self, job: Job) -> None:
        if not jobs.has_ended(job):
            self._print(f"{job['id']}: {job['status']}")

    def lose(self) -> None:
        self._print("connection lost, reconnecting")

    def note(self, text: str) -> None:
        """Show nothing: only the job's changes are worth a line."""

    def _print(self, text: str) -> None:
        if text != self._last:
            self._last = text
            self._console.print(printable(text), markup=False, soft_wrap=True)
