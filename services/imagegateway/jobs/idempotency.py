"""Idempotency keys: each binds a tenant's key to one job id and one request, for a day."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from imagegateway.jobs.stream_connection import NAME
from imagegateway.jobs.stream_errors import (
    NoRoomError,
    OutcomeUnknownError,
    RefusedError,
    StaleError,
    refusal,
    unavailable,
)
from imagegateway.jobs.stream_messages import read_claim
from imagegateway.platform.stored_values import Decoder

if TYPE_CHECKING:
    from imagegateway.jobs.stream_connection import StreamConnection

CLAIM_SECONDS: Final = 86_400
"""Lifetime of a claim."""
_EXPECTED_SEQUENCE: Final = "Nats-Expected-Last-Subject-Sequence"


@dataclass(frozen=True, slots=True)
class IdempotencyClaim:
    """Job and request that an idempotency key is bound to."""

    job_id: str
    request_digest: str
    mine: bool
    """True if this call made the claim."""


class IdempotencyKeys:
    """Claims of idempotency keys, kept in the job stream on the subjects `k.<digest>`."""

    def __init__(self, connection: StreamConnection) -> None:
        self._connection = connection
        self._decoder = Decoder(NAME)

    async def claim(self, tenant: str, key: str, job_id: str, request_digest: str) -> IdempotencyClaim:
        """Bind a key to a job id and a request, or return its existing claim.

        Raises GatewayError SERVICE_UNAVAILABLE when the engine can't be reached.
        """
        try:
            return await self._connection.patiently(lambda: self._claim(tenant, key, job_id, request_digest))
        except OutcomeUnknownError:
            raise unavailable() from None

    async def _claim(self, tenant: str, key: str, job_id: str, request_digest: str) -> IdempotencyClaim:
        subject = "k." + hashlib.sha256(f"{tenant}\0{key}".encode()).hexdigest()
        value = json.dumps({"job_id": job_id, "request": request_digest}).encode()
        new = IdempotencyClaim(job_id, request_digest, mine=True)
        if await self._write(subject, value, 0):
            return new
        message = await self._connection.get_message({"last_by_subj": subject})
        if message is None:
            raise unavailable()
        existing = self._decoder.decode(subject, message.data, read_claim)
        if existing is not None:
            return IdempotencyClaim(*existing, mine=existing[0] == job_id)
        if not await self._write(subject, value, message.seq):  # replaces an unreadable claim
            raise unavailable()
        return new

    async def _write(self, subject: str, value: bytes, expected: int) -> bool:
        """Write a claim unless another has come since the expected sequence. Return whether it was stored.

        Raises OutcomeUnknownError, and GatewayError SERVICE_UNAVAILABLE when the engine has no room.
        """
        headers = {_EXPECTED_SEQUENCE: str(expected), "Nats-TTL": f"{CLAIM_SECONDS}s"}
        error = (await self._connection.request(subject, value, headers)).get("error")
        if error is None:
            return True
        failure = refusal(error)
        if isinstance(failure, StaleError):
            return False
        raise unavailable() if isinstance(failure, NoRoomError | RefusedError) else failure
