"""Replicas of a provider server: where calls begin, where other routers find them, and what a stop refuses."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from imagegateway.jobs import provider_client as module
from imagegateway.jobs import provider_replicas
from imagegateway.jobs.provider_client import ProviderClient
from imagegateway.platform import setting_source, settings
from imagegateway.platform.addresses import TcpAddress
from imagegateway.platform.channels import open_channel
from imagegateway.platform.errors import GatewayError
from imagegateway.platform.internal_tls import PeerRoleError
from imagegateway.platform.listener import Listener
from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.providers.kit.servicer import serve
from imagegateway.providers.local.catalog import MODELS
from imagegateway.v1.error_reason_pb2 import ErrorReason

from tests.jobs import records
from tests.jobs.server import PATIENCE, until
from tests.support.stack import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import grpc.aio
    from imagegateway.platform.addresses import Address
    from imagegateway.platform.grpc_server import Server
    from imagegateway.providers.kit.family import OnProgress

SERVICE = TcpAddress("localhost", 7000)
"""Name of all replicas."""


@dataclass(slots=True)
class HoldingFamily:
    """A provider family whose starts wait for `go`."""

    name: str = "local"
    models = MODELS
    go: asyncio.Event = field(default_factory=asyncio.Event)
    started: list[str] = field(default_factory=list)
    polled: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)

    async def start(self, request: pb.StartRequest, on_progress: OnProgress | None = None) -> pb.TaskState:
        self.started.append(request.job_id)
        await self.go.wait()
        return records.done()

    async def poll(self, request: pb.PollRequest) -> pb.TaskState:
        self.polled.append(request.job_id)
        return records.running()

    async def cancel(self, request: pb.CancelRequest) -> bool:
        self.cancelled.append(request.job_id)
        return request.job_id in self.started

    async def close(self) -> None:
        """Do nothing: the family holds no resources."""


@dataclass(slots=True)
class Replicas:
    """Provider servers behind one name."""

    families: dict[Address, HoldingFamily] = field(default_factory=dict)
    servers: dict[Address, Server] = field(default_factory=dict)

    async def add(self, address: Address | None = None) -> Address:
        address = address or TcpAddress("127.0.0.1", free_port())
        self.families[address] = HoldingFamily()
        self.servers[address] = await serve([self.families[address]], Listener((address,)))
        return address

    async def resolve(self, _address: Address) -> list[Address]:
        return list(self.servers)

    @property
    def started(self) -> list[str]:
        return [job for family in self.families.values() for job in family.started]

    def owner(self, job_id: str) -> Address:
        (found,) = [address for address, family in self.families.items() if job_id in family.started]
        return found


@pytest.fixture
async def replicas() -> AsyncIterator[Replicas]:
    found = Replicas()
    for _ in range(3):
        await found.add()
    yield found
    for family in found.families.values():
        family.go.set()
    for server in found.servers.values():
        await server.stop(0)


@pytest.fixture
async def routers(replicas: Replicas) -> AsyncIterator[list[ProviderClient]]:
    """Yield two routers' clients."""
    given = {"IMAGEGATEWAY_PROVIDERS_URL": str(SERVICE)}
    async with AsyncExitStack() as stack:
        clients = []
        for _ in range(2):
            client = ProviderClient(settings.load(setting_source.Source(given)), ["local"], resolve=replicas.resolve)
            stack.push_async_callback(client.close)
            clients.append(client)
        yield clients


def request(job_id: str, *, join: bool = False, partial_images: int = 0) -> pb.StartRequest:
    task = pb.ImageTask(model=MODELS[0].id, partial_images=partial_images)
    return pb.StartRequest(job_id=job_id, task=task, attempt=1, join_only=join)


async def last(client: ProviderClient, asked: pb.StartRequest) -> pb.TaskState:
    async with asyncio.timeout(PATIENCE):
        *_, state = [state async for state in client.start("local", asked)]
    return state


async def test_every_replica_gets_calls(routers: list[ProviderClient], replicas: Replicas) -> None:
    for family in replicas.families.values():
        family.go.set()
    await asyncio.gather(*(last(routers[0], request(f"job_{number}")) for number in range(60)))
    assert all(len(family.started) > 5 for family in replicas.families.values())


async def test_server_with_the_certificate_of_another_role_gets_no_call(
    routers: list[ProviderClient], replicas: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = next(iter(replicas.families))

    async def checked(address: Address, *more: Any) -> grpc.aio.Channel:
        if address == wrong:
            raise PeerRoleError(f"the certificate of {address} names media, but no providers")
        return await open_channel(address, *more)

    monkeypatch.setattr(provider_replicas, "open_channel", checked)
    for family in replicas.families.values():
        family.go.set()
    states = await asyncio.gather(*(last(routers[0], request(f"job_{number}")) for number in range(12)))
    assert states == [records.done()] * 12
    assert len(replicas.started) == 12
    assert not replicas.families[wrong].started


@pytest.mark.parametrize("partial_images", [0, 1])
async def test_another_router_joins_the_call_at_its_replica(
    routers: list[ProviderClient], replicas: Replicas, partial_images: int
) -> None:
    jobs = [f"job_{number}" for number in range(12)]
    first = [asyncio.create_task(last(routers[0], request(job, partial_images=partial_images))) for job in jobs]
    await until(lambda: len(replicas.started) == len(jobs))
    for task in first:
        task.cancel()
    joined = [
        asyncio.create_task(last(routers[1], request(job, join=True, partial_images=partial_images))) for job in jobs
    ]
    for family in replicas.families.values():
        family.go.set()
    assert await asyncio.gather(*joined) == [records.done()] * len(jobs)
    assert sorted(replicas.started) == sorted(jobs), "no call begins twice"


async def test_router_finds_a_call_that_began_elsewhere_than_in_its_order(
    routers: list[ProviderClient], replicas: Replicas
) -> None:
    """The first replica is unavailable at the start of the call, and back at the takeover."""
    first = asyncio.create_task(last(routers[0], request("job_1")))
    await until(lambda: replicas.started)
    preferred = replicas.owner("job_1")
    first.cancel()
    await replicas.servers.pop(preferred).stop(0)
    replicas.families.pop(preferred)

    waiting = asyncio.create_task(last(routers[1], request("job_1")))
    await until(lambda: replicas.started)
    elsewhere = replicas.owner("job_1")
    await replicas.add(preferred)
    found = ProviderClient(
        settings.load(setting_source.Source({"IMAGEGATEWAY_PROVIDERS_URL": str(SERVICE)})),
        ["local"],
        resolve=replicas.resolve,
    )
    joined = asyncio.create_task(last(found, request("job_1", join=True)))
    await asyncio.sleep(0.2)
    replicas.families[elsewhere].go.set()
    assert await joined == await waiting == records.done()
    assert replicas.started == ["job_1"]
    await found.close()


async def test_call_that_no_replica_knows_is_unknown_at_once(
    routers: list[ProviderClient], replicas: Replicas
) -> None:
    state = await last(routers[0], request("job_1", join=True))
    assert state.failed.reason == ErrorReason.ERROR_REASON_PROVIDER_OUTCOME_UNKNOWN
    assert not replicas.started


async def test_broken_call_is_not_repeated_at_another_replica(
    routers: list[ProviderClient], replicas: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_REJOIN_SECONDS", 0.5)
    waiting = asyncio.create_task(last(routers[0], request("job_1")))
    await until(lambda: replicas.started)
    await replicas.servers.pop(replicas.owner("job_1")).stop(0)
    with pytest.raises(GatewayError) as unknown:
        await waiting
    assert unknown.value.reason == ErrorReason.ERROR_REASON_PROVIDER_OUTCOME_UNKNOWN
    assert replicas.started == ["job_1"]


async def test_stopping_replica_begins_no_call_and_none_is_lost(
    routers: list[ProviderClient], replicas: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls begin without a pause while replicas stop one after the other and new ones come up."""
    monkeypatch.setattr(provider_replicas, "_RESOLVE_SECONDS", 0.5)
    for family in replicas.families.values():
        family.go.set()
    failures: list[object] = []
    stopped = asyncio.Event()
    made = 0

    async def load(number: int) -> None:
        nonlocal made
        while not stopped.is_set():
            made += 1
            try:
                state = await last(routers[number % 2], request(f"job_{number}_{made}"))
            except GatewayError as error:
                failures.append(error)
            else:
                if state != records.done():
                    failures.append(state)

    def has_made(count: int) -> bool:
        return made >= count

    loads = [asyncio.create_task(load(number)) for number in range(8)]
    for address in list(replicas.servers):
        await until(partial(has_made, made + 20))
        await replicas.servers[address].stop(5)
        replicas.servers.pop(address)
        replicas.families[await replicas.add()].go.set()
    stopped.set()
    await asyncio.gather(*loads)
    assert not failures
    assert len(replicas.started) == len(set(replicas.started)) == made


async def test_server_of_other_models_is_passed_over(routers: list[ProviderClient], replicas: Replicas) -> None:
    asked = request("job_1")
    asked.task.model = "openai/gpt-image-1"
    with pytest.raises(GatewayError) as refused:
        await last(routers[0], asked)
    assert refused.value.reason == ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE
    assert not replicas.started


async def test_poll_and_cancel_of_a_task_reach_one_replica_and_cancel_of_a_start_each(
    routers: list[ProviderClient], replicas: Replicas
) -> None:
    task = pb.ImageTask(model=MODELS[0].id)
    for client in routers:
        assert (
            await client.poll("local", pb.PollRequest(job_id="job_1", task_ref="a", task=task)) == records.running()
        )
        await client.cancel("local", pb.CancelRequest(job_id="job_1", task_ref="a", task=task))
    assert sorted(len(family.polled) for family in replicas.families.values()) == [0, 0, 2]
    assert sorted(len(family.cancelled) for family in replicas.families.values()) == [0, 0, 2]

    waiting = asyncio.create_task(last(routers[0], request("job_2")))
    await until(lambda: replicas.started)
    assert await routers[1].cancel("local", pb.CancelRequest(job_id="job_2", task=task))
    assert all("job_2" in family.cancelled for family in replicas.families.values())
    waiting.cancel()


async def test_poll_that_a_stopping_replica_refuses_is_answered_by_another_one(
    routers: list[ProviderClient], replicas: Replicas
) -> None:
    poll = pb.PollRequest(job_id="job_1", task_ref="a", task=pb.ImageTask(model=MODELS[0].id))
    assert await routers[0].poll("local", poll) == records.running()
    (address,) = [address for address, family in replicas.families.items() if family.polled]
    stopping = asyncio.create_task(replicas.servers.pop(address).stop(5))
    await asyncio.sleep(0)  # the server refuses, and its connections are still open
    assert await routers[0].poll("local", poll) is None
    assert await routers[0].poll("local", poll) == records.running()
    await stopping


async def test_new_replica_of_a_name_is_found(
    routers: list[ProviderClient], replicas: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_replicas, "_RESOLVE_SECONDS", 0.0)
    for family in replicas.families.values():
        family.go.set()
    await last(routers[0], request("job_0"))
    added = await replicas.add()
    replicas.families[added].go.set()
    for number in range(40):
        await last(routers[0], request(f"job_{number + 1}"))
    assert replicas.families[added].started
