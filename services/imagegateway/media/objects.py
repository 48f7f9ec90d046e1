"""Objects of the media store: keys, and references in messages.

A key states the day on which its object is deleted. Results are `results/<YYYY-MM-DD>/<sha256>`; results that arrive
in pieces have 64 random hex digits until their hash is known. Uploads (input images) are
`uploads/<YYYY-MM-DD>/<32 random hex digits>`. The date is the UTC day of the deletion.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from imagegateway.provider.v1 import provider_service_pb2 as pb

if TYPE_CHECKING:
    from imagegateway.media.images import ImageInfo

RETENTION_DAYS: Final = 7
"""Full days for which an object is kept."""
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_KEY: Final = re.compile(rf"results/{_DAY.pattern}/[0-9a-f]{{64}}|uploads/{_DAY.pattern}/[0-9a-f]{{32}}")


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


def new_key(kind: ObjectKind, name: str, now: float) -> str:
    """Return the key of an object that is written at `now` (Unix seconds)."""
    # One more day: the first day is partly over, and the object is kept for seven full ones.
    last = datetime.fromtimestamp(now, UTC).date() + timedelta(days=RETENTION_DAYS + 1)
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
    return int(datetime.fromisoformat(f"{key.split('/')[1]}T00:00:00Z").timestamp())


def is_due(day: str, now: float) -> bool:
    """Return True when a folder's name is a day whose objects may be deleted at `now` (Unix seconds)."""
    return _DAY.fullmatch(day) is not None and day <= datetime.fromtimestamp(now, UTC).date().isoformat()
