"""Retries of webhooks on fake parts: their times, their end, and faults that cost no attempt."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from imagegateway.jobs import states, webhooks
from imagegateway.jobs.stream import Entry
from imagegateway.jobs.stream_errors import StaleError
from imagegateway.keys.webhook_secrets import UnreadableSecretError
from imagegateway.outbound.client import DownloadError
from imagegateway.platform.errors import UnansweredError
from imagegateway.v1.job_pb2 import Job, WebhookAttempt

from tests.jobs import records
from tests.support.metrics import Added

if TYPE_CHECKING:
    from collections.abc import Callable

    from imagegateway.job.v1.job_record_pb2 import JobRecord

NOW = 1_800_000_000_000
PAUSES = (5.0, 30.0, 120.0)
SECRET = "whsec_" + "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"


@dataclass
class Timers:
    """Timers that fire only by the test."""

    times: list[tuple[float, str]] = field(default_factory=list)
    """Unix seconds and job of each timer, in the order of their setting."""

    def set(self, at: float, job_id: str) -> None:
        self.times.append((at, job_id))


@dataclass
class Delivery:
    """Webhook delivery whose stream, receiver and secrets are the test's."""

    entry: Entry
    answers: list[int | Exception]
    """Statuses of the receiver, or what a call raises, in order."""
    sent: int = 0
    conflicts: list[JobRecord] = field(default_factory=list)
    """Records that another writer writes just before this replica's next writes."""
    secret_error: Exception | None = None
    timers: Timers = field(default_factory=Timers)

    def open(self, monkeypatch: pytest.MonkeyPatch) -> Delivery:
        monkeypatch.setattr(webhooks, "Timers", lambda: self.timers)
        self.live = {self.entry.record.id: self.entry}
        self._listeners: list[Callable[[Entry], None]] = []
        parts: Any = SimpleNamespace(
            live=self.live,
            add_listener=self._listeners.append,
            advance=self.advance,
            last_patiently=self.last,
            get=self.secret,
            post=self.post,
        )
        self.delivery = webhooks.WebhookDelivery(
            stream=parts,
            feed=parts,
            writer=parts,
            secrets=parts,
            outbound=parts,
            view=lambda record: Job(id=record.id),
            pauses=PAUSES,
            owner="me",
            clock=lambda: NOW,
        )
        return self

    async def send(self) -> JobRecord:
        """Send the webhook once, and return the newest record."""
        self.delivery.send_due(self.entry.record.id)
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})
        return self.entry.record

    async def post(self, _url: str, **_options: object) -> int:
        self.sent += 1
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def secret(self, _tenant: str) -> object:
        if self.secret_error:
            raise self.secret_error
        return SimpleNamespace(signing=lambda _now: [SECRET])

    async def last(self, _job_id: str) -> Entry:
        return self.entry

    async def advance(self, entry: Entry, record: JobRecord) -> Entry:
        if self.conflicts:
            self._write(self.conflicts.pop(0))
        if entry.seq != self.entry.seq:
            raise StaleError
        return self._write(record)

    def _write(self, record: JobRecord) -> Entry:
        self.entry = self.live[record.id] = Entry(self.entry.seq + 1, record)
        for listener in self._listeners:
            listener(self.entry)
        return self.entry


def ended(attempts: int = 0, next_at: int = NOW, **fields: Any) -> Entry:
    """Return an ended job of this replica whose webhook is due."""
    record = records.job(state=states.COMPLETED, webhook_url="https://example.com/hook", owner="me", **fields)
    record.webhook.attempts.extend(WebhookAttempt(at=number, error="no") for number in range(attempts))
    record.webhook.next_at = next_at
    return Entry(10, record)


@pytest.mark.parametrize(("attempts", "pause"), list(enumerate(PAUSES)))
@pytest.mark.parametrize("answer", [199, 300, 500, DownloadError("no answer")])
async def test_failed_attempt_is_repeated_after_its_pause(
    monkeypatch: pytest.MonkeyPatch, attempts: int, pause: float, answer: int | Exception
) -> None:
    delivery = Delivery(ended(attempts), [answer]).open(monkeypatch)
    webhook = (await delivery.send()).webhook
    assert not webhook.delivered
    assert webhook.attempts[-1].error
    assert 0.9 * pause <= (webhook.next_at - NOW) / 1000 <= 1.1 * pause
    assert delivery.timers.times == [(webhook.next_at / 1000, delivery.entry.record.id)]


@pytest.mark.parametrize(
    ("attempts", "answer", "delivered"), [(0, 200, True), (0, 299, True), (0, 410, False), (3, 500, False)]
)
async def test_success_refusal_for_good_and_the_last_pause_end_the_attempts(
    monkeypatch: pytest.MonkeyPatch, attempts: int, answer: int, *, delivered: bool
) -> None:
    delivery = Delivery(ended(attempts), [answer]).open(monkeypatch)
    webhook = (await delivery.send()).webhook
    assert (webhook.delivered, webhook.next_at) == (delivered, 0)
    assert webhook.attempts[-1].status_code == answer
    assert not delivery.timers.times


async def test_redeliveries_keep_the_newest_fifty_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    webhook = (await Delivery(ended(50), [500]).open(monkeypatch).send()).webhook
    assert len(webhook.attempts) == 50
    assert webhook.attempts[0].at == 1
    assert webhook.attempts[-1].status_code == 500


@pytest.mark.parametrize(
    ("entry", "sent"),
    [
        (ended(), 1),
        (ended(next_at=NOW + 1), 0),
        (ended(next_at=0), 0),
        (Entry(10, records.job(webhook_url="https://example.com", owner="me")), 0),
        (Entry(10, records.follow(ended(), states.COMPLETED, owner="another")), 0),
    ],
)
async def test_only_a_due_webhook_of_an_own_ended_job_is_sent(
    monkeypatch: pytest.MonkeyPatch, entry: Entry, sent: int
) -> None:
    delivery = Delivery(entry, [200]).open(monkeypatch)
    await delivery.send()
    assert delivery.sent == sent


async def test_webhook_in_progress_is_not_sent_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    delivery = Delivery(ended(), [200, 200]).open(monkeypatch)
    delivery.delivery.send_due(delivery.entry.record.id)
    await delivery.send()
    assert delivery.sent == 1


@pytest.mark.parametrize(
    ("error", "seconds"), [(UnreadableSecretError("acme"), 60.0), (UnansweredError("the job store"), 1.0)]
)
async def test_fault_of_the_gateway_costs_no_attempt(
    monkeypatch: pytest.MonkeyPatch, error: Exception, seconds: float
) -> None:
    monkeypatch.setattr("time.time", lambda: 1000.0)
    delivery = Delivery(ended(), [200], secret_error=error).open(monkeypatch)
    record = await delivery.send()
    assert not record.webhook.attempts
    assert delivery.timers.times == [(1000.0 + seconds, record.id)]
    delivery.secret_error = None
    assert (await delivery.send()).webhook.delivered


async def test_write_of_the_provider_calls_cost_keeps_the_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    delivery = Delivery(ended(), [200]).open(monkeypatch)
    delivery.conflicts = [delivery.entry.copy()]
    delivery.conflicts[0].cost.amount = 0.5
    record = await delivery.send()
    assert record.cost.amount == 0.5
    assert (record.webhook.delivered, record.webhook.next_at, len(record.webhook.attempts)) == (True, 0, 1)


async def test_redelivery_that_is_requested_meanwhile_stays_due(monkeypatch: pytest.MonkeyPatch) -> None:
    delivery = Delivery(ended(next_at=NOW - 5), [200, 200]).open(monkeypatch)
    delivery.conflicts = [delivery.entry.copy()]
    delivery.conflicts[0].webhook.next_at = NOW - 1
    record = await delivery.send()
    assert (record.webhook.delivered, record.webhook.next_at, len(record.webhook.attempts)) == (False, NOW - 1, 1)
    assert delivery.timers.times[-1] == ((NOW - 1) / 1000, record.id)
    assert (await delivery.send()).webhook.delivered
    assert delivery.sent == 2


@pytest.mark.parametrize(
    ("attempts", "answer", "outcome"),
    [(0, 200, "delivered"), (0, 500, "failed"), (3, 500, "abandoned"), (0, 410, "abandoned")],
)
async def test_attempt_counts_as_abandoned_only_when_no_other_follows(
    monkeypatch: pytest.MonkeyPatch, attempts: int, answer: int, outcome: str
) -> None:
    added = Added()
    await Delivery(ended(attempts), [answer]).open(monkeypatch).send()
    assert added.series("imagegateway_webhook_attempts_total") == {(outcome,): 1}
