"""Operator events over a fake bucket: one replica delivers each, repeats it after its pauses, and drops it last."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import nats.errors
import pytest
from imagegateway.jobs import operator_events
from imagegateway.jobs.operator_events import OperatorEvents
from imagegateway.jobs.webhook_message import ATTEMPT_SECONDS
from imagegateway.keys.webhook_secrets import UnreadableSecretError
from imagegateway.outbound.client import DownloadError
from imagegateway.platform.errors import UnavailableError
from imagegateway.platform.readiness import ELECTION_SECONDS
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError
from standardwebhooks import Webhook
from structlog.testing import capture_logs

SECRET = "whsec_" + "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"
PAUSES = (5.0, 30.0)


@dataclass
class Bucket:
    """The bucket of events, which all replicas share."""

    values: dict[str, bytes] = field(default_factory=dict)
    revisions: dict[str, int] = field(default_factory=dict)
    is_down: bool = False

    async def create(self, key: str, value: bytes) -> int:
        return await self.update(key, value, last=0)

    async def get(self, key: str) -> SimpleNamespace:
        if key not in self.values:
            raise KeyNotFoundError
        return SimpleNamespace(value=self.values[key], revision=self.revisions[key])

    async def update(self, key: str, value: bytes, last: int | None) -> int:
        if self.is_down:
            raise nats.errors.TimeoutError
        if self.revisions.get(key, 0) != last:
            raise KeyWrongLastSequenceError
        self.values[key], self.revisions[key] = value, last + 1
        return last + 1

    async def delete(self, key: str, last: int) -> None:
        assert self.revisions.pop(key) == last
        del self.values[key]


@dataclass
class Operator:
    """The operator's webhook and two replicas, whose clock the test sets."""

    answers: list[int | Exception]
    now: float = 1_800_000_000.0
    bucket: Bucket = field(default_factory=Bucket)
    received: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    election: asyncio.Event | None = None
    """End of the election that the next read of the secret waits for."""
    is_readable: bool = True

    def replica(self) -> OperatorEvents:
        parts: Any = SimpleNamespace(post_trusted=self.post, get=self.secret)
        kv: Any = self.bucket
        js: Any = None
        return OperatorEvents(
            js, kv, url="https://ops.example/", outbound=parts, secrets=parts, pauses=PAUSES, clock=lambda: self.now
        )

    async def post(self, _url: str, *, content: bytes, headers: dict[str, str], seconds: float) -> int:
        assert seconds == ATTEMPT_SECONDS
        self.received.append((headers, content))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def secret(self, _tenant: str) -> SimpleNamespace:
        if not self.is_readable:
            raise UnreadableSecretError
        if election := self.election:
            self.election = None
            await election.wait()
        return SimpleNamespace(signing=lambda _now: [SECRET])

    def stored(self) -> dict[str, Any]:
        [value] = self.bucket.values.values()
        found: dict[str, Any] = json.loads(value)
        return found


@pytest.fixture(autouse=True)
def _mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operator_events, "Mirror", lambda *_: None)


async def settle() -> None:
    """Wait for the attempts in progress."""
    await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})


async def publish(events: OperatorEvents) -> None:
    await events.publish("evt_1", "budget.threshold", {"tenant": "acme"})
    await settle()


@pytest.mark.parametrize("answer", [200, 299, 410])
async def test_event_is_signed_and_forgotten_once_received_or_refused_for_good(answer: int) -> None:
    operator = Operator([answer])
    await publish(operator.replica())
    [(headers, body)] = operator.received
    event = json.loads(body)
    assert (event["id"], event["type"], event["data"]) == ("evt_1", "budget.threshold", {"tenant": "acme"})
    Webhook(SECRET).verify(body, headers)
    assert headers["webhook-id"] == "evt_1"
    assert not operator.bucket.values


@pytest.mark.parametrize("answer", [199, 300, 500, DownloadError("no answer")])
async def test_failed_attempt_is_due_again_after_its_pause(answer: int | Exception) -> None:
    operator = Operator([answer])
    await publish(operator.replica())
    stored = operator.stored()
    assert stored["attempts"] == 1
    pause = stored["next_at"] - operator.now - ATTEMPT_SECONDS
    assert 0.9 * PAUSES[0] - 1 <= pause <= 1.1 * PAUSES[0]


async def test_event_is_dropped_after_one_attempt_more_than_pauses() -> None:
    operator = Operator([500] * 9)
    events = operator.replica()
    await publish(events)
    for _ in PAUSES:
        assert operator.bucket.values
        operator.now += 1000
        events._send("evt_1")
        await settle()
    assert len(operator.received) == len(PAUSES) + 1
    assert not operator.bucket.values
    bodies = {body for _, body in operator.received}
    assert len(bodies) == 1, "each attempt sends the same event"


async def test_attempt_of_one_replica_is_not_made_by_another() -> None:
    operator = Operator([500, 200])
    first, second = operator.replica(), operator.replica()
    await publish(first)
    second._send("evt_1")
    await settle()
    assert len(operator.received) == 1, "the next attempt is not due"
    operator.now += 1000
    first._send("evt_1")
    second._send("evt_1")
    await settle()
    assert len(operator.received) == 2, "two replicas made one attempt"
    assert not operator.bucket.values


async def test_attempt_that_waits_for_an_election_is_not_made_by_another_replica_too() -> None:
    operator = Operator([200, 200])
    first, second = operator.replica(), operator.replica()
    operator.election = election = asyncio.Event()
    await first.publish("evt_1", "budget.threshold", {})
    for _ in range(10):
        await asyncio.sleep(0)
    operator.now += ELECTION_SECONDS
    second._send("evt_1")
    for _ in range(10):
        await asyncio.sleep(0)
    election.set()
    await settle()
    assert len(operator.received) == 1
    assert not operator.bucket.values


async def test_unreadable_secret_postpones_the_event_by_its_pause() -> None:
    operator = Operator([200])
    operator.is_readable = False
    events = operator.replica()
    with capture_logs() as lines:
        await publish(events)
        events._send("evt_1")
        await settle()
    assert [line["event"] for line in lines].count("webhook_secret_unreadable") == 1
    operator.is_readable = True
    operator.now += 1000
    events._send("evt_1")
    await settle()
    assert len(operator.received) == 1
    assert not operator.bucket.values


async def test_event_that_waits_is_published_once() -> None:
    operator = Operator([500])
    events = operator.replica()
    await publish(events)
    await publish(events)
    assert (len(operator.received), operator.stored()["attempts"]) == (1, 1)


async def test_event_that_can_not_be_kept_is_refused() -> None:
    operator = Operator([])
    operator.bucket.is_down = True
    with pytest.raises(UnavailableError):
        await publish(operator.replica())


@dataclass
class Copy:
    """Copy of the bucket, whose first updates fail."""

    values: dict[str, bytes]
    errors: list[Exception]

    async def update(self) -> None:
        if self.errors:
            raise self.errors.pop(0)


async def test_event_is_delivered_although_updates_fail_and_another_value_is_unreadable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    operator = Operator([500, 200])
    await publish(operator.replica())
    operator.now += 1000
    copy = Copy({"evt_0": b"{", **operator.bucket.values}, [nats.errors.TimeoutError(), OSError()])
    monkeypatch.setattr(operator_events, "Mirror", lambda *_: copy)
    monkeypatch.setattr(operator_events, "POLL_SECONDS", 0.0)
    polling = asyncio.create_task(operator.replica()._run())
    for _ in range(100):
        await asyncio.sleep(0)
    assert not polling.done(), "the delivery has ended"
    polling.cancel()
    assert not copy.errors
    assert len(operator.received) == 2
    assert not operator.bucket.values
