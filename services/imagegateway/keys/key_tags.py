"""Tags of API keys: Envoy checks by them that the gateway made a key, before it reads a byte of a request's body.

A key is `igw_<random>_<tag>`. The tag is an HMAC of what stands before it, under a key that is derived from the root
secret. A valid tag doesn't authenticate: the router alone knows which keys exist, and which are revoked.
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
    """Return the HMAC keys whose tags are valid: of the present root secret and of all previous ones.

    Raises SettingError for a root secret that is too short or can't be read.
    """
    return list(RootSecret.load(settings).derive_all(_PURPOSE))
