"""Fair queues and slot requests for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagegateway.jobs.fair_queue import FairQueue
from imagegateway.jobs.limits import LimitKey, Limits, SlotRequest, no_limit
from imagegateway.jobs.slot_pool import SlotPool

if TYPE_CHECKING:
    from collections.abc import Callable

BIG = 1000


def queue(
    *,
    route: int = BIG,
    tenant: int = BIG,
    models: dict[tuple[str, str], int] | None = None,
    tenant_jobs: Callable[[str], int | None] = no_limit,
    api_key_jobs: Callable[[str], int | None] = no_limit,
    **routes: int,
) -> FairQueue:
    limits = Limits(
        routes=routes,
        default=route,
        tenant=tenant,
        models=models or {},
        tenant_jobs=tenant_jobs,
        api_key_jobs=api_key_jobs,
    )
    return FairQueue(SlotPool(limits))


def request(
    job: str, route: str = "local", tenant: str = "", slots: int = 1, *, model: str = "", api_key: str = ""
) -> SlotRequest:
    """Return a slot request of a job, whose tenant is the first letter of the job's id by default."""
    return SlotRequest(job, LimitKey(route, model=model), tenant or job[0], slots, api_key)


def drained(fair_queue: FairQueue) -> list[str]:
    """Grant slots to all jobs that may run. Return them in order."""
    return list(iter(fair_queue.grant_next, None))
