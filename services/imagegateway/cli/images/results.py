"""Results of a job: files saved, previews shown, and a summary of count, duration and cost."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from imagegateway.cli.client import ApiError, UnreachableError
from imagegateway.cli.errors import CommandError
from imagegateway.cli.images import job as jobs
from imagegateway.cli.images.destination import Entry
from imagegateway.cli.images.following import is_transient
from imagegateway.cli.terminal import console, print_document
from imagegateway.platform.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from imagegateway.cli.client import Client
    from imagegateway.cli.images.job import Job
    from imagegateway.cli.images.options import ResultOptions
    from imagegateway.cli.images.progress import Display
    from rich.console import Console

T = TypeVar("T")

_PREVIEWED: Final = frozenset({".png", ".jpg", ".jpeg", ".webp"})
_MOST_PREVIEWS: Final = 4
_PAUSES: Final = (0.5, 3.0, 10.0)
"""Seconds before each further attempt at a download after a lost connection."""


class Results:
    """The files of one ended job."""

    def __init__(
        self, client: Client, options: ResultOptions, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._client = client
        self._options = options
        self._sleep = sleep

    def save(self, job: Job, display: Display) -> list[Path]:
        """Save all files. Return their names, none for the standard output.

        Raises CommandError for a job without files: failed, cancelled, erased or expired. JSON shows the job, too.
        """
        if not (names := jobs.filenames(job)):
            self._refuse(job)
        if self._options.is_stdout:
            self._write_out(job["id"], names[0], display)
            return []
        destination = self._options.destination()
        paths = []
        for index, name in enumerate(names):
            entry = Entry(index, len(names), PurePosixPath(name).suffix)

            def save(chunks: Iterable[bytes], entry: Entry = entry) -> Path:
                return destination.save(job["id"], jobs.prompt(job), entry, chunks)

            display.note(f"downloading {index + 1} of {len(names)}")
            paths.append(self._download(job["id"], name, save, display))
        return paths

    def _refuse(self, job: Job) -> NoReturn:
        """Raise CommandError for a job without files."""
        if self._options.json:
            print_document({**job, "files": []})
        if job["status"] == "failed":
            warn(job)
            raise CommandError(f"{job['error']['message']} ({job['id']})")
        if job["status"] != "completed":
            raise CommandError(f"job {job['id']} is {job['status']}: it has no files")
        raise CommandError(f"the files of job {job['id']} are deleted")

    def _write_out(self, job_id: str, name: str, display: Display) -> None:
        """Write a file to the standard output, once it has arrived whole."""

        def write(chunks: Iterable[bytes]) -> None:
            with tempfile.TemporaryFile() as file:
                file.writelines(chunks)
                file.seek(0)
                shutil.copyfileobj(file, sys.stdout.buffer)

        self._download(job_id, name, write, display)

    def _download(self, job_id: str, name: str, write: Callable[[Iterable[bytes]], T], display: Display) -> T:
        """Pass a file's bytes to `write`, again from the beginning after a lost connection."""
        for pause in (*_PAUSES, None):
            try:
                return write(self._client.download(f"/v1/files/jobs/{job_id}/{name}"))
            except (ApiError, UnreachableError) as error:
                if pause is None or not is_transient(error):
                    raise
                display.lose()
                self._sleep(pause)
            except BrokenPipeError:
                raise
            except OSError as error:
                raise CommandError(
                    f"the result can't be written: {error.strerror}; the gateway keeps it: "
                    f"`imagegateway jobs download {job_id} --output FOLDER/`"
                ) from None
        raise AssertionError

    def report(self, job: Job, paths: list[Path]) -> None:
        """Print the files' names, with previews in a terminal. Standard error gets warnings and cost."""
        if self._options.json:
            print_document({**job, "files": [str(path) for path in paths]})
            return
        output = console()
        for number, path in enumerate(paths):
            if output.is_terminal and number < _MOST_PREVIEWS:
                self._preview(output, path)
            details = f"  {_details(job['result']['data'][number], path)}" if output.is_terminal else ""
            print(f"{printable(str(path))}{details}")
        warn(job)
        parts = (f"{job['model']} by {job['provider']}", jobs.duration(job), jobs.cost(job.get("cost")), job["id"])
        print(printable(", ".join(filter(None, parts))), file=sys.stderr)

    def _preview(self, output: Console, path: Path) -> None:
        """Show an image in a terminal, unless the options say no."""
        if self._options.no_preview or path.suffix.lower() not in _PREVIEWED:
            return
        from imagegateway.cli.images import preview  # noqa: PLC0415  0.2 s of imports that only terminals need

        preview.show(output, path.read_bytes(), self._options.preview)


def warn(document: dict[str, Any]) -> None:
    """Print the warnings of a job or a plan to the standard error."""
    for warning in document.get("warnings", []):
        print(f"warning: {printable(warning['message'])}", file=sys.stderr)


def _details(entry: dict[str, Any], path: Path) -> str:
    """Return size in pixels and bytes."""
    size = path.stat().st_size
    shown = f"{size / 1_000_000:.1f} MB" if size >= 1_000_000 else f"{-(-size // 1000)} kB"
    return f"{entry['width']}x{entry['height']}, {shown}" if "width" in entry else shown
