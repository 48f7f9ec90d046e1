"""Operator events: a durable outbox of events for the operator's webhook.

Events wait in a bucket that all replicas follow. A replica claims an attempt by moving the event's next attempt into
the future before it sends, so each attempt is made once, and a crash costs one pause.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import nats.errors
from imagegateway.jobs.background_tasks import BackgroundTasks
from imagegateway.jobs.webhook_message import ATTEMPT_SECONDS, GONE, jittered, sign
from imagegateway.keys.webhook_secrets import UnreadableSecretError
from imagegateway.outbound.url_guard import OutboundError
from imagegateway.platform import logs
from imagegateway.platform.errors import UnavailableError
from imagegateway.platform.kv_mirror import Mirror
from imagegateway.platform.nats import bucket
from imagegateway.platform.stored_values import Decoder, StoredObject
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from imagegateway.keys.webhook_secrets import WebhookSecret, WebhookSecrets
    from imagegateway.outbound.client import Outbound
    from imagegateway.platform.settings import Settings
    from imagegateway.platform.supervision import Supervisor
    from nats.aio.client import Client
    from nats.js import JetStreamContext
    from nats.js.kv import KeyValue

BUCKET: Final = "operator_events"
SIGNER: Final = "default"
"""Tenant whose webhook secret signs: the one of the first key."""
POLL_SECONDS: Final = 2.0
_log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class PendingEvent:
    """Event that is not delivered yet."""

    body: str
    """JSON, the same in every attempt."""
    attempts: int = 0
    next_at: int = 0
    """Time of the next attempt in Unix seconds."""


class OperatorEvents:
    """Outbox and delivery. `pauses`: delays in seconds before each further attempt. `clock`: Unix seconds."""

    def __init__(
        self,
        js: JetStreamContext,
        kv: KeyValue,
        *,
        url: str,
        outbound: Outbound,
        secrets: WebhookSecrets,
        pauses: Sequence[float],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._kv = kv
        self._mirror = Mirror(js, BUCKET)
        self._decoder = Decoder(BUCKET)
        self._url = url
        self._outbound = outbound
        self._secrets = secrets
        self._pauses = pauses
        self._clock = clock
        self._tasks = BackgroundTasks()
        self._sending: set[str] = set()

    @classmethod
    async def open(
        cls, client: Client, settings: Settings, outbound: Outbound, secrets: WebhookSecrets
    ) -> OperatorEvents:
        """Open the outbox of the webhook that the settings name. Raises nats.errors.Error."""
        js = client.jetstream()
        return cls(
            js,
            await bucket(js, BUCKET, settings.nats_replicas),
            url=settings.events_webhook,
            outbound=outbound,
            secrets=secrets,
            pauses=settings.webhook_pauses,
        )

    def start(self, supervisor: Supervisor) -> None:
        """Deliver events in the background, also those of other replicas."""
        supervisor.spawn("operator events", self._run())

    async def close(self) -> None:
        """Cancel the attempts in progress."""
        await self._tasks.cancel()

    async def publish(self, event_id: str, event_type: str, data: Mapping[str, object]) -> None:
        """Queue an event. Idempotent while the event waits. Raises UnavailableError."""
        event = {
            "id": event_id,
            "object": "event",
            "type": event_type,
            "created_at": int(self._clock()),
            "data": data,
        }
        try:
            await self._kv.create(event_id, _encode(PendingEvent(json.dumps(event, separators=(",", ":")))))
        except KeyWrongLastSequenceError:
            return
        except (nats.errors.Error, OSError) as error:
            raise UnavailableError("the job store does not answer") from error
        _log.info("operator_event_queued", event_id=event_id, type=event_type)
        self._send(event_id)

    async def _run(self) -> None:
        while True:
            try:
                await self._mirror.update()
            except (nats.errors.Error, OSError) as error:
                _log.warning("operator_events_not_read", error=type(error).__name__)
            for event_id, value in list(self._mirror.values.items()):
                event = self._decoder.decode(event_id, value, _decode)
                if event and event.next_at <= self._clock():
                    self._send(event_id)
            await asyncio.sleep(POLL_SECONDS)

    def _send(self, event_id: str) -> None:
        if event_id not in self._sending:
            self._sending.add(event_id)
            self._tasks.spawn(self._attempt(event_id))

    async def _attempt(self, event_id: str) -> None:
        """Claim an attempt and make it, unless another replica does."""
        try:
            secret = await self._secret()  # before the claim, which the election of a leader may outlast
            claimed = await self._claim(event_id)
            if claimed is None:
                return
            if secret is None:
                _log.error("webhook_secret_unreadable", tenant=SIGNER)
                return
            event, revision = claimed
            done = await self._post(event_id, event, secret)
            if done or event.attempts > len(self._pauses):
                await self._kv.delete(event_id, last=revision)
        except (nats.errors.Error, OSError, UnavailableError) as error:
            _log.warning("operator_event_postponed", event_id=event_id, error=type(error).__name__)
        finally:
            self._sending.discard(event_id)

    async def _secret(self) -> WebhookSecret | None:
        """Return the secret that signs; None for an unreadable one. Raises UnavailableError."""
        try:
            return await self._secrets.get(SIGNER)
        except UnreadableSecretError:
            return None

    async def _claim(self, event_id: str) -> tuple[PendingEvent, int] | None:
        """Return an event that is due, with this attempt counted, and its revision; None if it isn't due."""
        try:
            entry = await self._kv.get(event_id)
            event = _decode(event_id, entry.value or b"")
            if event.next_at > self._clock():
                return None
            number = min(event.attempts, len(self._pauses) - 1)
            pause = jittered(self._pauses[number] if self._pauses else 0)
            claimed = replace(
                event,
                attempts=event.attempts + 1,
                next_at=int(self._clock() + ATTEMPT_SECONDS + pause),
            )
            return claimed, await self._kv.update(event_id, _encode(claimed), last=entry.revision)
        except (KeyNotFoundError, KeyWrongLastSequenceError, ValueError):
            return None

    async def _post(self, event_id: str, event: PendingEvent, secret: WebhookSecret) -> bool:
        """Send an event once. Return whether no further attempt is needed."""
        now = datetime.now(UTC)
        headers = sign(secret.signing(now.timestamp()), event_id, now, event.body)
        status, error = 0, None
        try:
            status = await self._outbound.post_trusted(
                self._url, content=event.body.encode(), headers=headers, seconds=ATTEMPT_SECONDS
            )
        except OutboundError as failure:
            error = failure.reason
        delivered = 200 <= status < 300
        _log.info(
            "operator_event_sent",
            event_id=event_id,
            attempt=event.attempts,
            status=status or None,
            error=error,
            delivered=delivered,
        )
        return delivered or status == GONE


def _encode(event: PendingEvent) -> bytes:
    return json.dumps(asdict(event)).encode()


def _decode(_event_id: str, value: bytes) -> PendingEvent:
    stored = StoredObject.parse(value)
    return PendingEvent(stored.text("body"), stored.integer("attempts"), stored.integer("next_at"))
