"""Composition of the router's operations from the parts that they need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imagegateway.media.decoding import DecodeBudget
from imagegateway.router.image_operations import HoldPolicy, ImageOperations
from imagegateway.router.job_list import JobList
from imagegateway.router.job_lookup import JobLookup
from imagegateway.router.job_operations import JobOperations
from imagegateway.router.plan_submission import PlanSubmission
from imagegateway.router.request_planner import RequestPlanner

if TYPE_CHECKING:
    from imagegateway.jobs.engine import JobEngine
    from imagegateway.jobs.retention import RetentionPolicies
    from imagegateway.keys.provider_keys import ProviderKeys
    from imagegateway.media.store import MediaStore
    from imagegateway.outbound.client import Outbound
    from imagegateway.platform.settings import Settings
    from imagegateway.router.call_limiter import CallLimiter
    from imagegateway.router.catalog import Catalog
    from imagegateway.router.responses import ResponseBuilder


@dataclass(frozen=True, slots=True)
class Operations:
    """The operations of one router replica. Each service takes the ones that it calls."""

    planner: RequestPlanner
    submission: PlanSubmission
    images: ImageOperations
    jobs: JobOperations
    job_list: JobList
    lookup: JobLookup


def compose_operations(
    *,
    settings: Settings,
    engine: JobEngine,
    catalog: Catalog,
    provider_keys: ProviderKeys,
    responses: ResponseBuilder,
    limiter: CallLimiter,
    store: MediaStore,
    outbound: Outbound,
    retention: RetentionPolicies,
) -> Operations:
    """Return the operations of a replica."""
    execution = engine.execution
    lookup = JobLookup(engine.stream)
    submission = PlanSubmission(
        submitter=execution.submission,
        budgets=engine.budgets,
        claims=engine.idempotency,
        lookup=lookup,
        limiter=limiter,
        readiness=engine.readiness,
        sealer=engine.credentials,
        provider_keys=provider_keys,
        store=store,
        outbound=outbound,
        catalog=catalog,
        retention=retention,
        deadline_seconds=settings.job_deadline,
    )
    return Operations(
        planner=RequestPlanner(
            settings=settings,
            catalog=catalog,
            provider_keys=provider_keys,
            is_open=engine.breakers.is_open,
            readiness=engine.readiness,
            store=store,
            outbound=outbound,
            decode_budget=DecodeBudget(settings.decode_pixels),
        ),
        submission=submission,
        images=ImageOperations(
            submission=submission,
            budgets=engine.budgets,
            lookup=lookup,
            watcher=engine.feed,
            positions=execution.admission,
            readiness=engine.readiness,
            responses=responses,
            hold=HoldPolicy(settings.inline_wait, hold_for_sdks=settings.sdk_hold),
        ),
        jobs=JobOperations(
            lookup=lookup,
            watcher=engine.feed,
            canceller=execution.cancellation,
            eraser=execution.erasure,
            positions=execution.admission,
            redeliverer=engine.webhooks,
            readiness=engine.readiness,
            responses=responses,
        ),
        job_list=JobList(feed=engine.feed, lister=engine.index, reader=engine.stream),
        lookup=lookup,
    )
