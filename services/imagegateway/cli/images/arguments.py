"""Arguments of the image commands: prompts and input images."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter
from imagegateway.cli.errors import UsageError
from imagegateway.cli.images.destination import FORMATS
from imagegateway.cli.images.fields import FieldError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imagegateway.cli.images.submission import InputFile

STDIN: Final = "-"
_URLS: Final = ("http://", "https://", "data:")


class ArgumentError(ValueError):
    """An argument can't be used. The message says why."""


@contextmanager
def usable(command: str) -> Iterator[None]:
    """Turn errors of arguments and options into UsageError."""
    try:
        yield
    except (ArgumentError, FieldError) as error:
        raise UsageError(str(error), command) from None


def _refuse_options(_type: object, value: str | Sequence[str]) -> None:
    """Raise ValueError for a mistyped option, which must not become a prompt that costs money."""
    for text in [value] if isinstance(value, str) else value:
        if text.startswith("-") and text != STDIN:
            raise ValueError(f"there is no option {text.partition('=')[0]}")


Prompt = Annotated[
    str,
    Parameter(
        help="Prompt, or - to read it from standard input.", allow_leading_hyphen=True, validator=_refuse_options
    ),
]
ImagesAndPrompt = Annotated[
    str,
    Parameter(
        help="Files or URLs of images, - for standard input; then the prompt, which erasers do without.",
        allow_leading_hyphen=True,
        validator=_refuse_options,
    ),
]


def prompt_text(argument: str) -> str:
    """Return the prompt that an argument holds or announces. Raises ArgumentError for an empty one."""
    text = sys.stdin.read().strip() if argument == STDIN else argument
    if not text.strip():
        raise ArgumentError("the prompt is empty")
    return text


@dataclass(frozen=True, slots=True)
class EditInputs:
    """Input images of an edit, in the API's order: files before URLs."""

    files: Sequence[InputFile]
    urls: Sequence[str]
    prompt: str | None


def read_inputs(arguments: Sequence[str]) -> EditInputs:
    """Return the images and the prompt of an edit's arguments. The prompt is the last one that is no image.

    Raises ArgumentError.
    """
    if not arguments:
        raise ArgumentError("name an image to edit")
    *first, last = arguments
    is_prompt = bool(first) and not _is_image(last)
    images = first if is_prompt else list(arguments)
    urls = [text for text in images if _is_url(text)]
    if images[len(images) - len(urls) :] != urls:
        raise ArgumentError("name files before URLs: the gateway takes them in this order")
    if images.count(STDIN) + (is_prompt and last == STDIN) > 1:
        raise ArgumentError("standard input holds one image or the prompt")
    files = [input_file("image[]", text) for text in images if not _is_url(text)]
    return EditInputs(files, urls, prompt_text(last) if is_prompt else None)


def input_file(field: str, argument: str) -> InputFile:
    """Return a file as a field of a form. Raises ArgumentError."""
    if argument == STDIN:
        return field, ("stdin", sys.stdin.buffer.read())
    from imagegateway.media.images import MAX_FILE_BYTES  # noqa: PLC0415  0.2 s of imports that only files need

    path = Path(argument).expanduser()
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ArgumentError(f"{argument}: {error.strerror}") from None
    if len(content) > MAX_FILE_BYTES:
        raise ArgumentError(f"{argument} is over {MAX_FILE_BYTES} bytes (25 MiB)")
    return field, (path.name, content)


def guide(name: str, argument: str | None) -> tuple[list[InputFile], dict[str, str]]:
    """Return a mask or a markup as a file, or as the field of its URL. Raises ArgumentError."""
    if argument is None:
        return [], {}
    return ([], {f"{name}_url": argument}) if _is_url(argument) else ([input_file(name, argument)], {})


def _is_url(argument: str) -> bool:
    return argument.startswith(_URLS)


def _is_image(argument: str) -> bool:
    """Return True for a URL, a file, and whatever ends like an image's file: a typing error is no prompt."""
    path = Path(argument)
    try:
        return _is_url(argument) or path.suffix.lower() in FORMATS or path.expanduser().is_file()
    except OSError:  # longer than a file's name can be
        return False
