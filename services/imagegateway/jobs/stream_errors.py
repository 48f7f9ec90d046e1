"""Errors of reads from and writes to the job stream."""

from __future__ import annotations

from typing import Any, Final

from imagegateway.platform.errors import GatewayError
from imagegateway.platform.jetstream_codes import WRITE_IN_PROGRESS, WRONG_SEQUENCE
from imagegateway.v1.error_reason_pb2 import ErrorReason

NO_RESOURCES: Final = frozenset({10023, 10028, 10047})
"""JetStream's error codes for exceeded limits of the server or account: resources, memory, storage."""
_STREAM_FULL: Final = 10077
_SERVER_ERROR: Final = 500
"""Codes from here on concern the server's state, lower ones the message."""


class StaleError(Exception):
    """A write conflict: another writer has changed the job since it was read."""


class OutcomeUnknownError(Exception):
    """The server did not answer: the write may be stored or not."""


class NoRoomError(OutcomeUnknownError):
    """The server has no room for the write; nothing is stored."""


class RefusedError(Exception):
    """The server refuses the write, and will refuse every retry."""


class RecordTooLargeError(RefusedError):
    """The record exceeds the server's maximum message size."""


def refusal(error: dict[str, Any]) -> StaleError | OutcomeUnknownError | RefusedError:
    """Return the error of a write that the server answered with `error`.

    StaleError: another write came first. NoRoomError: a limit is exceeded. Other OutcomeUnknownError: the cluster
    elects a leader, or the leader has not finished an earlier write.
    """
    code = error.get("err_code")
    if code == WRONG_SEQUENCE:
        return StaleError()
    if code in NO_RESOURCES or code == _STREAM_FULL:
        return NoRoomError()
    is_passing = code == WRITE_IN_PROGRESS or error.get("code", 0) >= _SERVER_ERROR
    return OutcomeUnknownError() if is_passing else RefusedError(error.get("description"))


def unavailable() -> GatewayError:
    """Return the caller's error for an unreachable job engine."""
    return GatewayError(
        ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE,
        "The gateway can't keep jobs at the moment; try again.",
        retry_after=2,
    )
