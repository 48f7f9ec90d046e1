"""Callers' own provider keys inside job records: encrypted, and told apart by fingerprints."""

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
_ACCOUNTS: Final = "provider accounts"


class Credentials:
    """The same on every replica: what one of them has sealed, each can open and tell apart."""

    def __init__(self, root: RootSecret) -> None:
        self._sealer = root.sealer(_KEYS)
        self._accounts = root.derive(_ACCOUNTS)

    def seal(self, key: str) -> bytes:
        """A key as a record may hold it: JobRecord.sealed_credential, JobRecord.sealed_keys."""
        return self._sealer.seal(key.encode())

    def of(self, record: JobRecord) -> str:
        """The caller's own key for a job's present route; empty: the operator's is used.

        Raises cryptography's InvalidToken for one that was sealed under a root secret that is not known.
        """
        sealed = transitions.own_key(record)
        return self._sealer.open(sealed).decode() if sealed else ""

    def account(self, record: JobRecord, route: Route) -> str:
        """Whose places a job takes up on `route`, its present one: JobRecord.account."""
        try:
            key = "" if route.shared_slots else self.of(record)
        except InvalidToken:
            return ""  # its start will fail, and takes up no place for long
        return self.fingerprint(route.name, key) if key else ""

    def fingerprint(self, route: str, key: str) -> str:
        """32 hex digits that tell a route's keys apart; without a key of the gateway's own, nobody can find out by
        trying which one it is.
        """
        return hmac.new(self._accounts, f"{route}\0{key}".encode(), hashlib.sha256).hexdigest()[:32]
