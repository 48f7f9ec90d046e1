"""WebhookService: secrets and redeliveries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import nats.errors
from imagegateway.jobs.stream_errors import unavailable
from imagegateway.keys.webhook_secrets import UnreadableSecretError
from imagegateway.platform.errors import GatewayError, unsupported
from imagegateway.router import call_context
from imagegateway.v1 import webhook_service_pb2 as pb
from imagegateway.v1 import webhook_service_pb2_grpc as pb_grpc
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from imagegateway.keys.webhook_secrets import WebhookSecret
    from imagegateway.platform.grpc_server import Context
    from imagegateway.router.operations import Studio
    from imagegateway.v1 import job_pb2

NAME = pb.DESCRIPTOR.services_by_name["WebhookService"].full_name


class WebhookService(pb_grpc.WebhookServiceServicer):
    """A tenant sees its own secret and jobs only."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio

    async def GetWebhookSecret(self, request: pb.GetWebhookSecretRequest, context: Context) -> pb.WebhookSecret:
        return await _shown(self._studio.engine.webhook_secrets.get(call_context.current().tenant))

    async def RotateWebhookSecret(self, request: pb.RotateWebhookSecretRequest, context: Context) -> pb.WebhookSecret:
        return await _shown(self._studio.engine.webhook_secrets.rotate(call_context.current().tenant))

    async def RedeliverWebhook(self, request: pb.RedeliverWebhookRequest, context: Context) -> job_pb2.Job:
        entry = await self._studio.job(request.job_id, call_context.current())
        if not entry.record.webhook.url:
            raise unsupported("job_id", f"Job {entry.record.id} has no webhook_url.")
        if not entry.ended:
            raise unsupported("job_id", f"Job {entry.record.id} has not ended yet; its webhook will be sent then.")
        entry = await self._studio.kept(self._studio.engine.webhooks.redeliver(entry))
        return self._studio.answers.job(entry.record)


async def _shown(work: Awaitable[WebhookSecret]) -> pb.WebhookSecret:
    try:
        secret = await work
    except (nats.errors.Error, OSError):
        raise unavailable() from None
    except UnreadableSecretError:
        raise GatewayError(
            ErrorReason.ERROR_REASON_WEBHOOK_SECRET_UNREADABLE,
            "The webhook secret can't be read any more: make a new one with POST /v1/webhook-secret/rotate.",
        ) from None
    return pb.WebhookSecret(
        secret=secret.secret,
        created_at=secret.created_at,
        previous_expires_at=secret.previous_expires_at or None,
    )
