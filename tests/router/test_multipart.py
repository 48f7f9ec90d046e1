"""Multipart forms of RFC 2046 and RFC 7578, and refusals of all others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from imagegateway.platform.errors import GatewayError
from imagegateway.router import multipart

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from imagegateway.router.multipart import Part

KIND = "multipart/form-data; boundary=X"


class File:
    """Sink that keeps its bytes."""

    def __init__(self) -> None:
        self.data = b""
        self.whole = False

    async def write(self, data: memoryview) -> None:
        self.data += data

    async def finish(self) -> None:
        self.whole = True


def part(head: str, value: bytes = b"", *, after: str = "") -> bytes:
    """Return one part; `head` follows `form-data; `, `after` has more header lines."""
    lines = f"--X\r\nContent-Disposition: form-data; {head}\r\n{after}\r\n"
    return lines.encode("latin-1") + value + b"\r\n"


async def read(
    body: bytes, kind: str = KIND, step: int = 0, opened: dict[str, File] | None = None
) -> list[tuple[str, str]]:
    """Return the text fields. A part with a file name, or named `image`, is a file, kept in `opened`.

    `step`: bytes that come at once; 0: all.
    """
    files = {} if opened is None else opened

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), step or len(body)):
            yield body[start : start + (step or len(body))]

    async def open_file(found: Part) -> File | None:
        if found.filename is None and found.name != "image":
            return None
        return files.setdefault(found.name, File())

    return await multipart.parse(chunks(), kind, open_file, lambda _size: None)


async def refused(body: bytes, kind: str = KIND) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        await read(body, kind)
    assert caught.value.meaning.http < 500
    return caught.value


END = b"--X--\r\n"


@pytest.mark.parametrize("step", [0, 1, 2, 3, 7])
@pytest.mark.parametrize(
    "before",
    [
        b"",
        b"\r\n",
        b"This is a message in MIME format.\r\n",
        b"--\r\n--Xylophone\r\n-X\r\nX--\r\n",
        b"--Y\r\n" * 40,
    ],
)
async def test_preamble_is_skipped(before: bytes, step: int) -> None:
    assert await read(before + part('name="prompt"', b"a fox") + END, step=step) == [("prompt", "a fox")]


@pytest.mark.parametrize("step", [0, 1])
@pytest.mark.parametrize("after", [b"", b"\r\n", b"an epilogue\r\n--X\r\nno part"])
async def test_epilogue_is_skipped(after: bytes, step: int) -> None:
    assert await read(part('name="prompt"', b"a fox") + END + after, step=step) == [("prompt", "a fox")]


async def test_endless_preamble_is_refused_early() -> None:
    assert "boundary" in (await refused(b"x" * 100_000)).message


@pytest.mark.parametrize(
    "body",
    [
        part('name="mask"; filename=""'),
        part('name="mask"; filename=""', after="Content-Type: application/octet-stream\r\n"),
        part('name="mask"'),
        part('name="image"; filename=""'),
        part('name="image"'),
    ],
)
async def test_empty_file_field_is_no_file(body: bytes) -> None:
    opened: dict[str, File] = {}
    ((_, text),) = await read(body + END, opened=opened)
    assert (text, opened) == ("", {})


async def test_file_with_a_name_and_no_bytes_is_a_file() -> None:
    opened: dict[str, File] = {}
    assert await read(part('name="image"; filename="a.png"') + END, opened=opened) == []
    assert (opened["image"].data, opened["image"].whole) == (b"", True)


@pytest.mark.parametrize(
    ("charset", "encoding"),
    [
        ("ISO-8859-1", "latin-1"),
        ("iso_8859-15", "iso8859-15"),
        ("windows-1252", "cp1252"),
        ("Shift_JIS", "shift_jis"),
        ("GB18030", "gb18030"),
        ("utf-16", "utf-16"),
        ('"utf-8"', "utf-8"),
        ("US-ASCII", "ascii"),
    ],
)
async def test_text_is_decoded_in_the_charset_of_its_part(charset: str, encoding: str) -> None:
    text = {"shift_jis": "夕焼け", "gb18030": "狐狸"}.get(encoding, "fox" if encoding == "ascii" else "café")
    body = part('name="prompt"', text.encode(encoding), after=f"Content-Type: text/plain; charset={charset}\r\n")
    assert await read(body + END) == [("prompt", text)]


async def test_text_is_decoded_in_the_charset_of_the_form() -> None:
    body = part('name="prompt"', "café".encode("latin-1")) + part('name="_charset_"', b"iso-8859-1")
    own = part('name="user"', "é".encode(), after="Content-Type: text/plain; charset=utf-8\r\n")
    assert await read(body + own + END) == [("prompt", "café"), ("user", "é")]


@pytest.mark.parametrize(
    "charset", ["x-unknown", "rot13", "base64", "unicode_escape", "idna", "punycode", "utf-7", ""]
)
async def test_unknown_charset_is_refused(charset: str) -> None:
    error = await refused(
        part('name="prompt"', b"a\xffb", after=f"Content-Type: text/plain; charset={charset}\r\n") + END
    )
    assert (error.code, error.param) == ("invalid_value", "prompt")


async def test_text_in_another_charset_than_named_is_refused() -> None:
    assert (await refused(part('name="prompt"', b"caf\xe9") + END)).message == "prompt is not UTF-8 text."


@pytest.mark.parametrize("encoding", ["base64", "Quoted-Printable", "x-uuencode"])
async def test_transfer_encoding_is_refused_by_name(encoding: str) -> None:
    error = await refused(part('name="prompt"', b"Zm94", after=f"Content-Transfer-Encoding: {encoding}\r\n") + END)
    assert error.param == "prompt"
    assert "Content-Transfer-Encoding" in error.message


@pytest.mark.parametrize("encoding", ["7bit", "8bit", "Binary"])
async def test_identity_transfer_encoding_is_accepted(encoding: str) -> None:
    body = part('name="prompt"', b"a fox", after=f"Content-Transfer-Encoding: {encoding}\r\n")
    assert await read(body + END) == [("prompt", "a fox")]


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("multipart/form-data; boundary=é", "invalid_value"),
        ("multipart/form-data; boundary=€", "invalid_value"),
        ("multipart/form-data; boundary=\udcff", "invalid_value"),
        (f"multipart/form-data; boundary={'x' * 71}", "invalid_value"),
        ("multipart/form-data", "unsupported_media_type"),
        ('multipart/form-data; boundary=""', "unsupported_media_type"),
        ("text/plain; boundary=X", "unsupported_media_type"),
        ("", "unsupported_media_type"),
    ],
)
async def test_invalid_boundary_is_refused(kind: str, code: str) -> None:
    assert (await refused(part('name="prompt"', b"a fox") + END, kind)).code == code


async def test_texts_of_a_form_have_a_common_limit() -> None:
    text = part('name="images"', b"a" * (256 * 1024))
    assert len(await read(text * 16 + END)) == 16
    assert (await refused(text * 16 + part('name="user"', b"a") + END)).code == "request_too_large"


async def test_bytes_of_texts_are_counted_and_those_of_files_are_not() -> None:
    held: list[int] = []
    body = part('name="prompt"', b"a fox") + part('name="image"; filename="a.png"', b"b" * 1000) + END

    async def chunks() -> AsyncIterator[bytes]:
        yield body

    async def open_file(found: Part) -> File | None:
        return File() if found.filename else None

    await multipart.parse(chunks(), KIND, open_file, held.append)
    assert sum(held) == len("a fox")
