"""Streaming parser of multipart/form-data: writes files to sinks, collects text fields."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, Protocol

from imagegateway.platform.errors import GatewayError, invalid
from imagegateway.v1.error_reason_pb2 import ErrorReason
from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

_MAX_FIELD_BYTES: Final = 256 * 1024
_MAX_TEXT_BYTES: Final = 4 * 1024 * 1024
"""Maximum size of all text fields together: that of 16 images by URL."""
_MAX_PARTS: Final = 200
_MAX_PREAMBLE_BYTES: Final = 64 * 1024
_BOUNDARY: Final = re.compile(rb"[\x20-\x7e]{1,70}")
_IDENTITY: Final = frozenset({b"", b"7bit", b"8bit", b"binary"})
"""Transfer encodings that do not change a part's bytes."""
_CHARSET: Final = "_charset_"
"""Field with the default charset of the text fields (RFC 7578, 4.6)."""
_TEXT_CODECS: Final = re.compile(
    r"utf-(8|16)(-le|-be)?|ascii|iso8859-\d+|cp(125\d|1361|874|932|949|950)|koi8-[rtu]"
    r"|shift_jis.*|euc_.*|gb.*|big5.*"
)
"""Python's names of the codecs that a charset may select: those of the web, without Python's own inventions."""


@dataclass(slots=True)
class Part:
    """Headers of one part: field name, file name of a file, charset of a text."""

    name: str
    filename: str | None
    """None for a text field."""
    charset: str = ""
    """Empty: the charset of the form."""


class _Event(Enum):
    """Events of the push parser."""

    PART_BEGIN = auto()
    HEADER_NAME = auto()
    HEADER_VALUE = auto()
    HEADER_END = auto()
    HEADERS_END = auto()
    PART_DATA = auto()
    PART_END = auto()
    FORM_END = auto()


@dataclass(slots=True)
class _EventLog:
    """Events of one chunk, in order, for the coroutine to process."""

    entries: list[tuple[_Event, memoryview]] = field(default_factory=list)

    def callbacks(self) -> dict[str, Callable[..., None]]:
        """Return the parser's callbacks, which append to `entries`."""

        def data(event: _Event) -> Callable[[bytes, int, int], None]:
            def append(chunk: bytes, start: int, end: int) -> None:
                self.entries.append((event, memoryview(chunk)[start:end]))  # a slice of bytes would be a copy

            return append

        def mark(event: _Event) -> Callable[[], None]:
            return lambda: self.entries.append((event, memoryview(b"")))

        return {
            "on_part_begin": mark(_Event.PART_BEGIN),
            "on_header_field": data(_Event.HEADER_NAME),
            "on_header_value": data(_Event.HEADER_VALUE),
            "on_header_end": mark(_Event.HEADER_END),
            "on_headers_finished": mark(_Event.HEADERS_END),
            "on_part_data": data(_Event.PART_DATA),
            "on_part_end": mark(_Event.PART_END),
            "on_end": mark(_Event.FORM_END),
        }


class Sink(Protocol):
    """Destination of a file's bytes."""

    async def write(self, data: memoryview) -> None:
        """Write one piece."""
        ...

    async def finish(self) -> None:
        """End the file."""
        ...


async def parse(
    chunks: AsyncIterator[bytes],
    content_type: str,
    open_file: Callable[[Part], Awaitable[Sink | None]],
    reserve: Callable[[int], None],
) -> list[tuple[str, str]]:
    """Read a form: write files to sinks, and return the text fields as (name, value) in order.

    `open_file` returns the sink of a file, or None for a text field. It is not called for an empty file field (no
    file name and no bytes), which counts as an empty text field. `reserve` is called with the size of each piece of
    text, because texts stay in memory.

    Raises as `reserve` does, and GatewayError: UNSUPPORTED_MEDIA_TYPE without a boundary; INVALID_VALUE for a
    malformed or incomplete body, and for text in another charset than named; REQUEST_TOO_LARGE for too many or too
    large fields.
    """
    boundary = _boundary(content_type)
    preamble = _Preamble(boundary)
    reader = _Reader(open_file, reserve)
    log = _EventLog()
    parser = MultipartParser(boundary, log.callbacks())  # type: ignore[arg-type]  # a TypedDict, built as a dict
    parser.logger.disabled = True  # it would warn of each malformed body of a caller
    async for chunk in chunks:
        try:
            parser.write(preamble.skip(chunk))
        except FormParserError:
            raise invalid("body", "The multipart body is malformed.") from None
        entries, log.entries = log.entries, []
        for event, data in entries:
            await reader.process(event, data)
    if not reader.done:
        raise invalid("body", "The multipart body ends before its closing boundary.")
    return reader.fields()


def _boundary(content_type: str) -> bytes:
    try:
        kind, options = parse_options_header(content_type)
    except UnicodeEncodeError:
        raise invalid("Content-Type", "The content type must be ASCII.") from None
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not boundary:
        raise GatewayError(
            ErrorReason.ERROR_REASON_UNSUPPORTED_MEDIA_TYPE,
            "The content type must be multipart/form-data with a boundary.",
        )
    if not _BOUNDARY.fullmatch(boundary):
        raise invalid("Content-Type", "The multipart boundary must be 1 to 70 printable ASCII characters.")
    return boundary


class _Preamble:
    """Filter of the preamble: the bytes before the first boundary (RFC 2046, 5.1.1)."""

    def __init__(self, boundary: bytes) -> None:
        self._delimiter = re.compile(rb"\r\n(?=--" + re.escape(boundary) + rb"(?:\r\n|--))")
        self._delimiter_length = len(boundary) + 6
        self._pending = b"\r\n"  # the first boundary may begin the body
        self._skipped = 0
        self._over = False

    def skip(self, chunk: bytes) -> bytes:
        """Return the part of a chunk after the preamble. Raises GatewayError for a preamble over 64 KiB."""
        if self._over:
            return chunk
        self._pending += chunk
        found = self._delimiter.search(self._pending)
        if found:
            self._over = True
            return self._pending[found.end() :]
        self._skipped += max(0, len(self._pending) - self._delimiter_length)
        if self._skipped > _MAX_PREAMBLE_BYTES:
            raise invalid("body", "The multipart body does not begin with its boundary.")
        self._pending = self._pending[-self._delimiter_length :]
        return b""


class _Reader:
    """Reader of parts from the parser's events."""

    def __init__(self, open_file: Callable[[Part], Awaitable[Sink | None]], reserve: Callable[[int], None]) -> None:
        self._open_file = open_file
        self._reserve = reserve
        self._parts = 0
        self._header_name = b""
        self._header_value = b""
        self._headers: dict[bytes, bytes] = {}
        self._part = Part("", None)
        self._empty = True
        self._sink: Sink | None = None
        self._text = bytearray()
        self._text_bytes = 0
        self._fields: list[tuple[Part, bytes]] = []
        self.done = False

    def fields(self) -> list[tuple[str, str]]:
        """Return the decoded text fields. Raises GatewayError naming a field that its charset can't decode."""
        named = [text for part, text in self._fields if part.name == _CHARSET]
        default = named[0].decode("latin-1") if named else "utf-8"
        return [
            (part.name, _decode(part.name, text, part.charset or default))
            for part, text in self._fields
            if part.name != _CHARSET
        ]

    async def process(self, event: _Event, data: memoryview) -> None:
        """Process one event of the parser. Raises GatewayError as `parse` does."""
        match event:
            case _Event.PART_DATA:
                await self._data(data)
            case _Event.PART_BEGIN:
                self._begin()
            case _Event.HEADER_NAME:
                self._header_name += bytes(data)
            case _Event.HEADER_VALUE:
                self._header_value += bytes(data)
            case _Event.HEADER_END:
                self._headers[self._header_name.lower()] = self._header_value
                self._header_name = self._header_value = b""
            case _Event.HEADERS_END:
                self._head()
            case _Event.PART_END:
                await self._end()
            case _Event.FORM_END:
                self.done = True

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > _MAX_PARTS:
            raise GatewayError(
                ErrorReason.ERROR_REASON_REQUEST_TOO_LARGE, f"The form has more than {_MAX_PARTS} parts."
            )
        self._headers.clear()

    def _head(self) -> None:
        kind, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = options.get(b"name")
        if kind != b"form-data" or not name:
            raise invalid("body", "A part of the form has no name.")
        filename = options.get(b"filename")
        _, parameters = parse_options_header(self._headers.get(b"content-type", b""))
        self._part = Part(
            name=name.decode("utf-8", "replace"),
            filename=None if filename is None else filename.decode("utf-8", "replace"),
            charset=parameters.get(b"charset", b"").decode("latin-1"),
        )
        encoding = self._headers.get(b"content-transfer-encoding", b"").strip().lower()
        if encoding not in _IDENTITY:
            shown = self._part.name[:100]
            raise invalid(shown, f"{shown} has a Content-Transfer-Encoding: send the bytes as they are, without one.")
        self._text.clear()
        self._empty = True

    async def _data(self, data: memoryview) -> None:
        if self._empty:
            self._empty = False
            self._sink = await self._open_file(self._part)
        if self._sink:
            await self._sink.write(data)
            return
        if len(self._text) + len(data) > _MAX_FIELD_BYTES:
            raise GatewayError(
                ErrorReason.ERROR_REASON_REQUEST_TOO_LARGE,
                f"{self._part.name} is over {_MAX_FIELD_BYTES} bytes of text.",
                param=self._part.name,
            )
        self._text_bytes += len(data)
        if self._text_bytes > _MAX_TEXT_BYTES:
            raise GatewayError(
                ErrorReason.ERROR_REASON_REQUEST_TOO_LARGE,
                f"The form has more than {_MAX_TEXT_BYTES} bytes of text: send images as files.",
            )
        self._reserve(len(data))
        self._text += data

    async def _end(self) -> None:
        if self._empty and self._part.filename:
            self._sink = await self._open_file(self._part)
        if self._sink:
            await self._sink.finish()
            self._sink = None
            return
        self._fields.append((self._part, bytes(self._text)))


def _decode(name: str, text: bytes, charset: str) -> str:
    try:
        codec = codecs.lookup(charset)
    except (LookupError, ValueError):
        codec = None
    if codec is None or not _TEXT_CODECS.fullmatch(codec.name):
        raise invalid(name, f"{name} names a charset that is not known: send UTF-8.")
    try:
        return codec.decode(text)[0]
    except UnicodeError:
        shown = "UTF-8" if codec.name == "utf-8" else codec.name
        raise invalid(name, f"{name} is not {shown} text.") from None
