"""Wait for the end of a job, whatever happens to the connection.

A queued job is polled, because no event reports its position. A running one is followed over its event stream,
which begins with the present state, also after a lost connection. Where a stream brings nothing, such as behind a
proxy that holds streams back, polling goes on to the end.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Protocol

from imagegateway.cli.client import ApiError, UnreachableError
from imagegateway.cli.images.job import Job, has_ended

if TYPE_CHECKING:
    from collections.abc import Callable

    from imagegateway.cli.client import Client

_FIRST_PAUSE: Final = 0.3
_LONGEST_PAUSE: Final = 3.0
"""Seconds between two polls, and between attempts to reconnect."""
PATIENCE_SECONDS: Final = 600.0
"""Longest time without any answer of the gateway."""
_NO_STREAM: Final = frozenset({404, 405, 406, 501})
"""Statuses of servers without the event stream."""
_TRANSIENT: Final = frozenset({408, 429})


class Observer(Protocol):
    """Listener to a wait."""

    def update(self, job: Job) -> None:
        """Take the job's present state."""

    def lose(self) -> None:
        """Take note that the connection is lost. The wait goes on."""


class Follower:
    """Wait for one job."""

    def __init__(
        self,
        client: Client,
        observer: Observer,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._observer = observer
        self._clock = clock
        self._sleep = sleep
        self._pause = _FIRST_PAUSE
        self._streams = True

    def wait(self, job: Job) -> Job:
        """Return the job in its terminal status.

        Raises ApiError for a refusal, and UnreachableError after ten minutes without an answer. The job goes on then.
        """
        path = f"/v1/jobs/{job['id']}"
        heard = self._clock()
        self._observer.update(job)
        while not has_ended(job):
            try:
                if self._streams and job["status"] != "queued":
                    job = self._stream(path, job)
                else:
                    self._sleep(self._pause)
                    self._pause = min(self._pause * 2, _LONGEST_PAUSE)
                    job = self._take(self._client.call("GET", path))
                heard = self._clock()
            except (ApiError, UnreachableError) as error:
                if not is_transient(error) or self._clock() - heard > PATIENCE_SECONDS:
                    raise
                self._observer.lose()
                self._sleep(_LONGEST_PAUSE)
        return job

    def _stream(self, path: str, job: Job) -> Job:
        """Return the last state that the event stream brings, up to its end or its break."""
        is_useful = False
        try:
            for event in self._client.events("GET", f"{path}/events"):
                if event.get("type") == "error":  # the stream ends early: this replica stops, or the key is revoked
                    break
                is_useful = True
                job = self._take(event)
        except ApiError as error:
            if error.status not in _NO_STREAM:
                raise
        except UnreachableError:
            if not is_useful:
                self._streams = False
                raise
            self._observer.lose()
        self._streams = self._streams and is_useful
        return job

    def _take(self, job: Job) -> Job:
        self._observer.update(job)
        return job


def is_transient(error: ApiError | UnreachableError) -> bool:
    """Return True for an error that another attempt may not meet."""
    return isinstance(error, UnreachableError) or error.status >= 500 or error.status in _TRANSIENT
