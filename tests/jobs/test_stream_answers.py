"""Answers of the job stream's server: a message, none, or an outcome that is not known."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import nats.errors
import pytest
from imagegateway.jobs import stream as stream_module
from imagegateway.jobs import stream_connection
from imagegateway.jobs.stream import JobStream
from imagegateway.jobs.stream_check import StreamCheck
from imagegateway.jobs.stream_connection import PATIENCE_SECONDS, RETRY_PAUSE, StreamConnection
from imagegateway.jobs.stream_errors import OutcomeUnknownError
from imagegateway.jobs.stream_messages import Message
from imagegateway.platform import patience
from imagegateway.platform.errors import ElectionError, GatewayError, UnansweredError

from tests.jobs import records
from tests.jobs.memory import MemoryConnection, StreamLog, memory_stream

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


async def test_newest_record_is_read_again_until_the_engine_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imagegateway.platform.backoff.FIRST_SECONDS", 0.0)
    log = StreamLog()
    stream = memory_stream(log)
    entry = await stream.create(records.job())
    log.down = True
    reading = asyncio.create_task(stream.last_patiently(entry.record.id))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not reading.done(), "no answer counts as no record"
    log.down = False
    found = await reading
    assert found is not None
    assert found.seq == entry.seq


class FakeTime:
    """Monotonic time of the stream, which passes in its pauses alone. `events`: actions by their time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.events: dict[float, Callable[[], None]] = {}
        clock = SimpleNamespace(monotonic=lambda: self.now, perf_counter=time.perf_counter)
        for module in (stream_connection, stream_module):
            monkeypatch.setattr(module, "time", clock)
        for module in (patience, stream_module):
            monkeypatch.setattr(module, "asyncio", SimpleNamespace(sleep=self.sleep))

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        for due in [due for due in self.events if due <= self.now]:
            self.events.pop(due)()


Attempt = Callable[[JobStream], Awaitable[object]]
WAITING: dict[str, Attempt] = {
    "read": lambda stream: stream.last("job_1"),
    "list": lambda stream: stream.newest(),
    "new job": lambda stream: stream.create(records.job()),
}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    return FakeTime(monkeypatch)


@pytest.fixture
def silent() -> MemoryConnection:
    """Connection to an engine that does not answer."""
    connection = MemoryConnection(StreamLog())
    connection.log.down = True
    return connection


@pytest.mark.parametrize("attempt", WAITING.values(), ids=WAITING)
async def test_calls_wait_for_two_elections_in_a_row(
    clock: FakeTime, silent: MemoryConnection, attempt: Attempt
) -> None:
    elections = 20.0
    clock.events[elections] = lambda: setattr(silent.log, "down", False)
    await attempt(JobStream(silent))
    assert elections <= clock.now < elections + 2 * RETRY_PAUSE


@pytest.mark.parametrize("attempt", WAITING.values(), ids=WAITING)
async def test_calls_fail_when_the_engine_stays_silent(
    clock: FakeTime, silent: MemoryConnection, attempt: Attempt
) -> None:
    with pytest.raises((OutcomeUnknownError, GatewayError)):
        await attempt(JobStream(silent))
    assert PATIENCE_SECONDS <= clock.now < PATIENCE_SECONDS + 2 * RETRY_PAUSE


@pytest.mark.parametrize("attempt", WAITING.values(), ids=WAITING)
async def test_outage_ends_the_wait_of_calls_and_later_ones_fail_at_once(
    clock: FakeTime, silent: MemoryConnection, attempt: Attempt
) -> None:
    clock.events[3.0] = silent.outage.set
    for _ in range(2):
        with pytest.raises((OutcomeUnknownError, GatewayError)):
            await attempt(JobStream(silent))
        assert clock.now < 3.0 + 2 * RETRY_PAUSE


@pytest.mark.parametrize(("is_connected", "is_election"), [(True, True), (False, False)])
async def test_silent_servers_that_can_be_reached_may_elect_a_leader(is_connected: bool, is_election: bool) -> None:
    stream = JobStream(connection(nats.errors.TimeoutError(), is_connected=is_connected))
    with pytest.raises(UnansweredError, match=r"^the job store does not answer$") as caught:
        await StreamCheck(stream, 1 << 40, None).check()
    assert isinstance(caught.value, ElectionError) is is_election
