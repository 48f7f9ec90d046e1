"""The job engine's parts, put together for one router replica."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imagegateway.jobs.circuit_breaker import Health
from imagegateway.jobs.credentials import Credentials
from imagegateway.jobs.feed import Hub
from imagegateway.jobs.list_index import JobIndex
from imagegateway.jobs.membership import Replicas
from imagegateway.jobs.runner import Runner
from imagegateway.jobs.stream import JobStream
from imagegateway.jobs.stream_check import StreamCheck
from imagegateway.jobs.webhooks import Webhooks
from imagegateway.keys.webhook_secrets import WebhookSecrets
from imagegateway.platform.readiness import Readiness

if TYPE_CHECKING:
    from imagegateway.jobs.fair_queue import Limits
    from imagegateway.jobs.provider_client import Families
    from imagegateway.jobs.routing import Fallback
    from imagegateway.jobs.webhooks import View
    from imagegateway.jobs.worker import Price
    from imagegateway.keys.root_secret import RootSecret
    from imagegateway.media.store import MediaStore
    from imagegateway.outbound.client import Outbound
    from imagegateway.platform.settings import Settings
    from imagegateway.platform.supervision import Supervisor
    from nats.aio.client import Client


@dataclass(frozen=True, slots=True)
class Engine:
    """What the public services use of it, and its life."""

    stream: JobStream
    index: JobIndex
    hub: Hub
    replicas: Replicas
    runner: Runner
    secrets: WebhookSecrets
    webhooks: Webhooks
    health: Health
    credentials: Credentials
    readiness: Readiness
    _supervisor: Supervisor

    @classmethod
    async def open(
        cls,
        *,
        settings: Settings,
        client: Client,
        replica: int,
        root: RootSecret,
        store: MediaStore,
        families: Families,
        outbound: Outbound,
        limits: Limits,
        price: Price,
        fallback: Fallback,
        view: View,
        supervisor: Supervisor,
    ) -> Engine:
        """Make or bring up to date what the engine keeps in NATS. Raises nats.errors.Error.

        `supervisor` runs the background tasks of this process; `close` ends them.
        """
        stream = await JobStream.open(client, settings.nats_replicas, settings.jobs_max_bytes)
        index = await JobIndex.open(settings.data_dir / f"jobs-{replica}.sqlite", time.time)
        hub = Hub(stream, index)
        replicas = await Replicas.open(client, settings, replica)
        # The stack's own server has its files beside ours.
        check = StreamCheck(stream, settings.jobs_max_bytes, None if settings.nats_url else settings.data_dir)
        readiness = Readiness({"media-store": store.check, "job-store": check.check, "job-list": index.check})
        health = Health()
        credentials = Credentials(root)
        runner = Runner(
            stream=stream,
            hub=hub,
            families=families,
            replicas=replicas,
            limits=limits,
            store=store,
            price=price,
            fallback=fallback,
            health=health,
            credentials=credentials,
            queue_limit=settings.queue_limit,
            tenant_bytes=settings.tenant_jobs_mib * 1024 * 1024,
            tenant_stored_bytes=settings.tenant_records_mib * 1024 * 1024,
        )
        secrets = await WebhookSecrets.open(client, settings.nats_replicas, root)
        webhooks = Webhooks(
            stream=stream,
            hub=hub,
            replicas=replicas,
            secrets=secrets,
            outbound=outbound,
            view=view,
            pauses=settings.webhook_pauses,
        )
        return cls(
            stream, index, hub, replicas, runner, secrets, webhooks, health, credentials, readiness, supervisor
        )

    async def start(self) -> None:
        """Catch up with the stream, take up what an earlier life left, and go to work."""
        supervisor = self._supervisor
        self.index.start(supervisor)
        await self.hub.start(supervisor)
        await self.replicas.start(supervisor, self.runner.reconcile)
        self.runner.reconcile()
        supervisor.spawn("job polls", self.runner.run())
        supervisor.spawn("webhooks", self.webhooks.run())
        await self.readiness.refresh()
        supervisor.spawn("readiness", self.readiness.run())

    async def close(self) -> None:
        """End the background tasks, and leave the work to other replicas."""
        await self._supervisor.close()
        await self.replicas.close()
        await self.index.close()
