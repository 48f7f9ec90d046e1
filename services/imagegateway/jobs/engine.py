"""Job engine: all parts of one router replica that keep and run jobs."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imagegateway.jobs.budgets import ledger
from imagegateway.jobs.budgets.ledger import BudgetLedger
from imagegateway.jobs.budgets.sweep import BudgetSweep, stored_accounts
from imagegateway.jobs.budgets.thresholds import BudgetThresholds
from imagegateway.jobs.circuit_breaker import CircuitBreakers
from imagegateway.jobs.credentials import JobCredentials
from imagegateway.jobs.execution import JobExecution
from imagegateway.jobs.feed import JobFeed
from imagegateway.jobs.idempotency import IdempotencyKeys
from imagegateway.jobs.list_index import JobListIndex
from imagegateway.jobs.membership import Membership
from imagegateway.jobs.operator_events import OperatorEvents
from imagegateway.jobs.stream import JobStream
from imagegateway.jobs.stream_check import StreamCheck
from imagegateway.jobs.stream_connection import StreamConnection
from imagegateway.jobs.usage.reports import UsageReports
from imagegateway.jobs.webhooks import WebhookDelivery
from imagegateway.keys.webhook_secrets import WebhookSecrets
from imagegateway.platform.clock import unix_millis
from imagegateway.platform.nats import bucket
from imagegateway.platform.readiness import Readiness

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from imagegateway.jobs.budgets.ledger import BudgetPolicy
    from imagegateway.jobs.limits import Limits
    from imagegateway.jobs.pricing import Price
    from imagegateway.jobs.provider_client import ProviderClient
    from imagegateway.jobs.route_fallback import Fallback
    from imagegateway.jobs.webhooks import JobView
    from imagegateway.keys.root_secret import RootSecret
    from imagegateway.media.store import MediaStore
    from imagegateway.outbound.client import Outbound
    from imagegateway.platform.nats_client import Client
    from imagegateway.platform.settings import Settings
    from imagegateway.platform.supervision import Supervisor


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEngine:
    """Parts of the engine and their lifecycle. The router hands the parts on, each where it is needed."""

    stream: JobStream
    idempotency: IdempotencyKeys
    index: JobListIndex
    feed: JobFeed
    membership: Membership
    budgets: BudgetLedger
    budget_sweep: BudgetSweep
    execution: JobExecution
    breakers: CircuitBreakers
    credentials: JobCredentials
    webhook_secrets: WebhookSecrets
    webhooks: WebhookDelivery
    readiness: Readiness
    usage: UsageReports
    _events: OperatorEvents | None
    """None without a receiver of events."""
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
        provider_client: ProviderClient,
        outbound: Outbound,
        limits: Limits,
        budget_policy: BudgetPolicy,
        price: Price,
        fallback: Fallback,
        view: JobView,
        supervisor: Supervisor,
        outage: asyncio.Event,
        clock: Callable[[], int] = unix_millis,
    ) -> JobEngine:
        """Create or update the engine's data in NATS, and build all parts. Raises nats.errors.Error.

        `supervisor` runs the background tasks of this process; `close` ends them. `outage` is set while a part is
        unavailable for too long. `clock` times the webhooks, in Unix milliseconds.
        """
        stream = await JobStream.open(client, settings.nats_replicas, settings.jobs_max_bytes, outage)
        index = await JobListIndex.open(settings.data_dir / f"jobs-{replica}.sqlite", time.time)
        feed = JobFeed(stream, index)
        membership = await Membership.open(client, settings, replica)
        # The stack's own NATS server keeps its files on the same disk.
        check = StreamCheck(stream, settings.jobs_max_bytes, None if settings.nats_url else settings.data_dir)
        breakers, credentials = CircuitBreakers(), JobCredentials(root)
        webhook_secrets = await WebhookSecrets.open(client, settings.nats_replicas, root, outage)
        events = (
            await OperatorEvents.open(client, settings, outbound, webhook_secrets)
            if settings.events_webhook
            else None
        )
        js = client.jetstream()
        accounts = await bucket(js, ledger.BUCKET, settings.nats_replicas)
        usage = await UsageReports.open(
            client, stream, settings.nats_replicas, settings.data_dir / f"usage-{replica}.sqlite"
        )
        budgets = BudgetLedger(accounts, policy=budget_policy, history=usage, feed=feed, outage=outage)
        execution = JobExecution.compose(
            stream=stream,
            feed=feed,
            membership=membership,
            provider_client=provider_client,
            credentials=credentials,
            breakers=breakers,
            limits=limits,
            budgets=budgets,
            thresholds=BudgetThresholds(budgets, events) if events else None,
            store=store,
            price=price,
            fallback=fallback,
            queue_limit=settings.queue_limit,
            tenant_bytes=settings.tenant_jobs_mib * 1024 * 1024,
            tenant_stored_bytes=settings.tenant_records_mib * 1024 * 1024,
        )
        webhooks = WebhookDelivery(
            stream=stream,
            feed=feed,
            writer=execution.writer,
            secrets=webhook_secrets,
            outbound=outbound,
            view=view,
            pauses=settings.webhook_pauses,
            owner=membership.owner,
            clock=clock,
        )
        return cls(
            stream=stream,
            idempotency=IdempotencyKeys(StreamConnection(client, outage=outage)),
            index=index,
            feed=feed,
            membership=membership,
            budgets=budgets,
            budget_sweep=BudgetSweep(
                accounts=stored_accounts(js),
                ledger=budgets,
                settlement=execution.settlement,
                feed=feed,
                stream=stream,
                membership=membership,
                steps=execution.steps,
            ),
            execution=execution,
            breakers=breakers,
            credentials=credentials,
            webhook_secrets=webhook_secrets,
            webhooks=webhooks,
            readiness=Readiness(
                {"media-store": store.check, "job-store": check.check, "job-list": index.check}, outage=outage
            ),
            usage=usage,
            _events=events,
            _supervisor=supervisor,
        )

    async def start(self) -> None:
        """Catch up with the stream, resume jobs of an earlier incarnation, and start the background tasks."""
        supervisor, execution = self._supervisor, self.execution
        self.index.start(supervisor)
        await self.feed.start(supervisor)
        await self.usage.start(supervisor)
        await self.membership.start(supervisor, execution.reconciler.reconcile)
        await execution.reconciler.reconcile()
        supervisor.spawn("job polls", execution.worker.run())
        supervisor.spawn("webhooks", self.webhooks.run())
        supervisor.spawn("budget sweep", self.budget_sweep.run())
        if self._events:
            self._events.start(supervisor)
        await self.readiness.refresh()
        supervisor.spawn("readiness", self.readiness.run())

    async def drain(self, seconds: float) -> None:
        """Start no more jobs, and wait at most `seconds` for steps in progress."""
        await self.execution.drain(seconds)

    async def close(self) -> None:
        """End the background tasks, and leave the jobs to other replicas."""
        await self._supervisor.close()
        await self.webhooks.close()
        if self._events:
            await self._events.close()
        await self.budgets.close()
        await self.membership.close()
        await self.index.close()
        await self.usage.close()
