"""Destination of results: names of files, which are never overwritten unasked, and atomic writes."""

from __future__ import annotations

import os
import secrets
import unicodedata
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

STDOUT: Final = "-"
FORMATS: Final = {
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".webp": "webp",
    ".gif": "gif",
    ".svg": "svg",
}
"""Output formats by the suffix of a file."""
_SUFFIXES: Final = frozenset({*FORMATS, ".mp4", ".webm", ".mov"})
_SLUG_CHARACTERS: Final = 40
_ID_CHARACTERS: Final = 6


class DestinationError(ValueError):
    """Results can't be written there. The text is a sentence without a full stop."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Place of a job's files: a folder, with names by prompt and job, or one name."""

    folder: Path
    name: str = ""
    """Name of the files without number and suffix. Empty: by prompt and job."""
    suffix: str = ""
    """Suffix as the user wrote it. The content decides about the one in use."""
    is_overwritten: bool = False
    """Replace existing files."""

    @classmethod
    def of(cls, output: str | None, *, force: bool = False) -> Destination:
        """Return the destination of `--output`: a file, an existing folder, or a new folder with a final slash."""
        if not output:
            return cls(Path(), is_overwritten=force)
        path = Path(output).expanduser()
        if output.endswith("/") or path.is_dir():
            return cls(path, is_overwritten=force)
        suffix = path.suffix if path.suffix.lower() in _SUFFIXES else ""
        return cls(path.parent, path.name.removesuffix(suffix), suffix, is_overwritten=force)

    @property
    def output_format(self) -> str | None:
        """Output format that the suffix asks for."""
        return FORMATS.get(self.suffix.lower())

    def prepare(self, number: int) -> None:
        """Check, before anything is paid, that `number` files can be written. Make a new folder.

        Raises DestinationError.
        """
        if self.name and not self.folder.is_dir():
            raise DestinationError(f"there is no folder {self.folder}")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DestinationError(f"{self.folder} can't be made: {error.strerror}") from None
        if not os.access(self.folder, os.W_OK | os.X_OK):
            raise DestinationError(f"{self.folder} can't be written")
        if self.name and not self.is_overwritten:
            for index in range(number):
                path = self._path(self.name, Entry(index, number, self.suffix), self.suffix)
                if os.path.lexists(path):
                    raise DestinationError(f"{path} exists: choose another name, or overwrite it with --force")

    def save(self, job_id: str, prompt: str, entry: Entry, chunks: Iterable[bytes]) -> Path:
        """Write a file, which appears under its name when it is whole. Return the name.

        A name that is taken by then gets a number: a paid result is never lost. Raises OSError, and what `chunks`
        raises.
        """
        hidden = self.folder / f".{secrets.token_hex(8)}.part"
        try:
            with hidden.open("xb") as file:
                file.writelines(chunks)
            return self._publish(hidden, self.name or name_of(job_id, prompt), entry)
        finally:
            hidden.unlink(missing_ok=True)

    def _publish(self, hidden: Path, name: str, entry: Entry) -> Path:
        """Move a whole file to its name, or to the first free one. Return the name."""
        suffix = self._suffix_of(entry)
        if self.is_overwritten:
            return hidden.replace(self._path(name, entry, suffix))
        for attempt in count(1):
            path = self._path(name if attempt == 1 else f"{name}-{attempt}", entry, suffix)
            try:
                path.hardlink_to(hidden)
            except FileExistsError:
                continue
            except OSError:  # a file system without hard links
                if os.path.lexists(path):
                    continue
                hidden.replace(path)
            return path
        raise AssertionError

    def _suffix_of(self, entry: Entry) -> str:
        """Return the content's suffix, in the user's spelling if that means the same (`.jpeg`, `.JPG`)."""
        wanted = self.suffix.lower()
        same = wanted == entry.suffix or FORMATS.get(wanted, "") == FORMATS.get(entry.suffix)
        return self.suffix if same else entry.suffix

    def _path(self, name: str, entry: Entry, suffix: str) -> Path:
        return self.folder / (f"{name}-{entry.index + 1}{suffix}" if entry.number > 1 else f"{name}{suffix}")


@dataclass(frozen=True, slots=True)
class Entry:
    """File of a result: its place among the job's files, and the suffix by its content."""

    index: int
    number: int
    suffix: str


def name_of(job_id: str, prompt: str) -> str:
    """Return a name by the start of the prompt and the end of the job id, such as `red-fox-in-snow-8f3k2q`."""
    text = unicodedata.normalize("NFC", prompt[:200]).lower()
    words = "-".join("".join(character if _is_letter(character) else " " for character in text).split())
    if len(words) > _SLUG_CHARACTERS:
        words = words[: _SLUG_CHARACTERS + 1].rpartition("-")[0] or words[:_SLUG_CHARACTERS]
    return f"{words or 'image'}-{job_id[-_ID_CHARACTERS:].lower()}"


def _is_letter(character: str) -> bool:
    """Return True for letters, digits and the marks that many scripts combine with letters."""
    return character.isalnum() or unicodedata.category(character).startswith("M")
