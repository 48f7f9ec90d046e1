"""Membership: names, incarnations, heartbeats and expiry of replicas."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from imagegateway.jobs import membership, states
from imagegateway.jobs.membership import BUCKET, LEASE_SECONDS, Membership
from imagegateway.platform.identity import load_identity, renew_identity
from imagegateway.platform.kv_mirror import snapshot
from imagegateway.platform.nats import bucket, connect
from imagegateway.platform.supervision import Supervisor
from nats.js.errors import NotFoundError

from tests.jobs import records
from tests.jobs.replica import serving
from tests.jobs.scripted_providers import ScriptedProviders
from tests.jobs.server import PATIENCE, settings_for, until
from tests.support.clock import Clock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from imagegateway.platform.nats_client import Client

    from tests.jobs.server import Nats

INTERVAL = 0.02


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "HEARTBEAT_SECONDS", INTERVAL)


@asynccontextmanager
async def member(nats: Nats, path: Path, clock: Clock | None = None) -> AsyncIterator[Membership]:
    """Yield a replica that has claimed its name, on a separate connection that closes as in a crash."""
    client = await connect(nats.settings, "replica")
    try:
        kv = await bucket(client.jetstream(), BUCKET, 1, ttl=LEASE_SECONDS)
        made = Membership(client, kv, path, clock or Clock())
        await made._claim()
        yield made
    finally:
        await client.close()


async def do_nothing() -> None:
    """Replica without jobs."""


def folder(tmp_path: Path, name: str) -> Path:
    made = tmp_path / name
    made.mkdir()
    return made / "replica-0"


# ---- identity


def test_identity_is_random_and_kept(tmp_path: Path) -> None:
    first, second = load_identity(tmp_path / "a"), load_identity(tmp_path / "b")
    assert first != second
    assert load_identity(tmp_path / "a") == first
    renewed = renew_identity(tmp_path / "a")
    assert renewed not in {first, second}
    assert load_identity(tmp_path / "a") == renewed
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b"}
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [b"", b"\xff" * 16, b"../../etc/passwd", b"a.b.c.d.e.f.g.h."])
def test_identity_that_can_not_be_one_is_replaced(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "id"
    path.write_bytes(content)
    found = load_identity(path)
    assert len(found) == 16
    assert load_identity(path) == found


async def test_hosts_with_the_same_data_directory_path_have_different_names(nats: Nats, tmp_path: Path) -> None:
    """Names contain neither host name nor path: each host has a separate directory."""
    one, other = folder(tmp_path, "one"), folder(tmp_path, "other")
    async with member(nats, one) as first, member(nats, other) as second:
        assert first.name != second.name


async def test_copied_data_directory_gets_another_name_while_the_first_replica_runs(
    nats: Nats, tmp_path: Path
) -> None:
    one, copy = folder(tmp_path, "one"), folder(tmp_path, "copy")
    async with member(nats, one) as first:
        shutil.copy(one, copy)
        async with member(nats, copy) as second:
            assert second.name != first.name
            await first.heartbeat()
            await first.refresh()
            assert not first.is_expired(second.owner)
            await second.refresh()
            assert not second.is_expired(first.owner)
            name = second.name
        # The copy keeps its new name.
        async with member(nats, copy) as again:
            assert again.name == name


async def test_copied_data_directory_does_not_take_the_other_hosts_jobs(nats: Nats, tmp_path: Path) -> None:
    async def start(_request: object) -> object:
        return records.running(after=3600)

    providers = ScriptedProviders()
    providers.on_start = start  # type: ignore[assignment]
    url = nats.settings.nats_address()
    one, copy = tmp_path / "one", tmp_path / "copy"
    async with serving(settings_for(one, NATS_URL=url), providers) as first:
        shutil.copytree(one, copy, ignore=shutil.ignore_patterns("*.sqlite*"))
        running = await first.submit(records.job())
        await first.reached(running.record.id, lambda entry: entry.record.state == states.RUNNING)
        async with serving(settings_for(copy, NATS_URL=url), providers) as second:
            await second.engine.execution.reconciler.reconcile()
            await second.engine.drain(5)
            entry = await second.stream.last(running.record.id)
            assert entry
            assert entry.record.owner == first.engine.membership.owner


async def test_restart_keeps_the_name_and_expires_its_previous_incarnation(nats: Nats, tmp_path: Path) -> None:
    path = folder(tmp_path, "one")
    async with member(nats, path) as first:
        former = first.owner
    async with member(nats, path) as again:  # at once, without waiting for a lease
        assert again.name == first.name
        assert again.is_expired(former)
        assert not again.is_expired(again.owner)


@pytest.mark.usefixtures("quick")
async def test_holder_that_does_not_answer_is_known_by_its_heartbeats(
    nats: Nats, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(membership, "PROBE_SECONDS", 0.05)

    async def never(*_arguments: object) -> None:
        """Fake of the request: the holder's host is down or too busy to respond."""

    monkeypatch.setattr(membership, "_answer", never)
    one, copy = folder(tmp_path, "one"), folder(tmp_path, "copy")
    async with member(nats, one) as first:
        shutil.copy(one, copy)
        supervisor = Supervisor()
        await first.start(supervisor, do_nothing)
        async with member(nats, copy) as second:
            assert second.name != first.name
        await supervisor.close()
        async with member(nats, one) as heir:
            assert heir.name == first.name


@pytest.mark.usefixtures("quick")
async def test_replica_whose_name_was_claimed_while_disconnected_ends(nats: Nats, tmp_path: Path) -> None:
    path = folder(tmp_path, "one")
    async with member(nats, path) as first:
        supervisor = Supervisor()
        await first._kv.put(first.name, b"anotherlife")
        await first.start(supervisor, do_nothing)
        await until(lambda: supervisor.failure)
        assert "IdentityTakenError" in str(supervisor.failure)
        await supervisor.close()


async def test_expired_or_unacknowledged_entry_is_renewed(nats: Nats, tmp_path: Path) -> None:
    async with member(nats, folder(tmp_path, "one")) as first:
        await first._kv.put(first.name, first.incarnation.encode())  # the acknowledgement was lost
        await first.heartbeat()
        await first._kv.delete(first.name)
        await first.heartbeat()
        await first._kv.purge(first.name)
        await first.heartbeat()
        assert (await first._entry()) == (first.incarnation, first._revision)


@pytest.mark.usefixtures("quick")
async def test_bucket_that_is_deleted_is_created_again_with_all_replicas(
    nats: Nats, tmp_path: Path, client: Client
) -> None:
    async with member(nats, folder(tmp_path, "one")) as first, member(nats, folder(tmp_path, "other")) as second:
        supervisor = Supervisor()
        for each in (first, second):
            await each.start(supervisor, do_nothing)
        await client.jetstream().delete_key_value(BUCKET)
        async with asyncio.timeout(PATIENCE):
            while await _entries(client) != {first.name, second.name}:  # noqa: ASYNC110  the condition is in NATS
                await asyncio.sleep(INTERVAL)
        config = (await client.jetstream().stream_info(f"KV_{BUCKET}")).config
        assert (config.max_age, config.num_replicas) == (LEASE_SECONDS, 1)
        assert supervisor.failure is None
        await supervisor.close()


async def _entries(client: Client) -> set[str]:
    """Return the names of all entries; none without the bucket."""
    try:
        return set(await snapshot(client.jetstream(), BUCKET))
    except NotFoundError:
        return set()


# ---- liveness


async def test_crashed_replica_expires_within_90_seconds_of_its_last_heartbeat(nats: Nats, tmp_path: Path) -> None:
    clock = Clock()
    async with member(nats, folder(tmp_path, "one")) as dying, member(nats, folder(tmp_path, "b"), clock) as heir:
        await heir.refresh()
        await dying.heartbeat()
        died = clock.now
        while not heir.is_expired(dying.owner):
            clock.now += membership.HEARTBEAT_SECONDS
            await heir.heartbeat()
            await heir.refresh()
        assert LEASE_SECONDS <= clock.now - died <= 75


async def test_outage_of_nats_expires_no_replica_and_restarts_no_lease(nats: Nats, tmp_path: Path) -> None:
    clock = Clock()
    async with member(nats, folder(tmp_path, "one")) as dying, member(nats, folder(tmp_path, "b"), clock) as heir:
        await heir.refresh()
        clock.now += 50
        await heir.refresh()
        # For ten minutes no replica could renew.
        heir.suspend()
        clock.now += 600
        await heir.refresh()
        assert not heir.is_expired(dying.owner)
        clock.now += 5
        await heir.refresh()
        assert not heir.is_expired(dying.owner)
        clock.now += 10
        await heir.refresh()
        assert heir.is_expired(dying.owner)


async def test_stopped_replica_is_expired_at_once(nats: Nats, tmp_path: Path) -> None:
    async with member(nats, folder(tmp_path, "one")) as leaving, member(nats, folder(tmp_path, "b")) as heir:
        await heir.refresh()
        assert not heir.is_expired(leaving.owner)
        await leaving.close()
        await heir.refresh()
        assert heir.is_expired(leaving.owner)


async def test_names_are_forgotten_long_after_their_expiry(nats: Nats, tmp_path: Path) -> None:
    clock = Clock()
    async with member(nats, folder(tmp_path, "one")) as dead, member(nats, folder(tmp_path, "b"), clock) as heir:
        await heir.refresh()
        for _ in range(3):
            clock.now += LEASE_SECONDS
            await heir.heartbeat()
            await heir.refresh()
        assert heir.known == {heir.name}
        assert heir.is_expired(dead.owner)


@pytest.mark.usefixtures("quick")
async def test_heartbeats_leave_no_consumer_and_no_subscription(nats: Nats, client: Client) -> None:
    js = client.jetstream()
    settings = settings_for(nats.settings.data_dir, NATS_URL=nats.settings.nats_address())

    async def consumers() -> int:
        streams = await js.streams_info()
        return sum(stream.state.consumer_count for stream in streams)

    async with AsyncExitStack() as held:
        up = [await held.enter_async_context(serving(settings, ScriptedProviders(), number)) for number in (0, 1)]
        before, subscriptions = await consumers(), len(up[0].client._subs)
        revision = up[0].engine.membership._revision
        await until(lambda: up[0].engine.membership._revision > revision + 40)
        assert await consumers() == before
        assert len(up[0].client._subs) == subscriptions
