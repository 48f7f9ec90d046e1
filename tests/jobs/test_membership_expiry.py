"""Expiry of replicas over a fake bucket: by a newer incarnation at once, by silence after the lease."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from imagegateway.jobs import membership
from imagegateway.jobs.membership import HEARTBEAT_SECONDS, LEASE_SECONDS, Membership

OTHER = "other/1a"


@dataclass
class Entries:
    """The bucket of replicas as one replica sees it."""

    values: dict[str, bytes] = field(default_factory=dict)
    changes: list[str] = field(default_factory=list)

    def put(self, name: str, value: bytes) -> None:
        self.values[name] = value
        self.changes.append(name)

    async def update(self) -> list[SimpleNamespace]:
        changes, self.changes = self.changes, []
        return [SimpleNamespace(key=name) for name in changes]


@dataclass
class View:
    """A replica's membership, whose clock and bucket the test sets."""

    now: float = 1000.0
    entries: Entries = field(default_factory=Entries)

    def __post_init__(self) -> None:
        client: Any = SimpleNamespace(jetstream=lambda: None)
        bucket: Any = None
        self.membership = Membership(client, bucket, Path("unused"), lambda: self.now)
        self.membership.name = "me"

    async def after(self, seconds: float) -> bool:
        """Refresh the view in steps of a heartbeat. Return whether the other replica has expired."""
        for _ in range(round(seconds / HEARTBEAT_SECONDS)):
            self.now += HEARTBEAT_SECONDS
            await self.membership.refresh()
        return self.membership.is_expired(OTHER)


@pytest.fixture
async def view(monkeypatch: pytest.MonkeyPatch) -> View:
    entries = Entries()
    monkeypatch.setattr(membership, "Mirror", lambda *_: entries)
    opened = View(entries=entries)
    entries.put("other", b"1a")
    await opened.membership.refresh()
    return opened


async def test_silent_owner_expires_after_its_lease(view: View) -> None:
    assert not await view.after(LEASE_SECONDS)
    assert await view.after(HEARTBEAT_SECONDS)


async def test_heartbeat_renews_the_lease(view: View) -> None:
    await view.after(LEASE_SECONDS)
    view.entries.put("other", b"1a")
    assert not await view.after(LEASE_SECONDS)


async def test_owner_that_was_never_heard_of_expires_after_a_lease(view: View) -> None:
    assert not view.membership.is_expired("unknown/1a")
    await view.after(LEASE_SECONDS + HEARTBEAT_SECONDS)
    assert view.membership.is_expired("unknown/1a")


async def test_time_without_nats_does_not_count(view: View) -> None:
    view.membership.suspend()
    view.now += 10 * LEASE_SECONDS
    await view.membership.refresh()
    assert not await view.after(LEASE_SECONDS)


@pytest.mark.parametrize("value", [b"2b", b"gone"])
async def test_owner_that_restarted_or_stopped_has_expired_at_once(view: View, value: bytes) -> None:
    view.entries.put("other", value)
    assert await view.after(HEARTBEAT_SECONDS)


@pytest.mark.parametrize("value", [b"", b"{}", b"2 b", b"2-b", "é".encode(), b"\xff", b"2" * 65])
async def test_value_that_no_replica_wrote_expires_no_owner(view: View, value: bytes) -> None:
    view.entries.put("other", value)
    assert not await view.after(HEARTBEAT_SECONDS)


async def test_earlier_incarnations_of_this_replica_have_expired(view: View) -> None:
    assert view.membership.is_expired("me/1a")
    assert not view.membership.is_expired(view.membership.owner)


async def test_replicas_that_left_are_forgotten_after_two_leases(view: View) -> None:
    await view.after(2 * LEASE_SECONDS)
    assert view.membership.known == {"other"}
    await view.after(HEARTBEAT_SECONDS)
    assert view.membership.known == set()
    assert view.membership.is_expired(OTHER)
