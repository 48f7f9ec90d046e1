"""Media extractor: takes base64 texts out of a JSON response while the response arrives.

The JSON that remains is small: an adapter parses no megabytes of text, and only the decoded bytes stay until they are
stored.
"""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Final

import pybase64

if TYPE_CHECKING:
    from collections.abc import Callable

    from imagegateway.providers.kit.spooled_content import SpooledContent

SHORTEST: Final = 16 * 1024
"""Length of the shortest text that is taken out, in characters."""
_BEGIN: Final = re.compile(rb'(?<!\\)"(?:data:[a-zA-Z0-9.+/\\-]{1,100};base64,)?([A-Za-z0-9+/\\]{%d})' % SHORTEST)
"""Begin of a long base64 text. JSON may escape each slash; an escaped quote begins no text."""
_LONGEST_BEGIN: Final = SHORTEST + 128
_HEAD: Final = 24
"""Bytes of the media at the begin of a marker, for adapters that look at them; a multiple of 3."""


class MediaExtractor:
    """Extractor of the media in one response. `text` is what remains, with a marker in place of each media.

    A marker is valid base64, so adapters decode it as they decode any other base64 text. `media` holds the media by
    the decoded marker. A text with other characters remains unchanged.
    """

    def __init__(self, open_content: Callable[[], SpooledContent]) -> None:
        self._open = open_content
        self.text = open_content()
        self.media: dict[bytes, SpooledContent] = {}
        self._pending = b""
        """Bytes that may be the begin of a base64 text."""
        self._is_json: bool | None = None
        self._encoded: _EncodedText | None = None

    async def write(self, data: bytes) -> None:
        """Append bytes of the response."""
        if self._is_json is None and data:
            self._is_json = data[:1] in {b"{", b"["} or data[:1].isspace()
        if not self._is_json:
            await self.text.write(data)
            return
        while data:
            data = await (self._search(data) if self._encoded is None else self._decode(self._encoded, data))

    async def end(self) -> None:
        """End the response. An unfinished base64 text remains in `text`."""
        if self._encoded:
            await self._restore(self._encoded)
        await self.text.write(self._pending)

    def close(self) -> None:
        """Discard all bytes. Idempotent."""
        self.text.close()
        if self._encoded:
            self._encoded.content.close()
        for content in self.media.values():
            content.close()

    async def _search(self, data: bytes) -> bytes:
        """Search for the begin of a base64 text, and return the bytes from there on."""
        data = self._pending + data
        self._pending = b""
        if found := _BEGIN.search(data):
            await self.text.write(data[: found.start(1)])
            self._encoded = _EncodedText(self._open())
            return data[found.start(1) :]
        quote = data.rfind(b'"', -_LONGEST_BEGIN)
        start = max(0, (quote if quote >= 0 else len(data)) - 1)  # with the byte before it, which may escape it
        self._pending = data[start:]
        await self.text.write(data[:start])
        return b""

    async def _decode(self, encoded: _EncodedText, data: bytes) -> bytes:
        """Decode a base64 text up to its end, and return the bytes from there on."""
        end = data.find(b'"')
        is_whole = end >= 0
        try:
            await encoded.write(data[:end] if is_whole else data, is_last=is_whole)
        except ValueError:
            await self._restore(encoded)
        else:
            if is_whole:
                marker = encoded.head + secrets.token_bytes(_HEAD)
                self.media[marker] = encoded.content
                await self.text.write(pybase64.b64encode(marker))
                self._encoded = None
        return data[end:] if is_whole else b""

    async def _restore(self, encoded: _EncodedText) -> None:
        """Write a text that is no base64 back to `text`."""
        self._encoded = None
        decoded = await encoded.content.read()
        encoded.content.close()
        text = pybase64.b64encode(decoded) + encoded.rest
        self._pending = text[-1:]
        await self.text.write(text[:-1])


class _EncodedText:
    """Base64 text that arrives in pieces, decoded into `content`."""

    def __init__(self, content: SpooledContent) -> None:
        self.content = content
        self.head = b""
        """First bytes."""
        self.rest = b""
        """Bytes that are not decoded yet: the last group at least, as only that one may have padding."""

    async def write(self, data: bytes, *, is_last: bool) -> None:
        """Decode a piece. Raises ValueError for other characters than base64, with all of the piece in `rest`."""
        raw = self.rest + data
        self.rest = raw
        if b"\\" in raw:
            raw = raw.replace(b"\\/", b"/")
        whole = len(raw) if is_last else max(0, len(raw) - 4) // 4 * 4
        decoded = pybase64.b64decode(memoryview(raw)[:whole], validate=True)
        if not is_last and len(decoded) != whole // 4 * 3:
            raise ValueError("padding within the text")
        await self.content.write(decoded)
        self.head = self.head or decoded[:_HEAD]
        self.rest = raw[whole:]
