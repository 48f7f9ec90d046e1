"""Callers' own provider keys in job records: encryption, and fingerprints that identify the keys."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Final

from cryptography.fernet import InvalidToken
from imagegateway.jobs import transitions

if TYPE_CHECKING:
    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.keys.root_secret import RootSecret
    from imagegateway.providers.catalog import Route

_KEYS: Final = "provider credentials"
_FINGERPRINTS: Final = "provider accounts"


class JobCredentials:
    """Encrypts and decrypts provider keys with keys derived from the root secret, the same on every replica."""

    def __init__(self, root: RootSecret) -> None:
        self._sealer = root.sealer(_KEYS)
        self._fingerprint_key = root.derive(_FINGERPRINTS)

    def seal(self, key: str) -> bytes:
        """Return a key encrypted for JobRecord.sealed_credential or JobRecord.sealed_keys."""
        return self._sealer.seal(key.encode())

    def open(self, record: JobRecord) -> str:
        """Return the caller's own key for a job's current route; empty: the operator's key applies.

        Raises cryptography's InvalidToken for a key that was encrypted under an unknown root secret.
        """
        sealed = transitions.caller_key(record)
        return self._sealer.open(sealed).decode() if sealed else ""

    def account(self, record: JobRecord, route: Route) -> str:
        """Return JobRecord.key_fingerprint of a job on `route`, its current one; empty: the operator's key."""
        try:
            key = "" if route.shared_slots else self.open(record)
        except InvalidToken:
            return ""  # the job's start fails at once, so its slots do not matter
        return self.fingerprint(route.name, key) if key else ""

    def fingerprint(self, route: str, key: str) -> str:
        """Return 32 hex digits that identify a route's key. Keyed, so that a key can't be found by trying."""
        return hmac.new(self._fingerprint_key, f"{route}\0{key}".encode(), hashlib.sha256).hexdigest()[:32]
