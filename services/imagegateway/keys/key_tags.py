"""Tags of API keys. Envoy checks the tag before it reads a request's body, and refuses keys of other origin.

A key is `igw_<random>_<tag>`. The tag is an HMAC of the part before it, under a key derived from the root secret. A
valid tag does not authenticate: only the router knows which keys exist and which are revoked.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING, Final

from imagegateway.keys.root_secret import RootSecret

if TYPE_CHECKING:
    from imagegateway.platform.settings import Settings

_PREFIX: Final = "igw_"
_PURPOSE: Final = "api key tags"
_TAG_DIGITS: Final = 20
"""Hex digits of a tag: 80 bits. The same as in `envoy/key_check.lua`."""


def make_secret(root: RootSecret) -> str:
    """Return the secret of a new API key."""
    stem = _PREFIX + secrets.token_urlsafe(32)
    digest = hmac.new(root.derive(_PURPOSE), stem.encode(), hashlib.sha256).hexdigest()
    return f"{stem}_{digest[:_TAG_DIGITS]}"


def signing_keys(settings: Settings) -> list[bytes]:
    """Return the HMAC keys of valid tags: those of the present and of all previous root secrets.

    Raises SettingError for a short or unreadable root secret.
    """
    return list(RootSecret.load(settings).derive_all(_PURPOSE))
