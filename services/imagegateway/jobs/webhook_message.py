"""Webhook message: the event that announces a job's end, signed by Standard Webhooks."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import TYPE_CHECKING

from google.protobuf.json_format import MessageToDict
from imagegateway.jobs import states
from standardwebhooks import Webhook

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.v1.job_pb2 import Job


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
