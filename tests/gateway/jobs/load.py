"""Load of retrying clients: each job has an idempotency key and is followed to its end."""

from __future__ import annotations

import http.client
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tests.gateway.jobs import sse
from tests.gateway.jobs.calls import ASYNC, marked, with_mark
from tests.support.stack import eventually

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.gateway.jobs.calls import Caller
    from tests.gateway.jobs.receiver import Receiver

KINDS: Final[tuple[Mapping[str, str], ...]] = (ASYNC, {}, {"prefer": "wait=1"})
CLIENT_SECONDS: Final = 90.0
END_SECONDS: Final = 90.0


@dataclass(slots=True)
class Client:
    """The client of one job."""

    index: int
    thread: threading.Thread
    job_id: str = ""
    follower: sse.Follower | None = None
    broken: list[str] = field(default_factory=list)
    """Failures of calls before one was accepted."""
    failure: BaseException | None = None


@dataclass(slots=True)
class Load:
    """Concurrent clients, started within `spread` seconds."""

    caller: Caller
    receiver: Receiver
    count: int
    spread: float = 1.0
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    clients: list[Client] = field(default_factory=list)

    def start(self) -> Load:
        self.receiver.hook(f"/{self.mark}")
        for index in range(self.count):
            thread = threading.Thread(target=self._run, args=(index,), daemon=True)
            self.clients.append(Client(index, thread))
        for client in self.clients:
            client.thread.start()
        return self

    def some_run(self) -> None:
        """Return when half of the clients have their jobs, so that a fault meets all kinds of them."""
        eventually(
            lambda: len(with_mark(self.caller.jobs(), self.mark)) >= self.count // 2, 60, "half of the jobs are there"
        )

    def verify(self) -> None:
        """Assert that every client has its job, and that readers, subscribers and receivers saw one success."""
        for client in self.clients:
            client.thread.join(CLIENT_SECONDS)
            assert not client.thread.is_alive(), (client.index, client.broken)
            if client.failure:
                raise client.failure
        ids = [client.job_id for client in self.clients]
        assert len(set(ids)) == self.count
        jobs = [self.caller.end(job_id, END_SECONDS) for job_id in ids]
        bad = [(job["status"], job.get("error")) for job in jobs if job["status"] != "completed"]
        assert not bad, bad
        for job in jobs:
            assert self.caller.fetch(job["result_url"])
        assert {job["id"] for job in with_mark(self.caller.jobs(), self.mark)} == set(ids)
        for client in self.clients:
            assert client.follower
            self._verify_events(client.follower)
        self._verify_webhooks(set(ids))
        for job in jobs:  # nothing that came afterwards has changed the end
            now = self.caller.job(job["id"])
            assert (now["status"], now["completed_at"]) == (job["status"], job["completed_at"])

    def _verify_events(self, follower: sse.Follower) -> None:
        events = follower.result(END_SECONDS)
        assert events[-1].name == "job.completed"
        ids = {event.id for event in events}
        kept = sse.read_all(self.caller, follower.job_id, events[0].id)
        assert {event.id for event in kept if not event.terminal} <= ids, "a gap"

    def _verify_webhooks(self, ids: set[str]) -> None:
        path = f"/{self.mark}"

        def announced() -> set[str]:
            return {delivery.event["data"]["id"] for delivery in self.receiver.on(path)}

        eventually(lambda: announced() == ids, END_SECONDS, "every end is announced")
        seen: dict[str, set[tuple[str, str]]] = {}
        for delivery in self.receiver.on(path):
            seen.setdefault(delivery.event["data"]["id"], set()).add((delivery.id, delivery.event["type"]))
        assert {len(kinds) for kinds in seen.values()} == {1}
        assert len({kind for kinds in seen.values() for kind, _ in kinds}) == len(ids)

    def _run(self, index: int) -> None:
        client = self.clients[index]
        try:
            time.sleep(self.spread * index / self.count)
            client.job_id = self._accepted(client)
            client.follower = sse.Follower(self.caller, client.job_id)
        except BaseException as error:  # noqa: BLE001  the test's own thread raises it again
            client.failure = error

    def _accepted(self, client: Client) -> str:
        headers = {**KINDS[client.index % len(KINDS)], "idempotency-key": f"{self.mark}-{client.index}"}
        fields: dict[str, Any] = {
            "metadata": marked(self.mark),
            "webhook_url": f"http://{self.receiver.host}/{self.mark}",
            "provider_options": {"delay": 0.5 + client.index % 6 * 0.5},
        }
        deadline = time.monotonic() + CLIENT_SECONDS
        while True:
            try:
                answer = self.caller.generate(headers, **fields)
            except (OSError, http.client.HTTPException) as error:
                client.broken.append(repr(error))
            else:
                if answer.status in {200, 202}:
                    job_id: str = answer.json()["id"]
                    return job_id
                client.broken.append(f"{answer.status} {answer.body!r}")
                assert answer.status == 503, client.broken
            assert time.monotonic() < deadline, client.broken
            time.sleep(0.2)
