"""Signed links to results, with file extensions by media type."""

from __future__ import annotations

import base64
import enum
import hashlib
import hmac
import re
import time
from typing import TYPE_CHECKING, Final

from imagegateway.media.objects import deletion_time

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from imagegateway.keys.root_secret import RootSecret

_PURPOSE: Final = "media links"
DEFAULT_LIFETIME: Final = 86_400
"""Lifetimes are in seconds."""
SHORTEST_LIFETIME: Final = 60
LONGEST_LIFETIME: Final = 604_800
_EXTENSIONS: Final[Mapping[str, str]] = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/webp": "webp",
    "image/gif": "gif",
    "image/svg+xml": "svg",
    "video/mp4": "mp4",
}
_MEDIA_TYPES: Final = {extension: media_type for media_type, extension in _EXTENSIONS.items()}
CONTENT_POLICY: Final = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src 'self'"
"""Content-Security-Policy of every result: an SVG in a browser runs and loads nothing."""
_FILENAME: Final = re.compile(rf"[0-9]{{1,4}}\.(?:{'|'.join(_MEDIA_TYPES)})")
_EXPIRY: Final = re.compile(r"[0-9]{1,11}")
_SIGNATURE_BYTES: Final = 18  # 144 bits, and base64 without padding


def extension_of(media_type: str) -> str:
    """Return the file extension of a media type, without dot. Raises ValueError for an unknown type."""
    try:
        return _EXTENSIONS[media_type]
    except KeyError:
        raise ValueError(f"no extension for the media type {media_type!r}") from None


def media_type_of(filename: str) -> str:
    """Return the media type by a filename's extension. Raises ValueError for an unknown extension."""
    try:
        return _MEDIA_TYPES[filename.rpartition(".")[2]]
    except KeyError:
        raise ValueError(f"no media type for the file {filename!r}") from None


class LinkStatus(enum.Enum):
    """Status of a link."""

    VALID = "valid"
    FORBIDDEN = "forbidden"
    """Changed, or not signed by this gateway."""
    EXPIRED = "expired"
    """Signed by this gateway, but past its expiry."""


class LinkSigner:
    """Signer and verifier of links.

    A link is `<public URL>/media/<day>/<sha256>-<job>/<filename>?exp=<Unix seconds>&sig=<key id>.<signature>`.
    """

    def __init__(self, root: RootSecret, public_url: str, clock: Callable[[], float] = time.time) -> None:
        """Use `public_url` without a final slash, and `clock` for Unix seconds."""
        self._keys = root.keys(_PURPOSE)
        self._present = next(iter(self._keys))
        self._public_url = public_url
        self._clock = clock

    def expiry(self, key: str, lifetime: int = DEFAULT_LIFETIME) -> int:
        """Return the expiry of a new link in Unix seconds: after `lifetime` seconds, at most the file's deletion.

        Raises ValueError for a lifetime outside 60 to 604800 s, and for a malformed key.
        """
        if not SHORTEST_LIFETIME <= lifetime <= LONGEST_LIFETIME:
            raise ValueError(f"a link lives {SHORTEST_LIFETIME} to {LONGEST_LIFETIME} seconds")
        return min(int(self._clock()) + lifetime, deletion_time(key))

    def sign(self, key: str, filename: str, lifetime: int = DEFAULT_LIFETIME) -> str:
        """Return a link to the result with this store key. `filename` is index and extension, such as `0.png`.

        Raises ValueError for a key that is no result's, a malformed filename, and as `expiry`.
        """
        expires = self.expiry(key, lifetime)
        kind, _, place = key.partition("/")
        if kind != "results" or not _FILENAME.fullmatch(filename):
            raise ValueError("a link names a result, and its file by index and extension")
        path = f"/media/{place}/{filename}"
        return f"{self._public_url}{path}?exp={expires}&sig={self._signature(self._present, path, str(expires))}"

    def verify(self, path: str, exp: str, sig: str) -> LinkStatus:
        """Return the status of a link: its path from `/media/` on and its two parameters. Any text is safe."""
        key_id = sig.partition(".")[0]
        if key_id not in self._keys or not _EXPIRY.fullmatch(exp):
            return LinkStatus.FORBIDDEN
        expected = self._signature(key_id, path, exp)
        if not hmac.compare_digest(expected.encode(), sig.encode(errors="replace")):
            return LinkStatus.FORBIDDEN
        return LinkStatus.VALID if self._clock() < int(exp) else LinkStatus.EXPIRED

    def _signature(self, key_id: str, path: str, exp: str) -> str:
        message = f"{path}\n{exp}".encode(errors="replace")
        digest = hmac.digest(self._keys[key_id], message, hashlib.sha256)[:_SIGNATURE_BYTES]
        return f"{key_id}.{base64.urlsafe_b64encode(digest).decode()}"
