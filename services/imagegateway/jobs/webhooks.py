"""Announces the end of jobs to their callers: Standard WebhookDelivery, with retries that no restart forgets.

When the next attempt is due stands in the job's record; here it is an entry in a heap. The replica that owns the
job sends; when it is gone, the one that takes the job over does.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import random
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import nats.errors
from google.protobuf.json_format import MessageToDict
from imagegateway.jobs import states
from imagegateway.jobs.background_tasks import BackgroundTasks
from imagegateway.jobs.stream import OutcomeUnknownError, StaleError
from imagegateway.jobs.timers import Timers
from imagegateway.keys.webhook_secrets import UnreadableSecretError
from imagegateway.outbound.url_guard import OutboundError
from imagegateway.platform import logs
from imagegateway.platform.tenant_slots import TenantSlots
from imagegateway.v1.job_pb2 import WebhookAttempt
from standardwebhooks import Webhook

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.v1.job_pb2 import Job

    View = Callable[[JobRecord], Job]

    from imagegateway.jobs.feed import JobFeed
    from imagegateway.jobs.membership import Membership
    from imagegateway.jobs.stream import Entry, JobStream
    from imagegateway.keys.webhook_secrets import WebhookSecrets
    from imagegateway.outbound.client import Outbound

ATTEMPT_SECONDS: Final = 10.0
_JITTER: Final = 0.1
_KEPT_ATTEMPTS: Final = 50
_AT_ONCE: Final = 50
_AT_ONCE_EACH: Final = 10
"""Deliveries of one tenant at once: a receiver that hangs takes up no more."""
_log = logs.get(__name__)


class WebhookDelivery:
    """Sends what is due."""

    def __init__(
        self,
        *,
        stream: JobStream,
        feed: JobFeed,
        membership: Membership,
        secrets: WebhookSecrets,
        outbound: Outbound,
        view: View,
        pauses: Sequence[float],
    ) -> None:
        self._stream = stream
        self._feed = feed
        self._membership = membership
        self._secrets = secrets
        self._outbound = outbound
        self._view = view
        self._pauses = pauses
        self._timers = Timers(lambda job_id: self._tasks.spawn(self._send(job_id)))
        self._sending: set[str] = set()
        self._tasks = BackgroundTasks()
        self._slots = TenantSlots(_AT_ONCE, _AT_ONCE_EACH)
        feed.watch(self._learn)

    async def run(self) -> None:
        """Send what is due, for ever."""
        await self._timers.run()

    async def redeliver(self, entry: Entry) -> Entry:
        """Make an ended job's webhook due now, on this replica. Raises OutcomeUnknownError."""
        while True:
            record = entry.copy()
            record.owner = self._membership.me
            record.webhook.next_at = _now()
            record.webhook.delivered = False
            try:
                entry = await self._stream.advance(entry, record)
            except StaleError:
                newer = await self._stream.last(record.id)
                if newer is None:
                    raise OutcomeUnknownError from None
                entry = newer
                continue
            self._feed.wrote(entry)
            return entry

    def _learn(self, entry: Entry) -> None:
        webhook = entry.record.webhook
        if entry.ended and webhook.next_at and entry.record.owner == self._membership.me:
            self._timers.set(webhook.next_at / 1000, entry.record.id)

    async def _send(self, job_id: str) -> None:
        entry = self._feed.live.get(job_id)
        if job_id in self._sending or entry is None or not entry.ended or entry.record.owner != self._membership.me:
            return
        if not 0 < entry.record.webhook.next_at <= _now():
            return
        self._sending.add(job_id)
        try:
            async with self._slots.hold(entry.record.tenant):
                attempt = await self._attempt(entry.record)
            await self._note(entry, attempt)
        except (nats.errors.Error, OSError) as error:
            _log.warning("webhook_postponed", job_id=job_id, error=type(error).__name__)
            self._timers.set(time.time() + 1, job_id)
        except UnreadableSecretError:
            _log.error("webhook_secret_unreadable", job_id=job_id)
            self._timers.set(time.time() + 60, job_id)
        except StaleError:
            # Another replica, or a redelivery: the newer record decides. It may have come while this was being sent.
            newer = self._feed.live.get(job_id)
            if newer and newer.seq > entry.seq:
                self._learn(newer)
        finally:
            self._sending.discard(job_id)

    async def _attempt(self, record: JobRecord) -> WebhookAttempt:
        now = datetime.now(UTC)
        attempt = WebhookAttempt(at=int(now.timestamp()))
        event = {
            "id": event_id(record),
            "object": "event",
            "type": f"job.{states.PUBLIC[record.state]}",
            "created_at": record.completed_at // 1000,
            "data": MessageToDict(self._view(record), preserving_proto_field_name=True),
        }
        body = json.dumps(event, separators=(",", ":"))
        secret = await self._secrets.get(record.tenant)
        headers = sign(secret.signing(now.timestamp()), event_id(record), now, body)
        try:
            status = await self._outbound.post(
                record.webhook.url, content=body.encode(), headers=headers, seconds=ATTEMPT_SECONDS
            )
        except OutboundError as error:
            attempt.error = error.reason
        else:
            attempt.status_code = status
            if not 200 <= status < 300:
                attempt.error = f"it answered with status {status}"
        return attempt

    async def _note(self, entry: Entry, attempt: WebhookAttempt) -> None:
        """Write the attempt down, and when the next one is due; a redelivery asked for meanwhile stays due.

        Raises StaleError when the record keeps changing.
        """
        try:
            entry = await self._stream.advance(entry, self._after(entry, attempt))
        except StaleError:
            newer = await self._stream.last_patiently(entry.record.id)
            if newer is None or not newer.ended:
                return
            if newer.record.webhook == entry.record.webhook:  # its provider call has ended, nothing else
                record = self._after(newer, attempt)
            else:
                record = newer.copy()
                record.webhook.attempts.append(attempt)
            entry = await self._stream.advance(newer, record)
        self._feed.wrote(entry)

    def _after(self, entry: Entry, attempt: WebhookAttempt) -> JobRecord:
        record = entry.copy()
        webhook = record.webhook
        webhook.attempts.append(attempt)
        del webhook.attempts[:-_KEPT_ATTEMPTS]
        webhook.delivered = not attempt.HasField("error")
        tries = len(webhook.attempts)
        if webhook.delivered or attempt.status_code == 410 or tries > len(self._pauses):
            webhook.next_at = 0
        else:
            pause = self._pauses[tries - 1] * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311  only spreads load
            webhook.next_at = _now() + round(pause * 1000)
        _log.info(
            "webhook_sent",
            job_id=record.id,
            attempt=tries,
            status=attempt.status_code or None,
            delivered=webhook.delivered,
            final=not webhook.next_at,
        )
        return record


def event_id(record: JobRecord) -> str:
    """The delivery's id: the same in every attempt, so that receivers can tell a repetition."""
    return f"evt_{record.id.removeprefix('job_')}"


def sign(secrets: Sequence[str], message_id: str, at: datetime, body: str) -> dict[str, str]:
    """Headers of a delivery: Standard WebhookDelivery with every secret, and `X-Gateway-Signature` with the first."""
    signatures = [Webhook(secret).sign(message_id, at, body) for secret in secrets]
    timestamp = int(at.timestamp())
    digest = hmac.new(secrets[0].encode(), f"{timestamp}.{body}".encode(), hashlib.sha256).hexdigest()
    return {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signatures),
        "x-gateway-signature": f"t={timestamp},v1={digest}",
    }


def _now() -> int:
    return time.time_ns() // 1_000_000
