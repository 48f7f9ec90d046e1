"""Client of a job's server-sent events that reconnects, as a browser does."""

from __future__ import annotations

import http.client
import json
import threading
import time
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from tests.gateway.jobs.calls import ENDED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.gateway.jobs.calls import Caller

RANK: Final = {"queued": 0, "running": 1, "completed": 2, "failed": 2, "cancelled": 2}


class BrokenStreamError(Exception):
    """The stream ended before the job did; it can be resumed."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event; a comment has no name."""

    id: int
    name: str
    data: dict[str, Any]

    @property
    def status(self) -> str:
        return str(self.data["status"])

    @property
    def terminal(self) -> bool:
        return self.name.removeprefix("job.") in ENDED


COMMENT: Final = Event(-1, "", {})


@dataclass(slots=True)
class Stream:
    """An open event stream."""

    response: http.client.HTTPResponse
    connection: http.client.HTTPConnection

    def __iter__(self) -> Iterator[Event]:
        """Yield events and comments up to the stream's end. Raises OSError, http.client.HTTPException."""
        lines: list[str] = []
        while raw := self.response.readline():
            line = raw.decode().rstrip("\n")
            if line:
                lines.append(line)
                continue
            yield _event(lines)
            lines = []
        assert not lines, lines

    def drop(self) -> None:
        """Disconnect before the stream's end."""
        self.connection.close()


@contextmanager
def open_stream(
    caller: Caller, job_id: str, after: int | None = None, *, by_query: bool = False, seconds: float = 60
) -> Iterator[Stream]:
    """Subscribe to a job. `after` goes into Last-Event-ID or into the query. Each read times out after `seconds`."""
    headers = {"authorization": f"Bearer {caller.key}", "accept": "text/event-stream"}
    path = f"/v1/jobs/{job_id}/events"
    if after is not None and by_query:
        path += f"?after={after}"
    elif after is not None:
        headers["last-event-id"] = str(after)
    with closing(http.client.HTTPConnection("127.0.0.1", caller.stack.port, timeout=seconds)) as connection:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        if response.status in {502, 503}:
            response.read()
            raise BrokenStreamError(f"status {response.status}")
        assert response.status == 200, response.read()
        assert response.getheader("content-type") == "text/event-stream"
        with response:
            yield Stream(response, connection)


def read_all(caller: Caller, job_id: str, after: int | None = None, *, by_query: bool = False) -> list[Event]:
    """Return all events of one unbroken stream, without comments."""
    with open_stream(caller, job_id, after, by_query=by_query) as stream:
        return [event for event in stream if event is not COMMENT]


def read_first(caller: Caller, job_id: str, count: int) -> list[Event]:
    """Return the first events of a stream, then disconnect."""
    with open_stream(caller, job_id) as stream:
        return list(islice((event for event in stream if event is not COMMENT), count))


def _event(lines: list[str]) -> Event:
    if all(line.startswith(":") for line in lines):
        return COMMENT
    fields = dict(line.split(": ", 1) for line in lines)
    return Event(int(fields.get("id", "-1")), fields["event"], json.loads(fields["data"]))


def check(events: list[Event], job_id: str) -> None:
    """Assert that a sequence of events is ordered, has one end, and consists of complete jobs."""
    assert events, "no event at all"
    ids = [event.id for event in events]
    assert ids == sorted(set(ids)), ids
    assert [event.terminal for event in events] == [False] * (len(events) - 1) + [True], [e.name for e in events]
    ranks = [RANK[event.status] for event in events]
    assert ranks == sorted(ranks), [event.status for event in events]
    progress = [event.data["progress"] for event in events if "progress" in event.data]
    assert progress == sorted(progress), progress
    for event in events:
        assert (event.data["id"], event.data["object"]) == (job_id, "job")
        assert event.name in {f"job.{event.status}", "job.progress"}, (event.name, event.status)


@dataclass(slots=True)
class Follower:
    """Follows one job in a thread, and resumes with the last id whenever the stream breaks."""

    caller: Caller
    job_id: str
    events: list[Event] = field(default_factory=list)
    breaks: int = 0
    failure: BaseException | None = None
    thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def result(self, seconds: float) -> list[Event]:
        """Return all events, checked. Fail if the end does not arrive in time."""
        self.thread.join(seconds)
        assert not self.thread.is_alive(), f"{self.job_id}: no end; {[event.name for event in self.events]}"
        if self.failure:
            raise self.failure
        check(self.events, self.job_id)
        return self.events

    def _run(self) -> None:
        try:
            while not (self.events and self.events[-1].terminal):
                with suppress(BrokenStreamError, OSError, http.client.HTTPException):
                    self._follow()
                    continue
                self.breaks += 1
                time.sleep(0.1)
        except BaseException as error:  # noqa: BLE001  the test's own thread raises it again
            self.failure = error

    def _follow(self) -> None:
        last = self.events[-1].id if self.events else None
        with open_stream(self.caller, self.job_id, last) as stream:
            for event in stream:
                if event is COMMENT:
                    continue
                if event.name == "error":
                    raise BrokenStreamError(event.data["error"]["code"])
                self.events.append(event)
                if event.terminal:
                    return
        raise BrokenStreamError("the stream ended before the job")
