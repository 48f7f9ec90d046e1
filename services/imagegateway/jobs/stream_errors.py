"""Errors of reads from and writes to the job stream."""

from __future__ import annotations

from imagegateway.platform.errors import GatewayError
from imagegateway.v1.error_reason_pb2 import ErrorReason


class StaleError(Exception):
    """A write conflict: another writer has changed the job since it was read."""


class OutcomeUnknownError(Exception):
    """The server did not answer: the write may be stored or not."""


class NoRoomError(OutcomeUnknownError):
    """The server can't store the write now, for lack of room or of a leader; nothing is stored."""


class RefusedError(Exception):
    """The server refuses the write, and will refuse every retry."""


class RecordTooLargeError(RefusedError):
    """The record exceeds the server's maximum message size."""


def unavailable() -> GatewayError:
    """Return the caller's error for an unreachable job engine."""
    return GatewayError(
        ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE,
        "The gateway can't keep jobs at the moment; try again.",
        retry_after=2,
    )
