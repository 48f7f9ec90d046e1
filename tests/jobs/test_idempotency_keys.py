"""Idempotency keys over an in-memory stream: one claim for each tenant and key, whatever the server answers."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest
from imagegateway.jobs.idempotency import CLAIM_SECONDS, IdempotencyClaim, IdempotencyKeys
from imagegateway.platform.errors import GatewayError
from imagegateway.v1.error_reason_pb2 import ErrorReason

from tests.jobs.memory import MemoryConnection, StreamLog

if TYPE_CHECKING:
    from imagegateway.jobs.stream_messages import Message

SUBJECT = "k." + hashlib.sha256(b"acme\0key").hexdigest()


class RecordingConnection(MemoryConnection):
    """Connection that records the headers of its writes, and may lose the messages that it is asked for."""

    def __init__(self, log: StreamLog) -> None:
        super().__init__(log)
        self.headers: list[dict[str, str]] = []
        self.loses_messages = False
        self.refusals: list[dict[str, Any]] = []
        """Errors with which the server answers the next writes."""

    async def request(
        self, subject: str, data: bytes, headers: dict[str, str] | None = None, seconds: float | None = None
    ) -> dict[str, Any]:
        if headers:
            self.headers.append(headers)
        if headers and self.refusals:
            return {"error": self.refusals.pop(0)}
        return await super().request(subject, data, headers, seconds)

    async def get_message(self, query: dict[str, Any]) -> Message | None:
        return None if self.loses_messages else await super().get_message(query)


@pytest.fixture
def connection() -> RecordingConnection:
    return RecordingConnection(StreamLog())


@pytest.fixture
def keys(connection: RecordingConnection) -> IdempotencyKeys:
    return IdempotencyKeys(connection)


async def test_first_claim_wins_for_its_tenant_and_key(keys: IdempotencyKeys) -> None:
    assert await keys.claim("acme", "key", "job_1", "digest") == IdempotencyClaim("job_1", "digest", mine=True)
    assert await keys.claim("acme", "key", "job_2", "other") == IdempotencyClaim("job_1", "digest", mine=False)
    assert (await keys.claim("acme", "key", "job_1", "digest")).mine, "a repeated claim of the same job is its own"
    assert (await keys.claim("acme", "other", "job_3", "digest")).mine
    assert (await keys.claim("globex", "key", "job_4", "digest")).mine


async def test_claim_is_written_where_none_is_and_expires(
    keys: IdempotencyKeys, connection: RecordingConnection
) -> None:
    await keys.claim("acme", "key", "job_1", "digest")
    [headers] = connection.headers
    assert headers["Nats-Expected-Last-Subject-Sequence"] == "0"
    assert headers["Nats-TTL"] == f"{CLAIM_SECONDS}s" == "86400s"


async def test_unreadable_claim_is_replaced_once(keys: IdempotencyKeys, connection: RecordingConnection) -> None:
    connection.log.kept[SUBJECT] = (1, b"{")
    connection.log.written.append((1, SUBJECT, b"{"))
    assert (await keys.claim("acme", "key", "job_1", "digest")).mine
    assert connection.headers[-1]["Nats-Expected-Last-Subject-Sequence"] == "1"
    assert (await keys.claim("acme", "key", "job_2", "digest")).job_id == "job_1"


async def test_claim_that_expires_between_write_and_read_is_refused_for_now(
    keys: IdempotencyKeys, connection: RecordingConnection
) -> None:
    await keys.claim("acme", "key", "job_1", "digest")
    connection.loses_messages = True
    with pytest.raises(GatewayError) as refused:
        await keys.claim("acme", "key", "job_2", "digest")
    assert refused.value.reason == ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE


async def test_claim_waits_for_the_election_of_a_leader(
    keys: IdempotencyKeys, connection: RecordingConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imagegateway.jobs.stream_connection.RETRY_PAUSE", 0.0)
    connection.refusals = [{"code": 503, "err_code": 10008, "description": "temporarily unavailable"}] * 20
    assert (await keys.claim("acme", "key", "job_1", "digest")).mine
    assert not connection.refusals


@pytest.mark.parametrize(("code", "err_code"), [(503, 10077), (500, 10047), (400, 10054)])
async def test_claim_without_room_is_refused_at_once(
    keys: IdempotencyKeys, connection: RecordingConnection, code: int, err_code: int
) -> None:
    connection.refusals = [{"code": code, "err_code": err_code}]
    with pytest.raises(GatewayError) as refused:
        await keys.claim("acme", "key", "job_1", "digest")
    assert refused.value.reason == ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE


async def test_unreachable_engine_is_unavailable(
    keys: IdempotencyKeys, connection: RecordingConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imagegateway.jobs.stream_connection.PATIENCE_SECONDS", 0.3)
    connection.log.down = True
    with pytest.raises(GatewayError) as refused:
        await keys.claim("acme", "key", "job_1", "digest")
    assert refused.value.reason == ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE
