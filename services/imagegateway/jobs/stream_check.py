"""Readiness check of the job stream: a real write, and room for more."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Final

from imagegateway.jobs.stream_errors import NoRoomError, OutcomeUnknownError, RefusedError
from imagegateway.platform import disk
from imagegateway.platform.errors import ElectionError, UnansweredError, UnavailableError

if TYPE_CHECKING:
    from pathlib import Path

    from imagegateway.jobs.stream import JobStream

FULL_SHARE: Final = 0.9
"""Share of the stream's size from which new jobs are refused; the rest is for later records of accepted jobs."""
_PART: Final = "the job store"


class StreamCheck:
    """Checks the stream by a write under a name of this process's own."""

    def __init__(self, stream: JobStream, max_bytes: int, folder: Path | None) -> None:
        """`max_bytes`: largest size of the stream. `folder`: on the disk of a local NATS server; None: not local."""
        self._stream = stream
        self._max_bytes = max_bytes
        self._folder = folder
        self._name = f"check-{secrets.token_hex(6)}"

    async def check(self) -> None:
        """Raise UnavailableError when new jobs should not be accepted."""
        try:
            if self._folder:
                # Before the write: a server whose disk refuses a write accepts no others until it is restarted.
                await asyncio.to_thread(disk.require_room, self._folder)
            await self._stream.write_check(self._name)
            used = await self._stream.used_bytes()
        except NoRoomError:
            raise UnavailableError(f"{_PART} has no room") from None
        except OutcomeUnknownError as error:
            silence = ElectionError if self._stream.connected else UnansweredError
            raise silence(f"{_PART} does not answer") from error
        except RefusedError as error:
            raise UnavailableError(f"{_PART} takes no writes") from error
        except OSError as error:
            raise UnavailableError(disk.reason(error, _PART)) from error
        if used > self._max_bytes * FULL_SHARE:
            raise UnavailableError(f"{_PART} is full")
