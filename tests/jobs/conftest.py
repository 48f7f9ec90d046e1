"""Fixtures of the job engine's tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from imagegateway.jobs.idempotency import IdempotencyKeys
from imagegateway.jobs.stream import JobStream
from imagegateway.jobs.stream_connection import StreamConnection
from imagegateway.platform.nats import connect

from tests.jobs.replica import Replica, serving
from tests.jobs.scripted_providers import ScriptedProviders
from tests.jobs.server import Nats, settings_for, single

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from imagegateway.platform.nats_client import Client


@pytest.fixture
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nats]:
    """Yield a separate nats-server."""
    with single(tmp_path_factory.mktemp("jobs")) as server:
        yield server


@pytest.fixture
async def client(nats: Nats) -> AsyncIterator[Client]:
    """Yield a connection to the nats-server."""
    connection = await connect(nats.settings, "test")
    yield connection
    await connection.close()


@pytest.fixture
async def stream(client: Client) -> JobStream:
    """Yield the job stream in the nats-server."""
    return await JobStream.open(client, 1)


@pytest.fixture
def idempotency(stream: JobStream, client: Client) -> IdempotencyKeys:
    """Return the idempotency keys in the same stream."""
    assert stream.connected
    return IdempotencyKeys(StreamConnection(client))


@pytest.fixture
async def providers() -> AsyncIterator[ScriptedProviders]:
    """Return the scripted provider of `replica`."""
    scripted = ScriptedProviders()
    yield scripted
    await scripted.close()


@pytest.fixture
async def replica(nats: Nats, providers: ScriptedProviders) -> AsyncIterator[Replica]:
    """Yield a replica with one route of one slot; three jobs may wait."""
    limits = {"LOCAL_CONCURRENCY": "1", "QUEUE_LIMIT": "3"}
    settings = settings_for(nats.settings.data_dir, NATS_URL=nats.settings.nats_address(), **limits)
    async with serving(settings, providers) as up:
        yield up
