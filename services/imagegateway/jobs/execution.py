"""Job execution of one replica: the parts that accept, run, cancel and take over jobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imagegateway.jobs.admission import AdmissionControl
from imagegateway.jobs.background_tasks import BackgroundTasks
from imagegateway.jobs.budgets.settlement import BudgetSettlement
from imagegateway.jobs.cancellation import JobCancellation
from imagegateway.jobs.erasure import JobErasure
from imagegateway.jobs.job_calls import JobCalls
from imagegateway.jobs.job_steps import JobSteps
from imagegateway.jobs.job_writer import JobWriter
from imagegateway.jobs.open_calls import OpenCalls
from imagegateway.jobs.polling import PollSchedule
from imagegateway.jobs.pricing import Pricing
from imagegateway.jobs.reconciler import Reconciler
from imagegateway.jobs.route_fallback import RouteFallback
from imagegateway.jobs.submission import JobSubmission
from imagegateway.jobs.worker import Worker

if TYPE_CHECKING:
    from imagegateway.jobs.budgets.ledger import BudgetLedger
    from imagegateway.jobs.budgets.thresholds import BudgetThresholds
    from imagegateway.jobs.circuit_breaker import CircuitBreakers
    from imagegateway.jobs.credentials import JobCredentials
    from imagegateway.jobs.feed import JobFeed
    from imagegateway.jobs.limits import Limits
    from imagegateway.jobs.membership import Membership
    from imagegateway.jobs.pricing import Price
    from imagegateway.jobs.provider_client import ProviderClient
    from imagegateway.jobs.route_fallback import Fallback
    from imagegateway.jobs.stream import JobStream
    from imagegateway.media.store import MediaStore


@dataclass(frozen=True, slots=True, kw_only=True)
class JobExecution:
    """Parts of a replica's job execution."""

    admission: AdmissionControl
    settlement: BudgetSettlement
    submission: JobSubmission
    cancellation: JobCancellation
    erasure: JobErasure
    worker: Worker
    reconciler: Reconciler
    writer: JobWriter
    polls: PollSchedule
    steps: JobSteps
    tasks: BackgroundTasks

    @classmethod
    def compose(
        cls,
        *,
        stream: JobStream,
        feed: JobFeed,
        membership: Membership,
        provider_client: ProviderClient,
        credentials: JobCredentials,
        breakers: CircuitBreakers,
        limits: Limits,
        budgets: BudgetLedger,
        thresholds: BudgetThresholds | None,
        store: MediaStore,
        price: Price,
        fallback: Fallback,
        queue_limit: int,
        tenant_bytes: int,
        tenant_stored_bytes: int,
    ) -> JobExecution:
        """Build the parts and connect them to the feed. Queued jobs start from now on."""
        owner = membership.owner
        tasks, polls, pricing = BackgroundTasks(), PollSchedule(), Pricing(price)
        steps = JobSteps(tasks)
        writer = JobWriter(stream, feed)
        calls = JobCalls(provider_client, credentials)
        admission = AdmissionControl(limits, owner)
        settlement = BudgetSettlement(budgets, thresholds, tasks, owner)
        worker = Worker(
            feed=feed,
            writer=writer,
            calls=calls,
            open_calls=OpenCalls(
                stream=stream,
                writer=writer,
                calls=calls,
                polls=polls,
                pricing=pricing,
                store=store,
                owner=owner,
            ),
            polls=polls,
            pricing=pricing,
            store=store,
            fallback=RouteFallback(fallback, breakers, admission, credentials),
            admission=admission,
            tasks=tasks,
            steps=steps,
            owner=owner,
        )
        cancellation = JobCancellation(writer, store, tasks)
        submission = JobSubmission(
            stream=stream,
            feed=feed,
            admission=admission,
            budgets=budgets,
            worker=worker,
            steps=steps,
            cancellation=cancellation,
            store=store,
            queue_limit=queue_limit,
            tenant_bytes=tenant_bytes,
            tenant_stored_bytes=tenant_stored_bytes,
            owner=owner,
        )
        reconciler = Reconciler(
            feed=feed, writer=writer, membership=membership, admission=admission, worker=worker, steps=steps
        )
        admission.start(worker.on_grant)
        feed.add_listener(admission.apply)
        feed.add_listener(worker.on_change)
        feed.add_listener(settlement.on_change)
        return cls(
            admission=admission,
            settlement=settlement,
            submission=submission,
            cancellation=cancellation,
            erasure=JobErasure(stream, writer, store, tasks),
            worker=worker,
            reconciler=reconciler,
            writer=writer,
            polls=polls,
            steps=steps,
            tasks=tasks,
        )

    async def drain(self, seconds: float) -> None:
        """Start no more jobs, and wait at most `seconds` for steps in progress.

        Calls that take longer continue in the provider servers, and a successor joins them.
        """
        self.reconciler.stop()
        self.admission.stop()
        await self.tasks.drain(seconds)
