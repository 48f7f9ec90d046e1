"""Answers of the job stream's server: a message, none, or an outcome that is not known."""

from __future__ import annotations

import base64
import json
from types import SimpleNamespace
from typing import Any

import nats.errors
import pytest
from imagegateway.jobs.stream_connection import StreamConnection
from imagegateway.jobs.stream_errors import OutcomeUnknownError
from imagegateway.jobs.stream_messages import Message

QUERY = {"last_by_subj": "j.job_1.>"}


def connection(answer: dict[str, Any] | Exception, *, is_connected: bool = True) -> StreamConnection:
    """Return a connection whose server has one answer, or whose requests raise."""

    async def request(_subject: str, _data: bytes, **_options: object) -> object:
        if isinstance(answer, Exception):
            raise answer
        return SimpleNamespace(data=json.dumps(answer).encode())

    client: Any = SimpleNamespace(jetstream=lambda: None, is_connected=is_connected, request=request)
    return StreamConnection(client)


async def test_message_is_returned_with_its_subject_and_sequence() -> None:
    answer = {"message": {"subject": "j.job_1.bfl.queued", "seq": 7, "data": base64.b64encode(b"record").decode()}}
    assert await connection(answer).get_message(QUERY) == Message("j.job_1.bfl.queued", 7, b"record")


async def test_message_that_the_stream_does_not_have_is_none() -> None:
    error = {"code": 404, "err_code": 10037, "description": "no message found"}
    assert await connection({"error": error}).get_message(QUERY) is None


@pytest.mark.parametrize(
    "error",
    [
        {"code": 404, "err_code": 10059, "description": "stream not found"},
        {"code": 503, "err_code": 10008, "description": "JetStream system temporarily unavailable"},
        {"code": 400},
    ],
)
async def test_other_errors_do_not_mean_that_no_message_exists(error: dict[str, Any]) -> None:
    with pytest.raises(OutcomeUnknownError):
        await connection({"error": error}).get_message(QUERY)


@pytest.mark.parametrize("error", [nats.errors.TimeoutError(), nats.errors.ConnectionClosedError(), OSError()])
async def test_lost_answer_leaves_the_outcome_unknown(error: Exception) -> None:
    with pytest.raises(OutcomeUnknownError):
        await connection(error).get_message(QUERY)


async def test_closed_connection_sends_nothing() -> None:
    with pytest.raises(OutcomeUnknownError):
        await connection(AssertionError("sent"), is_connected=False).get_message(QUERY)
