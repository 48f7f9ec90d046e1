"""Response memory: shares of tenants, the error that names the job, and the end of a call."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from imagegateway.keys.api_keys import ApiKey
from imagegateway.platform.errors import GatewayError
from imagegateway.router import call_context
from imagegateway.router.body_budget import BodyBudget
from imagegateway.router.call_outcome import error_headers
from imagegateway.router.image_service import ImageService
from imagegateway.router.interceptor import RequestInterceptor
from imagegateway.router.response_memory import ResponseMemory
from imagegateway.v1 import image_service_pb2 as pb
from imagegateway.v1 import image_service_pb2_grpc as pb_grpc

from tests.jobs import records
from tests.router.limits import unlimited

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from imagegateway.router.call_context import Call

MIB = 1024 * 1024


def call(*, rest: bool = True) -> Call:
    return call_context.begin("Generate", {}, rest=rest)


async def test_tenant_without_memory_gets_its_job_id_and_another_is_served() -> None:
    memory = ResponseMemory(100 * MIB, seconds=0)
    record, asking = records.job(), call()
    await memory.reserve(record, asking, 40 * MIB)
    with pytest.raises(GatewayError) as caught:
        await memory.reserve(record, asking, 40 * MIB)
    assert (caught.value.code, caught.value.meaning.http) == ("overloaded", 503)
    assert record.id in caught.value.message
    headers = error_headers(asking, caught.value)
    assert (headers["retry-after"], headers["x-should-retry"]) == ("5", "false")
    await memory.reserve(records.job(tenant="painters"), call(), 40 * MIB)


async def test_response_over_the_share_waits_for_the_whole_share() -> None:
    memory = ResponseMemory(100 * MIB)
    release = await memory.reserve(records.job(), call(), 1)
    large = asyncio.create_task(memory.reserve(records.job(), call(), 1000 * MIB))
    await asyncio.sleep(0)
    assert not large.done()
    release()
    (await large)()


async def test_grpc_message_counts_three_times() -> None:
    memory = ResponseMemory(200 * MIB, seconds=0)
    await memory.reserve(records.job(), call(rest=False), 30 * MIB)
    with pytest.raises(GatewayError):
        await memory.reserve(records.job(), call(rest=False), 5 * MIB)
    await memory.reserve(records.job(), call(), 5 * MIB)


def test_end_of_a_call_releases_each_resource_once() -> None:
    released: list[str] = []
    ending = call()
    ending.at_end(lambda: released.append("held"))
    ending.end()
    ending.end()
    ending.at_end(lambda: released.append("late"))
    assert released == ["held", "late"]


class _Ring:
    async def find(self, secret: str) -> ApiKey:
        return ApiKey(id="k", tenant="t", name="n", created_at=0)

    def note_use(self, key: ApiKey) -> None:
        pass


class _ScriptedService(ImageService):
    """Service that responds, fails, or waits, as the prompt says."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.ended = asyncio.Event()

    async def Generate(self, request: pb.GenerateRequest, context: object) -> pb.ImagesResponse:
        self.begun.set()
        call_context.current().at_end(self.ended.set)
        if request.prompt == "wait":
            await asyncio.Event().wait()
        if request.prompt == "fail":
            raise GatewayError(records.refused().failed.reason, "No.")
        return pb.ImagesResponse(id="x" * MIB)


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[_ScriptedService, pb_grpc.ImageServiceAsyncStub]]:
    ring: Any = _Ring()
    service = _ScriptedService()
    server = grpc.aio.server(interceptors=[RequestInterceptor(ring, unlimited(), BodyBudget(MIB))])
    pb_grpc.add_ImageServiceServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub: Any = pb_grpc.ImageServiceStub(channel)
        yield service, stub
    await server.stop(None)


@pytest.mark.parametrize("prompt", ["answer", "fail", "wait"])
async def test_every_grpc_call_ends(prompt: str) -> None:
    async with serving() as (service, stub), asyncio.timeout(10):
        asking: Any = stub.Generate(pb.GenerateRequest(prompt=prompt), metadata=[("authorization", "Bearer key")])
        await service.begun.wait()
        if prompt == "wait":
            asking.cancel()
        await service.ended.wait()
