"""The job engine's parts, put together for one router replica."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.jobs.credentials import Credentials
from services.jobs.health import Health
from services.jobs.hub import Hub
from services.jobs.projection import Projection
from services.jobs.replicas import Replicas
from services.jobs.runner import Runner
from services.jobs.secrets import PURPOSE, WebhookSecrets
from services.jobs.stream import JobStream
from services.jobs.webhooks import Webhooks

if TYPE_CHECKING:
    from nats.aio.client import Client

    from services.common.outbound import Outbound
    from services.common.secrets import RootSecret
    from services.common.settings import Settings
    from services.common.store import MediaStore
    from services.jobs.families import Families
    from services.jobs.queue import Limits
    from services.jobs.routing import Fallback
    from services.jobs.webhooks import View
    from services.jobs.worker import Price


@dataclass(frozen=True, slots=True)
class Engine:
    """What the public services use of it, and its life."""

    stream: JobStream
    projection: Projection
    hub: Hub
    replicas: Replicas
    runner: Runner
    secrets: WebhookSecrets
    webhooks: Webhooks
    health: Health
    credentials: Credentials
    _background: list[asyncio.Task[None]] = field(default_factory=list)

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
    ) -> Engine:
        """Make or bring up to date what the engine keeps in NATS. Raises nats.errors.Error."""
        stream = await JobStream.open(client, settings.nats_replicas)
        projection = Projection(settings.data_dir / f"jobs-{replica}.sqlite")
        hub = Hub(stream, projection)
        replicas = await Replicas.open(client, settings, replica)
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
        )
        secrets = await WebhookSecrets.open(client, settings.nats_replicas, root.derive(PURPOSE))
        webhooks = Webhooks(
            stream=stream,
            hub=hub,
            replicas=replicas,
            secrets=secrets,
            outbound=outbound,
            view=view,
            pauses=settings.webhook_pauses,
        )
        return cls(stream, projection, hub, replicas, runner, secrets, webhooks, health, credentials)

    async def start(self) -> None:
        """Catch up with the stream, take up what an earlier life left, and go to work."""
        await self.hub.start()
        await self.replicas.start(self.runner.reconcile)
        self.runner.reconcile()
        self._background.extend(asyncio.create_task(work) for work in (self.runner.run(), self.webhooks.run()))

    async def stop(self, grace: float) -> None:
        """Start nothing more, give calls under way `grace` seconds, and leave the rest to other replicas."""
        await self.runner.drain(grace)
        for task in self._background:
            task.cancel()
        await self.replicas.close()
        await self.hub.close()
