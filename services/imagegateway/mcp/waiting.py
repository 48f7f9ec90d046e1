"""Wait for the end of a job, bounded in time, with progress notifications."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from imagegateway.mcp.api import ENDED, ApiError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from imagegateway.mcp.api import GatewayApi, Json

    Report = Callable[[float, float | None, str | None], Awaitable[None]]
    """Sends a progress notification: progress, total, message."""

_RECONNECT_SECONDS: Final = 1.0
_STEP: Final = 0.001
"""Smallest difference of two reported percentages: the protocol wants each one larger than the one before."""


class Progress:
    """Progress notifications of one tool call, in percent."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._percent = -_STEP
        self._message = ""

    async def update(self, job: Json) -> None:
        """Report a job's state, unless the last notification said the same."""
        message = _describe(job)
        percent = float(job.get("progress", 100 if job["status"] == "completed" else 0))
        if message == self._message and percent <= self._percent:
            return
        self._message = message
        self._percent = max(percent, self._percent + _STEP)
        await self._report(self._percent, 100, message)


async def wait(api: GatewayApi, job_id: str, seconds: float, progress: Progress) -> Json:
    """Return a job at its end, or as it is after `seconds`. Raises ApiError."""
    job: Json | None = None
    try:
        async with asyncio.timeout(seconds):
            while True:
                try:
                    async with aclosing(api.events(job_id)) as events:
                        async for job in events:
                            await progress.update(job)
                            if job["status"] in ENDED:
                                return job
                except ApiError as error:
                    if not error.passes:
                        raise
                await asyncio.sleep(_RECONNECT_SECONDS)
    except TimeoutError:
        return job or await api.job(job_id)


def _describe(job: Json) -> str:
    """Return a job's state in a few words."""
    status = str(job["status"])
    if status == "queued" and "queue_position" in job:
        return f"{job['id']} is queued, {jobs(job['queue_position'])} ahead"
    if status == "running" and "progress" in job:
        return f"{job['id']} is running, {job['progress']} % done"
    return f"{job['id']} is {status}"


def jobs(count: int) -> str:
    """Return a number of jobs in words."""
    return "1 job" if count == 1 else f"{count} jobs"
