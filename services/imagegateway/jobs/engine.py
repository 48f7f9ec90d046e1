"""The job engine's parts, put together for one router replica."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imagegateway.jobs.circuit_breaker import CircuitBreakers
from imagegateway.jobs.credentials import JobCredentials
from imagegateway.jobs.feed import JobFeed
from imagegateway.jobs.list_index import JobListIndex
from imagegateway.jobs.membership import Membership
from imagegateway.jobs.runner import Runner
from imagegateway.jobs.stream import JobStream
from imagegateway.jobs.stream_check import StreamCheck
from imagegateway.jobs.webhooks import WebhookDelivery
from imagegateway.keys.webhook_secrets import WebhookSecrets
from imagegateway.platform.readiness import Readiness

if TYPE_CHECKING:
    from imagegateway.jobs.fair_queue import Limits
    from imagegateway.jobs.provider_client import ProviderClient
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
class JobEngine:
    """What the public services use of it, and its life."""

    stream: JobStream
    index: JobListIndex
    feed: JobFeed
    membership: Membership
    runner: Runner
    webhook_secrets: WebhookSecrets
    webhooks: WebhookDelivery
    breakers: CircuitBreakers
    credentials: JobCredentials
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
        families: ProviderClient,
        outbound: Outbound,
        limits: Limits,
        price: Price,
        fallback: Fallback,
        view: View,
        supervisor: Supervisor,
    ) -> JobEngine:
        """Make or bring up to date what the engine keeps in NATS. Raises nats.errors.Error.

        `supervisor` runs the background tasks of this process; `close` ends them.
        """
        stream = await JobStream.open(client, settings.nats_replicas, settings.jobs_max_bytes)
        index = await JobListIndex.open(settings.data_dir / f"jobs-{replica}.sqlite", time.time)
        feed = JobFeed(stream, index)
        membership = await Membership.open(client, settings, replica)
        # The stack's own server has its files beside ours.
        check = StreamCheck(stream, settings.jobs_max_bytes, None if settings.nats_url else settings.data_dir)
        readiness = Readiness({"media-store": store.check, "job-store": check.check, "job-list": index.check})
        breakers = CircuitBreakers()
        credentials = JobCredentials(root)
        runner = Runner(
            stream=stream,
            feed=feed,
            families=families,
            membership=membership,
            limits=limits,
            store=store,
            price=price,
            fallback=fallback,
            breakers=breakers,
            credentials=credentials,
            queue_limit=settings.queue_limit,
            tenant_bytes=settings.tenant_jobs_mib * 1024 * 1024,
        )
        webhook_secrets = await WebhookSecrets.open(client, settings.nats_replicas, root)
        webhooks = WebhookDelivery(
            stream=stream,
            feed=feed,
            membership=membership,
            secrets=webhook_secrets,
            outbound=outbound,
            view=view,
            pauses=settings.webhook_pauses,
        )
        return cls(
            stream,
            index,
            feed,
            membership,
            runner,
            webhook_secrets,
            webhooks,
            breakers,
            credentials,
            readiness,
            supervisor,
        )

    async def start(self) -> None:
        """Catch up with the stream, take up what an earlier life left, and go to work."""
        supervisor = self._supervisor
        self.index.start(supervisor)
        await self.feed.start(supervisor)
        await self.membership.start(supervisor, self.runner.reconcile)
        self.runner.reconcile()
        supervisor.spawn("job polls", self.runner.run())
        supervisor.spawn("webhooks", self.webhooks.run())
        await self.readiness.refresh()
        supervisor.spawn("readiness", self.readiness.run())

    async def close(self) -> None:
        """End the background tasks, and leave the work to other replicas."""
        await self._supervisor.close()
        await self.membership.close()
        await self.index.close()
