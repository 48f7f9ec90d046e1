"""Budgets for tests of operations."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imagegateway.job.v1.job_record_pb2 import JobRecord


class NoBudgets:
    """View of callers without a budget."""

    def left(self, record: JobRecord) -> int | None:
        return None

    async def check(self, record: JobRecord) -> None:
        pass
