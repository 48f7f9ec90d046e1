"""Webhook delivery: announces the end of jobs, with retries that survive restarts.

A job's record holds the time of its next attempt; here the time is a timer. The replica that owns the job sends;
after a takeover its new owner does.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from imagegateway.jobs import job_trace
from imagegateway.jobs.background_tasks import BackgroundTasks
from imagegateway.jobs.stream_errors import StaleError
from imagegateway.jobs.timers import Timers
from imagegateway.jobs.webhook_message import ATTEMPT_SECONDS, GONE, event_body, event_id, jittered, sign
from imagegateway.keys.webhook_secrets import UnreadableSecretError
from imagegateway.outbound.url_guard import OutboundError
from imagegateway.platform import logs, metrics, trace_context, tracing
from imagegateway.platform.errors import UnavailableError
from imagegateway.platform.settings import MAX_WEBHOOK_PAUSES
from imagegateway.platform.tenant_slots import TenantSlots
from imagegateway.providers import gen_ai
from imagegateway.v1.job_pb2 import WebhookAttempt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from imagegateway.job.v1.job_record_pb2 import JobRecord, Webhook
    from imagegateway.jobs.feed import JobFeed
    from imagegateway.jobs.job_writer import JobWriter
    from imagegateway.jobs.stream import Entry, JobStream
    from imagegateway.keys.webhook_secrets import WebhookSecrets
    from imagegateway.outbound.client import Outbound
    from imagegateway.platform.spans import Attribute
    from imagegateway.v1.job_pb2 import Job

    JobView = Callable[[JobRecord], Job]
    """Returns a job as callers see it."""

_KEPT_ATTEMPTS: Final = MAX_WEBHOOK_PAUSES + 1
"""Attempts that a record keeps: their number decides whether another one follows."""
MAX_CONCURRENT: Final = 50
MAX_CONCURRENT_PER_TENANT: Final = 10
"""Concurrent attempts of one tenant, so that a receiver that hangs blocks no other tenant."""
_NATS_RETRY_SECONDS: Final = 1.0
_SECRET_RETRY_SECONDS: Final = 60.0
_log = logs.get(__name__)


class WebhookDelivery:
    """Sends the webhooks of this replica's jobs. `owner`: this replica's id as an owner of jobs."""

    def __init__(
        self,
        *,
        stream: JobStream,
        feed: JobFeed,
        writer: JobWriter,
        secrets: WebhookSecrets,
        outbound: Outbound,
        view: JobView,
        pauses: Sequence[float],
        owner: str,
        clock: Callable[[], int],
    ) -> None:
        """`pauses`: delays in seconds before each further attempt. `clock` returns Unix milliseconds."""
        self._stream = stream
        self._feed = feed
        self._writer = writer
        self._secrets = secrets
        self._outbound = outbound
        self._view = view
        self._pauses = pauses
        self._owner = owner
        self._clock = clock
        self._timers = Timers()
        self._sending: set[str] = set()
        self._tasks = BackgroundTasks()
        self._slots = TenantSlots(MAX_CONCURRENT, MAX_CONCURRENT_PER_TENANT)
        feed.add_listener(self._on_change)

    async def run(self) -> None:
        """Send webhooks at their times, without end."""
        await self._timers.run(self.send_due)

    def send_due(self, job_id: str) -> None:
        """Send a job's webhook in the background, if it is due."""
        self._tasks.spawn(self._send(job_id))

    async def close(self) -> None:
        """Cancel the attempts in progress."""
        await self._tasks.cancel()

    async def redeliver(self, entry: Entry) -> Entry:
        """Make an ended job's webhook due now, on this replica. Raises OutcomeUnknownError."""
        return await self._writer.update(entry, self._make_due)

    def _make_due(self, record: JobRecord) -> bool:
        record.owner = self._owner
        record.webhook.next_at = self._clock()
        record.webhook.delivered = False
        return True

    def _on_change(self, entry: Entry) -> None:
        webhook = entry.record.webhook
        if entry.ended and webhook.next_at and entry.record.owner == self._owner:
            self._timers.set(webhook.next_at / 1000, entry.record.id)

    async def _send(self, job_id: str) -> None:
        entry = self._feed.live.get(job_id)
        if job_id in self._sending or entry is None or not entry.ended or entry.record.owner != self._owner:
            return
        if not 0 < entry.record.webhook.next_at <= self._clock():
            return
        self._sending.add(job_id)
        job_trace.enter(entry.record)
        try:
            async with self._slots.hold(entry.record.tenant):
                attempt = await self._attempt(entry.record)
            written = await self._write_attempt(entry, attempt)
            _report(job_id, attempt, written)
        except UnavailableError as error:
            _log.warning("webhook_postponed", job_id=job_id, error=type(error).__name__)
            self._timers.set(time.time() + _NATS_RETRY_SECONDS, job_id)
        except UnreadableSecretError:
            _log.error("webhook_secret_unreadable", job_id=job_id)
            self._timers.set(time.time() + _SECRET_RETRY_SECONDS, job_id)
        except StaleError:
            # Another replica or a redelivery wrote a newer record, perhaps during the attempt: that record decides.
            newer = self._feed.live.get(job_id)
            if newer and newer.seq > entry.seq:
                self._on_change(newer)
        finally:
            self._sending.discard(job_id)

    async def _attempt(self, record: JobRecord) -> WebhookAttempt:
        """Send the event once. Raises UnreadableSecretError or UnavailableError."""
        secret = await self._secrets.get(record.tenant)  # first: an election may take seconds
        now = datetime.now(UTC)
        attempt = WebhookAttempt(at=int(now.timestamp()))
        body = event_body(record, self._view(record))
        headers = sign(secret.signing(now.timestamp()), event_id(record), now, body)
        with tracing.span("webhook", attributes=_attributes(record)) as span:
            if position := trace_context.current():
                headers |= position.headers()  # the receiver belongs to the caller, as the trace does
            try:
                status = await self._outbound.post(
                    record.webhook.url, content=body.encode(), headers=headers, seconds=ATTEMPT_SECONDS
                )
            except OutboundError as error:
                attempt.error = error.reason
                span.fail(type(error).__name__)
            else:
                attempt.status_code = status
                if not 200 <= status < 300:
                    attempt.error = f"it answered with status {status}"
                    span.fail(str(status))
        return attempt

    async def _write_attempt(self, entry: Entry, attempt: WebhookAttempt) -> Webhook | None:
        """Write an attempt and the time of the next one. A redelivery requested meanwhile stays due.

        Return the webhook of the written record; None where the job is gone. Raises StaleError when the record keeps
        changing.
        """
        try:
            return (await self._writer.advance(entry, self._after(entry, attempt))).record.webhook
        except StaleError:
            newer = await self._stream.last_patiently(entry.record.id)
            if newer is None or not newer.ended or newer.record.erased_at:
                return None
            if newer.record.webhook == entry.record.webhook:  # only the provider call has changed
                record = self._after(newer, attempt)
            else:
                record = newer.copy()
                record.webhook.attempts.append(attempt)
            return (await self._writer.advance(newer, record)).record.webhook

    def _after(self, entry: Entry, attempt: WebhookAttempt) -> JobRecord:
        """Return the record after an attempt."""
        record = entry.copy()
        webhook = record.webhook
        webhook.attempts.append(attempt)
        del webhook.attempts[:-_KEPT_ATTEMPTS]
        webhook.delivered = not attempt.HasField("error")
        tries = len(webhook.attempts)
        if webhook.delivered or attempt.status_code == GONE or tries > len(self._pauses):
            webhook.next_at = 0
        else:
            webhook.next_at = self._clock() + round(jittered(self._pauses[tries - 1]) * 1000)
        return record


def _report(job_id: str, attempt: WebhookAttempt, webhook: Webhook | None) -> None:
    """Log and count an attempt. `webhook`: that of the job's record with the attempt."""
    delivered = not attempt.HasField("error")
    final = webhook is None or not webhook.next_at
    _log.info(
        "webhook_sent",
        job_id=job_id,
        attempt=len(webhook.attempts) if webhook else None,
        status=attempt.status_code or None,
        delivered=delivered,
        final=final,
    )
    metrics.WEBHOOK_ATTEMPTS.labels("delivered" if delivered else "abandoned" if final else "failed").inc()


def _attributes(record: JobRecord) -> dict[str, Attribute]:
    return {gen_ai.JOB_ID: record.id, "imagegateway.webhook.attempt": len(record.webhook.attempts) + 1}
