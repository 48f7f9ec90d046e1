"""A cluster of three nats-servers, one of them killed under load or frozen."""

from __future__ import annotations

import asyncio
import gc
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import nats.errors
import pytest
from imagegateway.admin.v1.audit_event_pb2 import AuditActor
from imagegateway.jobs import states
from imagegateway.jobs.stream import Entry, JobStream
from imagegateway.jobs.stream_connection import NAME, StreamConnection
from imagegateway.jobs.stream_errors import OutcomeUnknownError, StaleError
from imagegateway.keys import api_keys, audit_log, provider_keys, tenants, webhook_secrets
from imagegateway.keys.api_keys import ApiKey, fingerprint
from imagegateway.keys.audit_log import SUCCEEDED, AuditLog
from imagegateway.keys.key_store import KeyStore
from imagegateway.keys.provider_keys import ProviderKeys
from imagegateway.keys.root_secret import RootSecret
from imagegateway.keys.tenants import TenantPolicy, TenantStore
from imagegateway.keys.webhook_secrets import WebhookSecrets
from imagegateway.platform.errors import GatewayError
from imagegateway.platform.nats import connect

from tests.jobs import records
from tests.jobs.feeds import Feed
from tests.jobs.server import PATIENCE, Cluster, cluster, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.platform.nats_client import Client


pytestmark = [
    pytest.mark.processes,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
WRITERS = 6
T = TypeVar("T")
ROOT = RootSecret("a root secret of tests")


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("cluster")) as servers:
        yield servers


@pytest.fixture
async def clients(three: Cluster) -> AsyncIterator[list[Client]]:
    made = [await connect(three.settings, f"client-{index}") for index in range(3)]
    yield made
    await asyncio.gather(*(client.close() for client in made))
    # nats-py leaves abandoned connections open while a server starts: close them here, not in another test.
    del made
    gc.collect()


async def once_elected(attempt: Callable[[], Awaitable[T]]) -> T:
    """Return the result of an attempt once the cluster has elected its leaders."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await attempt()
            except (nats.errors.Error, OSError):
                await asyncio.sleep(0.1)


async def opened(client: Client) -> JobStream:
    return await once_elected(lambda: JobStream.open(client, 3))


async def seen(attempt: Callable[[], Awaitable[T]], wanted: T) -> None:
    """Wait until a read returns a value: a server that led before answers for a moment after its return."""
    end = asyncio.get_running_loop().time() + PATIENCE
    while (found := await attempt()) != wanted:
        assert asyncio.get_running_loop().time() < end, f"{found}, not {wanted}"
        await asyncio.sleep(0.1)


async def read(stream: JobStream, job_id: str) -> Entry | None:
    """Return a job's newest record once the stream has a leader: a returning node may cause another election."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await stream.last(job_id)
            except OutcomeUnknownError:
                await asyncio.sleep(0.1)


async def leader_of(client: Client, stream: str) -> str:
    """Return the name of the server that leads a stream, once there is one."""
    async with asyncio.timeout(PATIENCE):
        while True:
            info = await once_elected(lambda: client.jetstream().stream_info(stream))
            if info.cluster and info.cluster.leader:
                return info.cluster.leader
            await asyncio.sleep(0.1)


async def test_new_feed_has_all_acknowledged_writes(clients: list[Client]) -> None:
    """The feed's consumer may be at a follower behind the leader's acknowledged writes."""
    stream = await opened(clients[0])
    streams = [JobStream(StreamConnection(client)) for client in clients]
    for _ in range(15):
        entry = await stream.create(records.job())
        feeds = [Feed(each, entry.seq - 1) for each in streams]
        await asyncio.gather(*(feed.__aenter__() for feed in feeds))
        try:
            await asyncio.gather(*(feed.until(entry.seq) for feed in feeds))
            for feed in feeds:
                assert feed.items[0] == entry
        finally:
            await asyncio.gather(*(feed.__aexit__(None, None, None) for feed in feeds))


async def test_reads_see_acknowledged_writes(clients: list[Client]) -> None:
    await opened(clients[0])
    streams = [JobStream(StreamConnection(client)) for client in clients]
    for index in range(40):
        entry = await streams[index % 3].create(records.job())
        found = await asyncio.gather(*(stream.last(entry.record.id) for stream in streams))
        assert found == [entry] * 3


@pytest.mark.parametrize("bucket", [webhook_secrets.BUCKET, provider_keys.BUCKET])
async def test_secrets_and_provider_keys_wait_while_the_leader_is_frozen(
    three: Cluster, clients: list[Client], bucket: str
) -> None:
    await opened(clients[0])
    secrets = [await once_elected(partial(WebhookSecrets.open, client, 3, ROOT)) for client in clients]
    keys = [await once_elected(partial(ProviderKeys.open, client, 3, ROOT)) for client in clients]
    first = await secrets[0].get("acme")
    await keys[0].set("acme", "bfl", "the first key")
    leader = await leader_of(clients[0], f"KV_{bucket}")
    async with three.nodes[leader].frozen(8):
        found, rotated, stored, listed, deleted = await asyncio.gather(
            secrets[0].get("other"),
            secrets[1].rotate("acme"),
            keys[0].set("acme", "fal", "the second key"),
            keys[1].list("acme", ["bfl"]),
            keys[2].delete("acme", "bfl"),
        )
    assert rotated.previous == first.secret
    assert deleted
    assert [key.route for key in listed] in ([], ["bfl"])
    await seen(lambda: secrets[2].get("acme"), rotated)
    await seen(lambda: secrets[2].get("other"), found)
    await seen(lambda: keys[2].list("acme", ["bfl", "fal"]), [stored])
    await keys[2].delete("acme", "fal")


@pytest.mark.parametrize("bucket", [api_keys.BUCKET, tenants.BUCKET, audit_log.BUCKET])
async def test_administration_waits_while_the_leader_is_frozen(
    three: Cluster, clients: list[Client], bucket: str
) -> None:
    await opened(clients[0])
    keys = [await once_elected(partial(KeyStore.open, client, 3, ROOT)) for client in clients]
    policies = [await once_elected(partial(TenantStore.open, client, 3)) for client in clients]
    logs = [await once_elected(partial(AuditLog.open, client, three.settings)) for client in clients]
    tenant = f"tenant of {bucket}"
    before = [(await keys[0].create(tenant))[1] for _ in range(3)]
    event = logs[0].event(AuditActor(type="gateway"), "CreateKey", tenant=tenant)
    leader = await leader_of(clients[0], f"KV_{bucket}")

    async def change() -> tuple[str, ApiKey]:
        async with logs[0].change(event):
            return await keys[0].create(tenant)

    async with three.nodes[leader].frozen(8):
        others = asyncio.gather(
            policies[0].update(tenant, lambda policy: replace(policy, media_days=3)),
            keys[1].list(),
            logs[1].page(lambda _: True, 10),
        )
        (secret, made), rotation, updated, revoked = await asyncio.gather(
            change(),
            keys[1].rotate(before[0].id, 60),
            keys[2].update(before[1].id, lambda key: replace(key, name="updated")),
            keys[0].revoke(before[2].id),
        )
        policy, listed, _ = await others
    assert rotation
    issued, rotated = rotation
    assert updated
    assert revoked
    assert {key.id for key in listed if key.tenant == tenant} <= {made.id, *(key.id for key in before)}
    assert (fingerprint(secret), fingerprint(issued)) == (made.digest, rotated.digest)

    async def stored_keys() -> dict[str, ApiKey]:
        return {key.id: key for key in await keys[2].list(revoked=True) if key.tenant == tenant}

    async def outcomes() -> list[str]:
        events = (await logs[2].page(lambda each: each.tenant == tenant, 10)).events
        return [each.outcome for each in events]

    async def stored_policies() -> list[TenantPolicy]:
        return [each for each in await policies[2].list() if each.name == tenant]

    await seen(stored_keys, {key.id: key for key in (made, rotated, updated, revoked)})
    await seen(stored_policies, [policy])
    await seen(outcomes, [SUCCEEDED])


class Load:
    """Writers that submit jobs as a client does, and bring each to its end."""

    def __init__(self, streams: list[JobStream]) -> None:
        self.accepted: dict[str, Entry] = {}
        self.stop = False
        self._tasks = [asyncio.create_task(self._write(streams[index % len(streams)])) for index in range(WRITERS)]

    async def end(self) -> None:
        self.stop = True
        await asyncio.gather(*self._tasks)

    async def _write(self, stream: JobStream) -> None:
        while not self.stop:
            entry = await self._submit(stream, records.job(state=states.SUBMITTING))
            self.accepted[entry.record.id] = entry
            for state in (states.RUNNING, states.COMPLETED):
                entry = await stream.advance(entry, records.follow(entry, state))
            self.accepted[entry.record.id] = entry

    async def _submit(self, stream: JobStream, record: JobRecord) -> Entry:
        """Submit with retries under the same id, as with an idempotency key."""
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    return await stream.create(record)
                except StaleError:  # an earlier attempt was written after all
                    found = await self._found(stream, record.id)
                    if found:
                        return found
                except (GatewayError, OutcomeUnknownError):
                    await asyncio.sleep(0.1)

    async def _found(self, stream: JobStream, job_id: str) -> Entry | None:
        try:
            return await stream.last(job_id)
        except OutcomeUnknownError:
            return None


async def test_no_acknowledged_write_is_lost_when_the_leader_is_killed(three: Cluster, clients: list[Client]) -> None:
    stream = await opened(clients[0])
    streams = [JobStream(StreamConnection(client)) for client in clients]
    begin = await stream.last_sequence()
    async with Feed(streams[0], begin) as first, Feed(streams[1], begin) as second:
        load = Load(streams)
        await until(lambda: len(load.accepted) >= 60)
        leader = await leader_of(clients[0], NAME)
        three.nodes[leader].kill()
        goal = len(load.accepted) + 60
        await until(lambda: len(load.accepted) >= goal)
        three.nodes[leader].start()
        goal = len(load.accepted) + 60
        await until(lambda: len(load.accepted) >= goal)
        await load.end()
        # No job is lost, and each is where its writer left it.
        for job_id, entry in load.accepted.items():
            assert entry.ended
            assert await read(stream, job_id) == entry
        end = max(entry.seq for entry in load.accepted.values())
        for feed in (first, second):
            await feed.until(end)
            seqs = [entry.seq for entry in feed.entries]
            # In order, each once, without gaps: no record here is overwritten.
            assert seqs == list(range(begin + 1, end + 1))
            received: dict[str, list[int]] = {}
            for entry in feed.entries:
                received.setdefault(entry.record.id, []).append(entry.record.state)
            assert all(
                received[job_id] == [states.SUBMITTING, states.RUNNING, states.COMPLETED] for job_id in load.accepted
            )
