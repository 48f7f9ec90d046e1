"""Operator tokens: credentials of commands on the gateway's own machine.

A command signs a token with the root secret and sends the token over the router's UNIX socket. A token has the scope
`admin`, names the operating system's user and lives for a minute. Tokens are not stored. Envoy refuses them, since
they carry no key tag.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from typing import TYPE_CHECKING, Final

from imagegateway.keys.api_keys import ApiKey
from imagegateway.keys.policy import Scope

if TYPE_CHECKING:
    from collections.abc import Callable

    from imagegateway.keys.root_secret import RootSecret

OPERATOR_ID: Final = "operator"
"""Key id of every operator token. Ids of stored keys are hex digits."""
LIFETIME: Final = 60
"""Seconds for which a token is valid."""
_PREFIX: Final = "igwop_"
_PURPOSE: Final = "operator tokens"


class OperatorTokens:
    """Signer and reader of operator tokens. `clock` returns Unix seconds."""

    def __init__(self, root: RootSecret, clock: Callable[[], float] = time.time) -> None:
        self._keys = root.derive_all(_PURPOSE)
        self._clock = clock

    def sign(self, user: str) -> str:
        """Return a new token of an operating system's user."""
        name = base64.urlsafe_b64encode(user.encode()).decode().rstrip("=")
        stem = f"{_PREFIX}{int(self._clock()) + LIFETIME}.{name}"
        return f"{stem}.{_signature(self._keys[0], stem)}"

    def read(self, token: str) -> ApiKey | None:
        """Return the key of a token, which may have expired. None: no token of this gateway."""
        stem, _, signature = token.rpartition(".")
        if not stem.startswith(_PREFIX):
            return None
        if not any(hmac.compare_digest(_signature(key, stem).encode(), signature.encode()) for key in self._keys):
            return None
        expires_at, _, name = stem.removeprefix(_PREFIX).partition(".")
        try:
            user = base64.urlsafe_b64decode(name + "=" * (-len(name) % 4)).decode(errors="replace")
        except binascii.Error:
            return None
        return ApiKey(
            id=OPERATOR_ID,
            tenant="",
            name=user,
            created_at=int(expires_at) - LIFETIME,
            scopes=frozenset({Scope.ADMIN}),
            expires_at=int(expires_at),
        )


def _signature(key: bytes, stem: str) -> str:
    return hmac.new(key, stem.encode(), hashlib.sha256).hexdigest()
