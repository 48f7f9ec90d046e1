"""Fair queues and slot requests for tests."""

from __future__ import annotations

from imagegateway.jobs.fair_queue import FairQueue
from imagegateway.jobs.limits import LimitKey, Limits, SlotRequest
from imagegateway.jobs.slot_pool import SlotPool

BIG = 1000


def queue(
    *, route: int = BIG, tenant: int = BIG, models: dict[tuple[str, str], int] | None = None, **routes: int
) -> FairQueue:
    return FairQueue(SlotPool(Limits(routes=routes, default=route, tenant=tenant, models=models or {})))


def request(job: str, route: str = "local", tenant: str = "", slots: int = 1, model: str = "") -> SlotRequest:
    """Return a slot request of a job, whose tenant is the first letter of the job's id by default."""
    return SlotRequest(job, LimitKey(route, model=model), tenant or job[0], slots)


def drained(fair_queue: FairQueue) -> list[str]:
    """Grant slots to all jobs that may run. Return them in order."""
    return list(iter(fair_queue.grant_next, None))
