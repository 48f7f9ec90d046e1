"""Retention of jobs: how long media, records and usage are kept, fixed when a job is accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from imagegateway.jobs import states
from imagegateway.media.objects import DEFAULT_DAYS as MEDIA_DAYS

if TYPE_CHECKING:
    from collections.abc import Callable

    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.keys.tenants import TenantPolicy
    from imagegateway.platform.settings import Settings

DAY_SECONDS: Final = 86_400
RECORD_DAYS: Final = 30
"""Default lifetime of an ended job's record in days, and that of records without a stated one."""
USAGE_DAYS: Final = 400
"""Default lifetime of usage in days: more than 13 months."""
STEP_SECONDS: Final = 3 * DAY_SECONDS
"""Lifetime of messages with a job's earlier states; longer than any job may run."""


class RetentionPolicies:
    """Retention by tenant: the tenant's policy, else the settings."""

    def __init__(self, settings: Settings, policy: Callable[[str], TenantPolicy]) -> None:
        self._settings = settings
        self._policy = policy

    def apply(self, record: JobRecord) -> None:
        """Fix the retention of a new job."""
        settings, policy = self._settings, self._policy(record.tenant)
        record.task.media_days = policy.media_days or settings.media_days
        record.retention.record_days = policy.record_days or settings.record_days
        record.retention.usage_days = policy.usage_days or settings.usage_days
        record.drop_prompts = not settings.keep_prompts


def record_seconds(record: JobRecord) -> int:
    """Return the lifetime of the message that holds a record, in seconds."""
    if record.state not in states.TERMINAL:
        return STEP_SECONDS
    return (record.retention.record_days or RECORD_DAYS) * DAY_SECONDS


def media_expire_at(record: JobRecord) -> int:
    """Return the time from which a completed job's media count as deleted, in Unix seconds."""
    return record.completed_at // 1000 + (record.task.media_days or MEDIA_DAYS) * DAY_SECONDS


def usage_expires_at(record: JobRecord) -> int:
    """Return the time of the deletion of an ended job's usage, in Unix seconds."""
    return record.completed_at // 1000 + (record.retention.usage_days or USAGE_DAYS) * DAY_SECONDS
