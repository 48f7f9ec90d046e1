"""multipart/form-data as it streams in: files go to the media store while they are counted, fields to a form."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, field
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
"""Most bytes of all text fields together: as many as 16 images by URL may have."""
_MAX_PARTS: Final = 200
_MAX_PREAMBLE_BYTES: Final = 64 * 1024
_BOUNDARY: Final = re.compile(rb"[\x20-\x7e]{1,70}")
_IDENTITY: Final = frozenset({b"", b"7bit", b"8bit", b"binary"})
"""Transfer encodings that leave a part's bytes as they are."""
_CHARSET: Final = "_charset_"
"""The field that names the charset of all text fields that name none (RFC 7578, 4.6)."""
_TEXT_CODECS: Final = re.compile(
    r"utf-(8|16)(-le|-be)?|ascii|iso8859-\d+|cp(125\d|1361|874|932|949|950)|koi8-[rtu]"
    r"|shift_jis.*|euc_.*|gb.*|big5.*"
)
"""Python's names of the codecs that a charset may select: those of the web, none of Python's own inventions."""


@dataclass(slots=True)
class Part:
    """The head of one part: its field name, and its file name where it is a file."""

    name: str
    filename: str | None
    charset: str = ""
    """The charset that the part names for its text; empty: the form's."""


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
    hold: Callable[[int], None],
) -> list[tuple[str, str]]:
    """Read a whole form: files to the sinks that `open_file` gives, text fields as (name, value) in order.

    `open_file` answers None for a part that is a text field, and is not asked for a file field that was left empty
    (no file name and no bytes): that one comes as an empty text field. `hold` counts the bytes of text fields, which
    stay in memory.

    Raises what `hold` does, and GatewayError: UNSUPPORTED_MEDIA_TYPE without a boundary, INVALID_VALUE for a broken
    or cut-off body or text in another charset than it names, REQUEST_TOO_LARGE for too many or too large fields.
    """
    boundary = _boundary(content_type)
    preamble = _Preamble(boundary)
    reader = _Reader(open_file, hold)
    events = _Events()
    parser = MultipartParser(boundary, events.callbacks())  # type: ignore[arg-type]  # a TypedDict, built as a dict
    parser.logger.disabled = True  # it warns of each malformed body, and what callers send is theirs
    async for chunk in chunks:
        try:
            parser.write(preamble.skip(chunk))
        except FormParserError:
            raise invalid("body", "The multipart body is malformed.") from None
        found, events.found = events.found, []
        for event, data in found:
            await reader.take(event, data)
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
    """Skips what stands before the first boundary (RFC 2046, 5.1.1)."""

    def __init__(self, boundary: bytes) -> None:
        self._delimiter = re.compile(rb"\r\n(?=--" + re.escape(boundary) + rb"(?:\r\n|--))")
        self._longest = len(boundary) + 6
        self._pending = b"\r\n"  # the first boundary may begin the body
        self._skipped = 0
        self._over = False

    def skip(self, chunk: bytes) -> bytes:
        """Return what of a chunk belongs to the body. Raises GatewayError for a preamble over 64 KiB."""
        if self._over:
            return chunk
        self._pending += chunk
        found = self._delimiter.search(self._pending)
        if found:
            self._over = True
            return self._pending[found.end() :]
        self._skipped += max(0, len(self._pending) - self._longest)
        if self._skipped > _MAX_PREAMBLE_BYTES:
            raise invalid("body", "The multipart body does not begin with its boundary.")
        self._pending = self._pending[-self._longest :]
        return b""


class _Reader:
    def __init__(self, open_file: Callable[[Part], Awaitable[Sink | None]], hold: Callable[[int], None]) -> None:
        self._open_file = open_file
        self._hold = hold
        self._parts = 0
        self._header_field = b""
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
        """Return the text fields, decoded. Raises GatewayError naming the field that is not text of its charset."""
        named = [text for part, text in self._fields if part.name == _CHARSET]
        default = named[0].decode("latin-1") if named else "utf-8"
        return [
            (part.name, _decode(part.name, text, part.charset or default))
            for part, text in self._fields
            if part.name != _CHARSET
        ]

    async def take(self, event: str, data: memoryview) -> None:
        match event:
            case "data":
                await self._data(data)
            case "begin":
                self._begin()
            case "header_field" | "header_value":
                self._header(event, data)
            case "header_end":
                self._headers[self._header_field.lower()] = self._header_value
                self._header_field = self._header_value = b""
            case "headers":
                self._head()
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
        self._headers.clear()

    def _header(self, event: str, data: memoryview) -> None:
        if event == "header_field":
            self._header_field += bytes(data)
        else:
            self._header_value += bytes(data)

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
        self._hold(len(data))
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
