"""Fetch of images that requests name by URL."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes

import pybase64
from imagegateway.outbound.client import TooLargeError
from imagegateway.outbound.url_guard import OutboundError
from imagegateway.platform.errors import GatewayError
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from imagegateway.outbound.client import Outbound, Write

FETCH_SECONDS: Final = 30.0
"""Time limit of a fetch, redirects included, in seconds."""

_DATA_URL: Final = re.compile(r"data:[^,]{0,256}; *base64 *,", re.IGNORECASE)
_PIECE: Final = 1024 * 1024
"""Characters of a data URL per decoded piece."""
_WHITE_SPACE: Final = b"\t\n\f\r "
_PLAIN_ALPHABET: Final = bytes.maketrans(b"-_", b"+/")


async def fetch_image(outbound: Outbound, url: str, param: str, write: Write, *, max_bytes: int, tenant: str) -> None:
    """Pass the bytes of an https or base64 `data:` URL to `write`, at most `max_bytes`. Their content is not checked.

    `tenant` pays with its share of the downloads. Raises the errors of `write`, and GatewayError naming `param`:
    INVALID_IMAGE_URL or FILE_TOO_LARGE.
    """
    if url[:5].lower() == "data:":
        for data in _decode(url, param, max_bytes):
            await write(data)
        return
    try:
        await outbound.stream(url, write, tenant=tenant, max_bytes=max_bytes, seconds=FETCH_SECONDS)
    except TooLargeError as error:
        raise _too_large(param, max_bytes) from error
    except OutboundError as error:
        raise _invalid_url(param, f"{param} can't be fetched: {error.reason}.") from error


def _decode(url: str, param: str, max_bytes: int) -> Iterator[bytes]:
    """Yield the bytes of a data URL, without a second copy of a long one."""
    header = _DATA_URL.match(url)
    if header is None:
        raise _invalid_url(param, f"{param} must be a data URL of the form data:image/png;base64,….")
    # Four characters encode three bytes, and percent-encoding triples them.
    if len(url) - header.end() > 4 * (max_bytes + 2):
        raise _too_large(param, max_bytes)
    size = 0
    try:
        for data in _forgiving_base64(_unquoted(url, header.end())):
            size += len(data)
            if size > max_bytes:
                raise _too_large(param, max_bytes)
            yield data
    except ValueError:
        raise _invalid_url(param, f"{param} is a data URL that holds malformed base64.") from None


def _unquoted(url: str, start: int) -> Iterator[bytes]:
    """Yield a URL from `start` on, percent-decoded. Raises ValueError for non-ASCII characters."""
    while start < len(url):
        end = start + _PIECE
        escape = url.rfind("%", end - 2, end)  # the piece must not end within an escape
        piece = url[start : end if escape < 0 else escape]
        start += len(piece)
        yield unquote_to_bytes(piece) if "%" in piece else piece.encode("ascii")


def _forgiving_base64(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Decode forgiving base64 (WHATWG Infra: white space, optional padding), in the URL alphabet too.

    Raises ValueError for anything else.
    """
    digits = b""
    for piece in pieces:
        digits += piece.translate(_PLAIN_ALPHABET, _WHITE_SPACE)
        whole = max(0, len(digits) - 1) // 4 * 4  # the last group may have padding
        group, digits = digits[:whole], digits[whole:]
        if b"=" in group:
            raise ValueError("padding that does not belong there")
        yield pybase64.b64decode(group, validate=True)
    if len(digits) == 4:
        digits = digits.removesuffix(b"=").removesuffix(b"=")
    if digits.endswith(b"="):
        raise ValueError("padding that does not belong there")
    yield pybase64.b64decode(digits + b"=" * (-len(digits) % 4), validate=True)


def _too_large(param: str, max_bytes: int) -> GatewayError:
    return GatewayError(
        ErrorReason.ERROR_REASON_FILE_TOO_LARGE,
        f"{param} is larger than the limit of {max_bytes} bytes.",
        param=param,
    )


def _invalid_url(param: str, message: str) -> GatewayError:
    return GatewayError(ErrorReason.ERROR_REASON_INVALID_IMAGE_URL, message, param=param)
