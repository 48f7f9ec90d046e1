"""Job stream on a real nats-server: writes, reads, idempotency keys, and the stream itself."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import nats.errors
import pytest
from imagegateway.jobs import states, stream_connection
from imagegateway.jobs import stream as module
from imagegateway.jobs.idempotency import IdempotencyKeys
from imagegateway.jobs.states import IllegalTransitionError
from imagegateway.jobs.stream import Entry, JobStream
from imagegateway.jobs.stream_connection import NAME, StreamConnection
from imagegateway.jobs.stream_errors import OutcomeUnknownError, StaleError
from imagegateway.platform import ids
from imagegateway.platform.errors import GatewayError
from imagegateway.platform.nats import connect
from imagegateway.v1.error_reason_pb2 import ErrorReason
from nats.js import api

from tests.jobs import records
from tests.jobs.server import PATIENCE, until

if TYPE_CHECKING:
    from imagegateway.platform.nats_client import Client
    from nats.aio.msg import Msg

    from tests.jobs.server import Nats


class LossyRequests:
    """Replacement of a client's `request` that loses the server's responses to the next `count` requests."""

    def __init__(self, client: Client, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
        self.left = count
        self.sent: list[str] = []
        self._request = client.request
        monkeypatch.setattr(client, "request", self)

    async def __call__(self, subject: str, payload: bytes, **options: Any) -> Msg:
        message = await self._request(subject, payload, **options)
        self.sent.append(subject)
        if self.left:
            self.left -= 1
            raise nats.errors.TimeoutError
        return message


async def _past(stream: JobStream, job_id: str, after: int = 0) -> list[Entry]:
    return [entry async for entry in stream.history(job_id, after)]


# ---- writes


async def test_job_is_written_and_read(stream: JobStream) -> None:
    record = records.job()
    entry = await stream.create(record)
    assert await stream.last(record.id) == entry
    assert entry.record.nonce
    assert entry.record.updated_at >= entry.record.created_at
    assert not entry.ended
    assert await stream.last_sequence() == entry.seq
    assert await stream.newest() == entry.seq
    assert await stream.last(ids.job()) is None


async def test_second_job_with_an_id_is_refused(stream: JobStream) -> None:
    record = records.job()
    entry = await stream.create(record)
    with pytest.raises(StaleError):
        await stream.create(records.job(job_id=record.id, state=states.SUBMITTING))
    assert await stream.last(record.id) == entry


async def test_of_two_writers_one_wins(stream: JobStream) -> None:
    entry = await stream.create(records.job(state=states.SUBMITTING))
    results = await asyncio.gather(
        *(stream.advance(entry, records.follow(entry, state)) for state in sorted(states.TERMINAL) * 5),
        return_exceptions=True,
    )
    [won] = [result for result in results if isinstance(result, Entry)]
    assert sum(isinstance(result, StaleError) for result in results) == 14
    assert await stream.last(entry.record.id) == won
    # The same for a later writer without that read.
    with pytest.raises(StaleError):
        await stream.advance(entry, records.follow(entry, states.RUNNING))


async def test_illegal_transition_is_not_sent(stream: JobStream) -> None:
    entry = await stream.create(records.job())
    with pytest.raises(IllegalTransitionError):
        await stream.advance(entry, records.follow(entry, states.RUNNING))
    with pytest.raises(IllegalTransitionError):
        await stream.create(records.job(state=states.COMPLETED))
    assert await stream.last(entry.record.id) == entry


async def test_unacknowledged_write_is_recognized(
    stream: JobStream, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    lossy = LossyRequests(client, monkeypatch, 1)
    entry = await stream.create(records.job())
    assert len(lossy.sent) == 3  # written, refused, read back
    assert await stream.last(entry.record.id) == entry
    assert await stream.last_sequence() == 1

    lossy.left = 1
    moved = await stream.advance(entry, records.follow(entry, states.SUBMITTING))
    assert await stream.last(entry.record.id) == moved
    assert await stream.last_sequence() == 2

    # Also when the read's response is lost.
    lossy.left = 3
    moved = await stream.advance(moved, records.follow(moved, states.RUNNING))
    assert await stream.last(entry.record.id) == moved
    assert await stream.last_sequence() == 3


async def test_write_of_another_replica_is_not_recognized_as_own(
    stream: JobStream, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = await stream.create(records.job(state=states.SUBMITTING))
    other = await stream.advance(entry, records.follow(entry, states.CANCELLED))
    LossyRequests(client, monkeypatch, 1)
    with pytest.raises(StaleError):
        await stream.advance(entry, records.follow(entry, states.COMPLETED))
    assert await stream.last(entry.record.id) == other


async def test_submit_without_acknowledgement_stops_after_a_while(
    stream: JobStream, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_connection, "PATIENCE_SECONDS", 0.3)
    LossyRequests(client, monkeypatch, 100)
    with pytest.raises(OutcomeUnknownError):
        await stream.create(records.job())


async def test_message_expiry_depends_on_the_state(
    stream: JobStream, idempotency: IdempotencyKeys, client: Client
) -> None:
    entry = await stream.create(records.job(state=states.SUBMITTING))
    ended = await stream.advance(entry, records.follow(entry, states.FAILED))
    await idempotency.claim("acme", "key", ids.job(), "digest")
    js = client.jetstream()
    ttls = []
    for seq in (entry.seq, ended.seq, ended.seq + 1):
        message = await js.get_msg(NAME, seq)
        ttls.append((message.subject, (message.headers or {}).get("Nats-TTL")))
    assert ttls[0] == (f"j.{entry.record.id}.local.submitting", "259200s")
    assert ttls[1] == (f"j.{entry.record.id}.local.failed", "2592000s")
    assert ttls[2][0] is not None
    assert ttls[2][0].startswith("k.")
    assert ttls[2][1] == "86400s"


async def test_expired_record_is_not_found(
    stream: JobStream, monkeypatch: pytest.MonkeyPatch, client: Client
) -> None:
    """Expiry uses the server's clock: its shortest time to live is one second."""
    monkeypatch.setattr(module, "record_seconds", lambda _record: 1)
    entry = await stream.create(records.job(state=states.SUBMITTING))
    ended = await stream.advance(entry, records.follow(entry, states.COMPLETED))
    async with asyncio.timeout(PATIENCE):
        while (left := await stream.last(entry.record.id)) == ended:  # noqa: ASYNC110  the server's timer
            await asyncio.sleep(0.05)
    assert left is None or not left.ended


# ---- reads


async def test_history_has_the_states_in_order(stream: JobStream) -> None:
    entry = first = await stream.create(records.job())
    await stream.create(records.job())
    for state in (states.SUBMITTING, states.RUNNING, states.RUNNING, states.COMPLETED):
        entry = await stream.advance(entry, records.follow(entry, state))
        await stream.create(records.job())
    past = await _past(stream, first.record.id)
    # Of progress, the newest is kept.
    assert [item.record.state for item in past] == [
        states.QUEUED,
        states.SUBMITTING,
        states.RUNNING,
        states.COMPLETED,
    ]
    assert [item.seq for item in past] == sorted(item.seq for item in past)
    assert await _past(stream, first.record.id, past[1].seq) == past[2:]
    assert await _past(stream, first.record.id, entry.seq) == []
    assert await _past(stream, ids.job()) == []


# ---- idempotency keys


async def test_fifty_concurrent_duplicates_make_one_claim(nats: Nats, idempotency: IdempotencyKeys) -> None:
    other = await connect(nats.settings, "other")
    try:
        keys = [idempotency, IdempotencyKeys(StreamConnection(other))]
        wanted = [ids.job() for _ in range(50)]
        claims = await asyncio.gather(
            *(keys[index % 2].claim("acme", "key", job_id, "digest") for index, job_id in enumerate(wanted))
        )
    finally:
        await other.close()
    [mine] = [claim for claim in claims if claim.mine]
    assert {claim.job_id for claim in claims} == {mine.job_id}
    assert mine.job_id in wanted
    again = await idempotency.claim("acme", "key", ids.job(), "another digest")
    assert (again.job_id, again.request_digest, again.mine) == (mine.job_id, "digest", False)


async def test_keys_are_separate_for_each_tenant(idempotency: IdempotencyKeys) -> None:
    claims = [
        await idempotency.claim(tenant, key, ids.job(), "digest")
        for tenant, key in (("acme", "key"), ("other", "key"), ("acme", "key2"), ("acm", "ekey"), ("a", "\n .*>é"))
    ]
    assert all(claim.mine for claim in claims)


async def test_claim_survives_a_crash(nats: Nats, stream: JobStream, idempotency: IdempotencyKeys) -> None:
    mine = await idempotency.claim("acme", "key", ids.job(), "digest")
    nats.kill()
    await until(lambda: not stream.connected)
    nats.start()
    await until(lambda: stream.connected)
    again = await idempotency.claim("acme", "key", ids.job(), "digest")
    assert (again.job_id, again.mine) == (mine.job_id, False)


async def test_unacknowledged_claim_is_mine_when_repeated(
    idempotency: IdempotencyKeys, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = ids.job()
    LossyRequests(client, monkeypatch, 1)
    assert (await idempotency.claim("acme", "key", job_id, "digest")).mine


async def test_key_is_stored_as_a_digest(idempotency: IdempotencyKeys, client: Client) -> None:
    await idempotency.claim("acme", "a secret order number", ids.job(), "digest")
    message = await client.jetstream().get_msg(NAME, 1)
    assert "secret" not in f"{message.subject} {message.data!r}"
    assert set(json.loads(message.data or b"")) == {"job_id", "request"}


# ---- the stream itself


async def test_stream_is_opened_by_several_replicas_at_once(nats: Nats) -> None:
    clients = [await connect(nats.settings, f"opener-{index}") for index in range(4)]
    try:
        await asyncio.gather(*(JobStream.open(client, 1) for client in clients))
        await asyncio.gather(*(JobStream.open(client, 1) for client in clients))
        info = await clients[0].jetstream().stream_info(NAME)
    finally:
        await asyncio.gather(*(client.close() for client in clients))
    config = info.config
    assert (config.max_msgs_per_subject, config.allow_msg_ttl, config.allow_direct) == (1, True, False)
    assert config.subjects == ["j.*.*.*", "k.*"]
    assert config.storage == api.StorageType.FILE


async def test_older_stream_is_upgraded(nats: Nats) -> None:
    clients = [await connect(nats.settings, f"opener-{index}") for index in range(2)]
    try:
        js = clients[0].jetstream()
        await js.add_stream(api.StreamConfig(name=NAME, subjects=["j.*.*.*"], max_msgs_per_subject=1))
        await js.publish("j.old.local.queued", records.job(job_id="old").SerializeToString())
        first, _ = await asyncio.gather(*(JobStream.open(client, 1) for client in clients))
        assert (await IdempotencyKeys(StreamConnection(clients[0])).claim("acme", "key", ids.job(), "digest")).mine
        old = await first.last("old")
        assert old is not None
        moved = await first.advance(old, records.follow(old, states.SUBMITTING))
        assert (await first.last("old")) == moved
    finally:
        await asyncio.gather(*(client.close() for client in clients))


async def test_new_jobs_wait_for_a_server_that_is_away_for_seconds(
    nats: Nats, stream: JobStream, idempotency: IdempotencyKeys
) -> None:
    entry = await stream.create(records.job())
    nats.kill()
    await until(lambda: not stream.connected)
    job_id = ids.job()
    works = (
        asyncio.create_task(stream.create(records.job(job_id=job_id))),
        asyncio.create_task(idempotency.claim("acme", "key", job_id, "digest")),
        asyncio.create_task(stream.advance(entry, records.follow(entry, states.SUBMITTING))),
    )
    nats.start()
    created, claim, moved = await asyncio.wait_for(asyncio.gather(*works), PATIENCE)
    assert await stream.last(job_id) == created
    assert claim.mine
    assert await stream.last(entry.record.id) == moved


async def test_unreachable_server_fails_new_jobs_after_a_while(
    nats: Nats, stream: JobStream, idempotency: IdempotencyKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_connection, "PATIENCE_SECONDS", 0.3)
    entry = await stream.create(records.job())
    nats.kill()
    await until(lambda: not stream.connected)
    try:
        for work in (stream.create(records.job()), idempotency.claim("acme", "key", ids.job(), "digest")):
            with pytest.raises(GatewayError) as caught:
                await asyncio.wait_for(work, PATIENCE)
            assert caught.value.reason == ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE
            assert caught.value.retry_after
        with pytest.raises(OutcomeUnknownError):
            await asyncio.wait_for(stream.last(entry.record.id), PATIENCE)
    finally:
        nats.start()
