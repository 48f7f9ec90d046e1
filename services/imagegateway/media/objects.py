"""Objects of the media store: keys, and references in messages.

A key states the day on which its object is deleted. Results are `results/<YYYY-MM-DD>/<sha256>-<job>`; results that
arrive in pieces have 64 random hex digits until their hash is known. `<job>`, a hash of the job's id, has 16 of them:
jobs share no object, so each can be erased. Keys of earlier versions lack this part. Uploads (input images) are
`uploads/<YYYY-MM-DD>/<32 random hex digits>`. The date is the UTC day of the deletion.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from imagegateway.provider.v1 import provider_service_pb2 as pb

if TYPE_CHECKING:
    from imagegateway.media.images import ImageInfo

DEFAULT_DAYS: Final = 7
"""Full days for which results are kept by default, and uploads that no job has deleted."""
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_RESULT: Final = r"[0-9a-f]{64}(?:-[0-9a-f]{16})?"
_KEY: Final = re.compile(rf"results/{_DAY.pattern}/{_RESULT}|uploads/{_DAY.pattern}/[0-9a-f]{{32}}")


class ObjectKind(StrEnum):
    """Kind of an object: the first part of its key."""

    RESULT = "results"
    UPLOAD = "uploads"


@dataclass(frozen=True, slots=True)
class MediaObject:
    """Object in the store, until the day of its deletion."""

    key: str
    size: int
    """Bytes."""
    sha256: str = ""
    """SHA-256 of a result's bytes, 64 hex digits. Empty for uploads: `MediaStore.digest` computes their hash."""

    def reference(self, info: ImageInfo) -> pb.MediaRef:
        """Return the reference that messages carry instead of the bytes."""
        return pb.MediaRef(
            key=self.key,
            sha256=self.sha256,
            media_type=info.media_type,
            width=info.width,
            height=info.height,
            size=self.size,
        )


@dataclass(frozen=True, slots=True)
class ResultOwner:
    """Owner of results: a job, and the full days for which its results are kept."""

    job_id: str
    days: int = DEFAULT_DAYS

    @classmethod
    def of(cls, job_id: str, task: pb.ImageTask) -> ResultOwner:
        """Return the owner of a task's results."""
        return cls(job_id, task.media_days or DEFAULT_DAYS)

    def name(self, digest: str) -> str:
        """Return the name of a result with a SHA-256, 64 hex digits."""
        return f"{digest}-{hashlib.sha256(self.job_id.encode()).hexdigest()[:16]}"


def new_key(kind: ObjectKind, name: str, now: float, days: int = DEFAULT_DAYS) -> str:
    """Return the key of an object that is written at `now` (Unix seconds) and kept for a number of full days."""
    # One more day: the first day is partly over.
    last = datetime.fromtimestamp(now, UTC).date() + timedelta(days=days + 1)
    return f"{kind}/{last.isoformat()}/{name}"


def check_key(key: str) -> str:
    """Return a key. Raise ValueError for a malformed one."""
    deletion_time(key)
    return key


def deletion_time(key: str) -> int:
    """Return the Unix seconds from which an object may be deleted: midnight UTC of the day in its key.

    Raises ValueError for a malformed key.
    """
    if not _KEY.fullmatch(key):
        raise ValueError("not a key of the media store")
    return _midnight(key.split("/")[1])


@lru_cache(maxsize=256)
def _midnight(day: str) -> int:
    """Return the Unix seconds of midnight UTC. Raises ValueError for a day that no calendar has."""
    return int(datetime.fromisoformat(f"{day}T00:00:00Z").timestamp())


def result_digest(key: str) -> str:
    """Return the SHA-256 in a result's key, 64 hex digits."""
    return key.rpartition("/")[2].partition("-")[0]


def is_due(day: str, now: float) -> bool:
    """Return True when a folder's name is a day whose objects may be deleted at `now` (Unix seconds)."""
    return _DAY.fullmatch(day) is not None and day <= datetime.fromtimestamp(now, UTC).date().isoformat()
