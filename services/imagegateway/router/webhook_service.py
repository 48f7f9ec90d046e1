"""WebhookService: webhook secrets, and redelivery."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagegateway.keys.webhook_secrets import UnreadableSecretError
from imagegateway.platform.errors import GatewayError
from imagegateway.router import call_context
from imagegateway.v1 import webhook_service_pb2 as pb
from imagegateway.v1 import webhook_service_pb2_grpc as pb_grpc
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from imagegateway.keys.webhook_secrets import WebhookSecret, WebhookSecrets
    from imagegateway.platform.grpc_server import Context
    from imagegateway.router.job_operations import JobOperations
    from imagegateway.v1 import job_pb2

NAME = pb.DESCRIPTOR.services_by_name["WebhookService"].full_name


class WebhookService(pb_grpc.WebhookServiceServicer):
    """Service of the tenant's webhook secret and webhooks."""

    def __init__(self, *, secrets: WebhookSecrets, jobs: JobOperations) -> None:
        self._secrets = secrets
        self._jobs = jobs

    async def GetWebhookSecret(self, request: pb.GetWebhookSecretRequest, context: Context) -> pb.WebhookSecret:
        return await _public(self._secrets.get(call_context.current().tenant))

    async def RotateWebhookSecret(self, request: pb.RotateWebhookSecretRequest, context: Context) -> pb.WebhookSecret:
        return await _public(self._secrets.rotate(call_context.current().tenant))

    async def RedeliverWebhook(self, request: pb.RedeliverWebhookRequest, context: Context) -> job_pb2.Job:
        entry = await self._jobs.redeliver_webhook(request.job_id, call_context.current())
        return self._jobs.describe(entry)


async def _public(secret_call: Awaitable[WebhookSecret]) -> pb.WebhookSecret:
    """Return the public form of the secret that `secret_call` returns. Raises GatewayError or UnavailableError."""
    try:
        secret = await secret_call
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
