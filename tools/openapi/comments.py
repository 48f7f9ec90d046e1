"""Comments of the proto files, as Markdown for readers of the REST API."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from imagegateway.platform.errors import REASONS, code_of
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet

_CODES: Final = {code_of(reason).upper(): code_of(reason) for reason in REASONS}
_REASON: Final = re.compile(rf"(?<![`\w])({'|'.join(sorted(_CODES, key=len, reverse=True))})(?![`\w])")
"""Name of an error reason in a comment. REST calls the same a code, in lower case."""
_SAME_NAME: Final = re.compile(r"As in (\w+)\.\s*")
_OTHER_FIELD: Final = re.compile(r"As (\w+)\.(\w+)\.\s*")
_SIBLING: Final = re.compile(r"As `(\w+)`\.\s*")
_SENTENCE: Final = re.compile(r"(.+?\.)(?:\s+|$)", re.DOTALL)
_CAUSE: Final = "Cause: "
_CURE: Final = "Cure: "


@dataclass(frozen=True, slots=True)
class ReasonTexts:
    """Texts on an error reason."""

    meaning: str
    cause: str
    cure: str


class Comments:
    """Comments by full name, such as `imagegateway.v1.Job.status`.

    A comment that begins with "As in GenerateRequest.", "As Job.status." or "As `width`." continues the comment of
    the field that it names.
    """

    def __init__(self, files: FileDescriptorSet) -> None:
        self._texts = dict(text for file in files.file for text in _texts(file))

    def of(self, full_name: str) -> str:
        """Return a comment as paragraphs. Raises KeyError for an element, or a reference, without a comment."""
        return _with_codes(self._raw(full_name))

    def _raw(self, full_name: str) -> str:
        """Return a comment with the references resolved and the names of error reasons as they are."""
        text = self._texts[full_name]
        message, _, field = full_name.rpartition(".")
        package = message.rpartition(".")[0]
        if found := _SAME_NAME.match(text):
            target = f"{package}.{found[1]}.{field}"
        elif found := _OTHER_FIELD.match(text):
            target = f"{package}.{found[1]}.{found[2]}"
        elif found := _SIBLING.match(text):
            target = f"{message}.{found[1]}"
        else:
            return text
        return " ".join(part for part in (self._raw(target), text[found.end() :]) if part)

    def summary(self, full_name: str) -> tuple[str, str]:
        """Return the first sentence of a comment without its full stop, and the rest."""
        text = self.of(full_name)
        found = _SENTENCE.match(text)
        first = found[1] if found else text
        return first.removesuffix("."), text[len(first) :].strip()

    def reason(self, reason: ErrorReason.ValueType) -> ReasonTexts:
        """Return the texts on an error reason.

        The meaning ends with the statuses, which are left out; paragraphs `Cause: …` and `Cure: …` follow. Raises
        ValueError for a comment without one of these, and for statuses that differ from `REASONS`.
        """
        name = ErrorReason.Name(reason)
        match self._raw(f"{ErrorReason.DESCRIPTOR.full_name}.{name}").split("\n\n"):
            case [meaning, cause, cure] if cause.startswith(_CAUSE) and cure.startswith(_CURE):
                statuses = f" {REASONS[reason].http} / {REASONS[reason].grpc.name}."
                if not meaning.endswith(statuses):
                    raise ValueError(f"the meaning of {name} must end with{statuses}")
                return ReasonTexts(
                    meaning=_with_codes(meaning.removesuffix(statuses)),
                    cause=_with_codes(cause.removeprefix(_CAUSE)),
                    cure=_with_codes(cure.removeprefix(_CURE)),
                )
        raise ValueError(f"the comment of {name} must have a meaning and paragraphs `Cause: …` and `Cure: …`")


def _with_codes(text: str) -> str:
    """Return a text with the codes of REST instead of the names of error reasons."""
    return _REASON.sub(lambda found: f"`{_CODES[found[1]]}`", text)


def _texts(file: FileDescriptorProto) -> Iterator[tuple[str, str]]:
    """Yield the full name and the comment of each element of a file."""
    names = dict(_names(file))
    for location in file.source_code_info.location:
        name = names.get(tuple(location.path))
        if name and location.leading_comments:
            yield name, "\n\n".join(map(_joined, location.leading_comments.split("\n\n")))


def _joined(paragraph: str) -> str:
    """Return a paragraph as one line. A code block keeps its lines."""
    lines = [line.removeprefix(" ") for line in paragraph.strip("\n").split("\n")]
    return "\n".join(lines) if lines[0].startswith("```") else " ".join(paragraph.split())


def _names(file: FileDescriptorProto) -> Iterator[tuple[tuple[int, ...], str]]:
    """Yield the path of each element in the file's descriptor, and its full name."""
    for index, message in enumerate(file.message_type):
        yield from _message_names(message, (file.MESSAGE_TYPE_FIELD_NUMBER, index), file.package)
    for index, enum in enumerate(file.enum_type):
        path = (file.ENUM_TYPE_FIELD_NUMBER, index)
        yield path, f"{file.package}.{enum.name}"
        for number, value in enumerate(enum.value):
            yield (*path, enum.VALUE_FIELD_NUMBER, number), f"{file.package}.{enum.name}.{value.name}"
    for index, service in enumerate(file.service):
        path = (file.SERVICE_FIELD_NUMBER, index)
        yield path, f"{file.package}.{service.name}"
        for number, method in enumerate(service.method):
            yield (*path, service.METHOD_FIELD_NUMBER, number), f"{file.package}.{service.name}.{method.name}"


def _message_names(
    message: DescriptorProto, path: tuple[int, ...], scope: str
) -> Iterator[tuple[tuple[int, ...], str]]:
    name = f"{scope}.{message.name}"
    yield path, name
    for index, field in enumerate(message.field):
        yield (*path, message.FIELD_FIELD_NUMBER, index), f"{name}.{field.name}"
