"""Job documents of the API, read for people."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

Job: TypeAlias = dict[str, Any]
"""A job, as `GET /v1/jobs/{id}` returns it."""

ENDED: Final = frozenset({"completed", "failed", "cancelled"})
"""Terminal statuses."""


def has_ended(job: Job) -> bool:
    """Return True for a job in a terminal status."""
    return job["status"] in ENDED


def prompt(job: Job) -> str:
    """Return the job's prompt. Empty where the gateway keeps none."""
    text: str = job.get("request", {}).get("prompt", "")
    return text


def filenames(job: Job) -> list[str]:
    """Return the names of the job's files, as `/v1/files/jobs/{id}/{name}` takes them, such as `0.png`."""
    entries = job.get("result", {}).get("data", [])
    return [PurePosixPath(urlsplit(entry["url"]).path).name for entry in entries if "url" in entry]


def status(job: Job) -> str:
    """Return the status in words, with the jobs ahead of a queued one and the progress of a running one."""
    if job["status"] == "queued" and (ahead := job.get("queue_position")) is not None:
        return f"queued, {ahead} ahead" if ahead else "queued, next"
    if job["status"] == "running" and "progress" in job:
        return f"running, {job['progress']} %"
    text: str = job["status"]
    return text


def cost(amount: dict[str, Any] | None) -> str:
    """Return a cost, such as `0.04 USD (estimate)`. Empty for an unknown one."""
    if not amount or "amount" not in amount:
        return ""
    figure = f"{amount['amount']:.6f}".rstrip("0").rstrip(".")
    return f"{figure} {amount['currency']}" + (" (estimate)" if amount.get("estimated") else "")


def duration(job: Job) -> str:
    """Return the time from acceptance to the end, such as `12 s`. Empty for an unfinished job."""
    if "completed_at" not in job:
        return ""
    seconds = max(job["completed_at"] - job["created_at"], 0)
    if seconds >= 60:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds} s" if seconds else "under 1 s"


def age(job: Job, now: float) -> str:
    """Return the time since acceptance in its largest unit, such as `5 min`. `now`: Unix seconds."""
    seconds = max(int(now - job["created_at"]), 0)
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
