"""multipart/form-data as it streams in: files go to the media store while they are counted, fields to a form."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from imagegateway.v1.error_reason_pb2 import ErrorReason
from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from services.common.errors import GatewayError, invalid

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

_MAX_FIELD_BYTES: Final = 256 * 1024
_MAX_PARTS: Final = 200


@dataclass(slots=True)
class Part:
    """The head of one part: its field name, and its file name where it is a file."""

    name: str
    filename: str | None


@dataclass(slots=True)
class _Events:
    """What the push parser saw in one chunk, in order, for the coroutine to act on."""

    found: list[tuple[str, memoryview]] = field(default_factory=list)

    def callbacks(self) -> dict[str, Callable[..., None]]:
        def data(kind: str) -> Callable[[bytes, int, int], None]:
            def seen(chunk: bytes, start: int, end: int) -> None:
                self.found.append((kind, memoryview(chunk)[start:end]))  # a slice of bytes would be a copy

            return seen

        def mark(kind: str) -> Callable[[], None]:
            return lambda: self.found.append((kind, memoryview(b"")))

        return {
            "on_part_begin": mark("begin"),
            "on_header_field": data("header_field"),
            "on_header_value": data("header_value"),
            "on_header_end": mark("header_end"),
            "on_headers_finished": mark("headers"),
            "on_part_data": data("data"),
            "on_part_end": mark("end"),
            "on_end": mark("done"),
        }


class Sink(Protocol):
    """Where a file's bytes go: `write` for each piece, then `finish`."""

    async def write(self, data: memoryview) -> None: ...

    async def finish(self) -> None: ...


async def parse(
    chunks: AsyncIterator[bytes],
    content_type: str,
    open_file: Callable[[Part], Awaitable[Sink | None]],
) -> list[tuple[str, str]]:
    """Read a whole form: files to the sinks that `open_file` gives, text fields as (name, value) in order.

    `open_file` answers None for a part that is a text field.
    Raises GatewayError: UNSUPPORTED_MEDIA_TYPE without a boundary, INVALID_VALUE for a broken or cut-off body,
    REQUEST_TOO_LARGE for too many or too large fields.
    """
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not boundary:
        raise GatewayError(
            ErrorReason.ERROR_REASON_UNSUPPORTED_MEDIA_TYPE,
            "The content type must be multipart/form-data with a boundary.",
        )
    reader = _Reader(open_file)
    events = _Events()
    try:
        parser = MultipartParser(boundary, events.callbacks())  # type: ignore[arg-type]  # a TypedDict, built as a dict
    except FormParserError:
        raise invalid("body", "The multipart boundary is too long.") from None
    parser.logger.disabled = True  # it warns of each malformed body, and what callers send is theirs
    async for chunk in chunks:
        try:
            parser.write(chunk)
        except FormParserError:
            raise invalid("body", "The multipart body is malformed.") from None
        found, events.found = events.found, []
        for event, data in found:
            await reader.take(event, data)
    if not reader.done:
        raise invalid("body", "The multipart body ends before its closing boundary.")
    return reader.fields


class _Reader:
    def __init__(self, open_file: Callable[[Part], Awaitable[Sink | None]]) -> None:
        self._open_file = open_file
        self._parts = 0
        self._header_field = b""
        self._header_value = b""
        self._disposition = b""
        self._part = Part("", None)
        self._sink: Sink | None = None
        self._text = bytearray()
        self.fields: list[tuple[str, str]] = []
        self.done = False

    async def take(self, event: str, data: memoryview) -> None:
        match event:
            case "data":
                await self._data(data)
            case "begin":
                self._begin()
            case "header_field" | "header_value":
                self._header(event, data)
            case "header_end":
                if self._header_field.lower() == b"content-disposition":
                    self._disposition = self._header_value
                self._header_field = self._header_value = b""
            case "headers":
                await self._headers()
            case "end":
                await self._end()
            case "done":
                self.done = True

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > _MAX_PARTS:
            raise GatewayError(
                ErrorReason.ERROR_REASON_REQUEST_TOO_LARGE, f"The form has more than {_MAX_PARTS} parts."
            )
        self._disposition = b""

    def _header(self, event: str, data: memoryview) -> None:
        if event == "header_field":
            self._header_field += bytes(data)
        else:
            self._header_value += bytes(data)

    async def _headers(self) -> None:
        kind, options = parse_options_header(self._disposition)
        name = options.get(b"name")
        if kind != b"form-data" or not name:
            raise invalid("body", "A part of the form has no name.")
        filename = options.get(b"filename")
        self._part = Part(
            name=name.decode("utf-8", "replace"),
            filename=None if filename is None else filename.decode("utf-8", "replace"),
        )
        self._text.clear()
        self._sink = await self._open_file(self._part)

    async def _data(self, data: memoryview) -> None:
        if self._sink:
            await self._sink.write(data)
            return
        if len(self._text) + len(data) > _MAX_FIELD_BYTES:
            raise GatewayError(
                ErrorReason.ERROR_REASON_REQUEST_TOO_LARGE,
                f"{self._part.name} is over {_MAX_FIELD_BYTES} bytes of text.",
                param=self._part.name,
            )
        self._text += data

    async def _end(self) -> None:
        if self._sink:
            await self._sink.finish()
            self._sink = None
            return
        try:
            value = self._text.decode()
        except UnicodeDecodeError:
            raise invalid(self._part.name, f"{self._part.name} is not UTF-8 text.") from None
        self.fields.append((self._part.name, value))
