"""Webhook messages: the event of an ended job, signatures by Standard Webhooks, and the rules of attempts."""

from __future__ import annotations

import hashlib
import hmac
import json
import random
from typing import TYPE_CHECKING, Final

from google.protobuf.json_format import MessageToDict
from imagegateway.jobs import states
from standardwebhooks import Webhook

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.v1.job_pb2 import Job

ATTEMPT_SECONDS: Final = 10.0
"""Timeout of an attempt."""
GONE: Final = 410
"""Status with which a receiver ends the attempts."""
_JITTER: Final = 0.1


def jittered(pause: float) -> float:
    """Return a pause between attempts, up to a tenth shorter or longer."""
    return pause * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311  only spreads load


def event_id(record: JobRecord) -> str:
    """Return the event's id, the same in every attempt, so that receivers recognize repetitions."""
    return f"evt_{record.id.removeprefix('job_')}"


def event_body(record: JobRecord, job: Job) -> str:
    """Return the event as JSON. `job`: the ended job as callers see it."""
    event = {
        "id": event_id(record),
        "object": "event",
        "type": f"job.{states.PUBLIC[record.state]}",
        "created_at": record.completed_at // 1000,
        "data": MessageToDict(job, preserving_proto_field_name=True),
    }
    return json.dumps(event, separators=(",", ":"))


def sign(secrets: Sequence[str], message_id: str, at: datetime, body: str) -> dict[str, str]:
    """Return the headers of an attempt: Standard Webhooks with every secret, `X-Gateway-Signature` with the first."""
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
