"""Wait for a job: queue, event stream, lost connections and servers without streams."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from imagegateway.cli.client import ApiError, Client, UnreachableError
from imagegateway.cli.images.following import PATIENCE_SECONDS, Follower
from imagegateway.cli.target import Target

from tests.support import fake_gateway
from tests.support.fake_gateway import HALFWAY, JOB_ID, KEY, QUEUED, RUNNING, FakeGateway

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class Screen:
    """Observer that remembers the job's states, and a clock that only sleeps move."""

    seen: list[str] = field(default_factory=list)
    now: float = 0.0
    pauses: list[float] = field(default_factory=list)
    on_sleep: Callable[[], None] = lambda: None

    def update(self, job: dict[str, Any]) -> None:
        text = job["status"] + (f" {job['queue_position']}" if "queue_position" in job else "")
        text += f" {job['progress']}" if "progress" in job else ""
        if not self.seen or self.seen[-1] != text:
            self.seen.append(text)

    def lose(self) -> None:
        self.seen.append("lost")

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds
        self.on_sleep()


def wait(gateway: FakeGateway, screen: Screen) -> dict[str, Any]:
    with Client(Target(gateway.url, KEY)) as client:
        return Follower(client, screen, clock=lambda: screen.now, sleep=screen.sleep).wait(gateway.job())


def test_job_is_polled_in_its_queue_and_streamed_while_it_runs() -> None:
    life = [QUEUED, QUEUED | {"queue_position": 1}, QUEUED | {"queue_position": 0}, RUNNING, HALFWAY]
    screen = Screen()
    with fake_gateway.serving(FakeGateway(life=life)) as gateway:
        assert wait(gateway, screen)["status"] == "completed"
    assert screen.seen == ["queued 2", "queued 1", "queued 0", "running", "running 50", "completed"]
    assert len(gateway.calls("GET", f"/v1/jobs/{JOB_ID}")) == 3
    assert len(gateway.calls("GET", f"/v1/jobs/{JOB_ID}/events")) == 1


def test_pauses_in_the_queue_grow_to_three_seconds() -> None:
    screen = Screen()
    with fake_gateway.serving(FakeGateway(life=[QUEUED] * 7)) as gateway:
        wait(gateway, screen)
    assert screen.pauses == [0.3, 0.6, 1.2, 2.4, 3.0, 3.0, 3.0]


def test_ended_job_needs_no_call() -> None:
    screen = Screen()
    with fake_gateway.serving(FakeGateway(life=[])) as gateway:
        wait(gateway, screen)
    assert gateway.received == []
    assert screen.seen == ["completed"]


@pytest.mark.parametrize("fault", ["cut", "error"])
def test_stream_that_ends_early_is_opened_again(fault: str) -> None:
    screen = Screen()
    with fake_gateway.serving(FakeGateway(life=[RUNNING, HALFWAY, HALFWAY], streams=[fault])) as gateway:
        assert wait(gateway, screen)["status"] == "completed"
    assert len(gateway.calls("GET", f"/v1/jobs/{JOB_ID}/events")) == 2
    assert gateway.calls("GET", f"/v1/jobs/{JOB_ID}") == []


@pytest.mark.parametrize("fault", ["empty", "refused"])
def test_server_without_a_useful_stream_is_polled_to_the_end(fault: str) -> None:
    screen = Screen()
    with fake_gateway.serving(FakeGateway(life=[RUNNING, HALFWAY, HALFWAY], streams=[fault])) as gateway:
        assert wait(gateway, screen)["status"] == "completed"
    assert len(gateway.calls("GET", f"/v1/jobs/{JOB_ID}/events")) == 1
    assert len(gateway.calls("GET", f"/v1/jobs/{JOB_ID}")) == 3


def test_proxy_that_holds_streams_back_is_polled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imagegateway.cli.client._EVENT_TIMEOUT", 0.1)
    screen = Screen()
    with fake_gateway.serving(FakeGateway(life=[RUNNING, HALFWAY, HALFWAY], streams=["silent"])) as gateway:
        assert wait(gateway, screen)["status"] == "completed"
    assert len(gateway.calls("GET", f"/v1/jobs/{JOB_ID}/events")) == 1
    assert len(gateway.calls("GET", f"/v1/jobs/{JOB_ID}")) == 3


def test_overloaded_gateway_is_asked_again() -> None:
    screen = Screen()
    with fake_gateway.serving(FakeGateway(life=[RUNNING], streams=["overloaded"])) as gateway:
        assert wait(gateway, screen)["status"] == "completed"
    assert screen.seen == ["running", "lost", "running", "completed"]


def test_gateway_that_was_away_is_found_again() -> None:
    """A port without a server refuses connections; minutes later the server is back."""
    gateway = FakeGateway(life=[RUNNING, HALFWAY])
    screen = Screen()
    with fake_gateway.serving(gateway):
        pass
    port = int(gateway.url.rpartition(":")[2])
    with ExitStack() as stack:

        def come_back() -> None:
            if screen.now > 60:
                screen.on_sleep = lambda: None
                stack.enter_context(fake_gateway.serving(gateway, port))

        screen.on_sleep = come_back
        assert wait(gateway, screen)["status"] == "completed"
    assert "lost" in screen.seen


def test_gateway_that_stays_away_ends_the_wait_after_ten_minutes() -> None:
    gateway = FakeGateway(life=[RUNNING])
    with fake_gateway.serving(gateway):
        pass
    screen = Screen()
    with pytest.raises(UnreachableError, match="can't be reached"):
        wait(gateway, screen)
    assert PATIENCE_SECONDS < screen.now < PATIENCE_SECONDS + 10


def test_revoked_key_ends_the_wait_at_once() -> None:
    screen = Screen()
    refusal = (401, {"message": "The API key is revoked.", "code": "invalid_api_key"})
    with fake_gateway.serving(FakeGateway(refusal=refusal)) as gateway, pytest.raises(ApiError, match="revoked"):
        wait(gateway, screen)
    assert len(gateway.received) == 1
