"""Provider client: polls and cancels of a server that answers, crashes, stops or is not there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc
import pytest
from imagegateway.jobs import provider_client
from imagegateway.jobs.provider_client import ProviderClient
from imagegateway.platform import setting_source, settings
from imagegateway.platform.errors import GatewayError
from imagegateway.platform.grpc_server import CALL_REACHED
from imagegateway.platform.listener import Listener
from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.providers.kit.servicer import SERVICE, serve
from imagegateway.providers.local.catalog import MODELS as LOCAL
from imagegateway.v1.error_reason_pb2 import ErrorReason

from tests.jobs import records
from tests.support.stack import short_folder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from imagegateway.platform.grpc_server import Server
    from imagegateway.providers.kit.family import OnProgress

POLL = pb.PollRequest(job_id="job_1", task_ref="task", task=pb.ImageTask(model=LOCAL[0].id))
CANCEL = pb.CancelRequest(job_id="job_1", task_ref="task", task=pb.ImageTask(model=LOCAL[0].id))


class AnsweringFamily:
    """A provider family that answers as the test sets."""

    name = "drawing"
    models = LOCAL

    def __init__(self) -> None:
        self.state: pb.TaskState | Exception = records.running()
        self.confirms: bool | Exception = True
        self.is_done = asyncio.Event()
        """Set by the test: starts end."""

    async def start(self, request: pb.StartRequest, on_progress: OnProgress | None = None) -> pb.TaskState:
        await self.is_done.wait()
        return records.done()

    async def poll(self, request: pb.PollRequest) -> pb.TaskState:
        if isinstance(self.state, Exception):
            raise self.state
        return self.state

    async def cancel(self, request: pb.CancelRequest) -> bool:
        if isinstance(self.confirms, Exception):
            raise self.confirms
        return self.confirms

    async def close(self) -> None:
        """Do nothing: the family holds no resources."""


@pytest.fixture
def family() -> AnsweringFamily:
    return AnsweringFamily()


@pytest.fixture
def current() -> Iterator[settings.Settings]:
    with short_folder() as folder:
        yield settings.load(setting_source.Source({"IMAGEGATEWAY_DATA_DIR": str(folder)}))


@pytest.fixture
async def server(family: AnsweringFamily, current: settings.Settings) -> AsyncIterator[Server]:
    up = await serve([family], Listener.unix(current.socket(family.name)))
    yield up
    await up.stop(0)


@pytest.fixture
async def client(server: Server, current: settings.Settings) -> AsyncIterator[ProviderClient]:
    opened = ProviderClient(current, ["drawing"])
    yield opened
    await opened.close()


async def test_start_that_takes_its_time_says_that_it_was_reached_before_it_ends(
    family: AnsweringFamily, server: Server, current: settings.Settings
) -> None:
    async with grpc.aio.insecure_channel(f"unix:{current.socket(family.name)}") as channel:
        request = pb.StartRequest(job_id="job_1", attempt=1, task=pb.ImageTask(model=LOCAL[0].id))
        # A unary call of grpc.aio gets the metadata with its response.
        call = channel.unary_stream(
            f"/{SERVICE}/Start",
            request_serializer=pb.StartRequest.SerializeToString,
            response_deserializer=pb.StartResponse.FromString,
        )(request)
        assert CALL_REACHED in dict(await call.initial_metadata())
        family.is_done.set()
        assert [response.state async for response in call] == [records.done()]


async def test_poll_returns_the_state(client: ProviderClient) -> None:
    assert await client.poll("drawing", POLL) == records.running()


async def test_poll_that_fails_returns_a_failure_that_may_be_billed(
    client: ProviderClient, family: AnsweringFamily
) -> None:
    family.state = GatewayError(ErrorReason.ERROR_REASON_PROVIDER_NOT_CONFIGURED, "No key.")
    state = await client.poll("drawing", POLL)
    assert state is not None
    assert (state.failed.message, state.failed.may_be_billed) == ("No key.", True)


async def test_poll_that_crashes_is_an_internal_error_and_no_end_of_the_task(
    client: ProviderClient, family: AnsweringFamily
) -> None:
    family.state = ZeroDivisionError()
    with pytest.raises(GatewayError) as crashed:
        await client.poll("drawing", POLL)
    assert crashed.value.reason == ErrorReason.ERROR_REASON_INTERNAL
    family.state = records.running()
    assert await client.poll("drawing", POLL) == records.running(), "the crash is not kept as an answer"


@pytest.mark.parametrize("confirmed", [True, False])
async def test_cancel_returns_whether_the_provider_confirmed(
    client: ProviderClient, family: AnsweringFamily, *, confirmed: bool
) -> None:
    family.confirms = confirmed
    assert await client.cancel("drawing", CANCEL) is confirmed


async def test_cancel_that_crashes_is_not_confirmed(client: ProviderClient, family: AnsweringFamily) -> None:
    family.confirms = ZeroDivisionError()
    assert not await client.cancel("drawing", CANCEL)


async def test_stopped_server_answers_no_poll_and_confirms_no_cancel(
    client: ProviderClient, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_client, "_POLL_CONNECT_SECONDS", 0.2)
    await server.stop(0)
    assert await client.poll("drawing", POLL) is None
    assert not await client.cancel("drawing", CANCEL)
