"""The way to a family's server: previews on the way, the answer last, and what is known when the server goes away."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

import pytest
from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.v1.error_reason_pb2 import ErrorReason

from services.common import settings
from services.common.errors import GatewayError
from services.common.provider import serve
from services.jobs.families import Families
from tests.jobs import records
from tests.jobs.server import PATIENCE, until
from tests.stack import short_folder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from services.common.catalog import Model
    from services.common.family import Tell
    from services.common.server import Server


class Drawing:
    """A family that shows as many previews as it is let, and then answers what the test says."""

    name = "drawing"
    models: tuple[Model, ...] = ()

    def __init__(self) -> None:
        self.go = asyncio.Semaphore(0)
        self.cancelled = asyncio.Event()
        self.told: list[bool] = []
        self.answer: pb.TaskState | Exception = records.done()

    async def start(self, request: pb.StartRequest, tell: Tell | None = None) -> pb.TaskState:
        self.told.append(tell is not None)
        shown: list[pb.Preview] = []
        try:
            for index in range(request.task.partial_images):
                await self.go.acquire()
                shown.append(pb.Preview(media=records.ref("b"), index=index))
                assert tell
                await tell(pb.Running(partial_images=shown))
            await self.go.acquire()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def poll(self, request: pb.PollRequest) -> pb.TaskState:
        raise NotImplementedError

    async def cancel(self, request: pb.CancelRequest) -> bool:
        raise NotImplementedError

    async def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def family() -> Drawing:
    return Drawing()


@pytest.fixture
def current() -> Iterator[settings.Settings]:
    with short_folder() as folder:
        yield settings.load(settings.Source({"IMAGEGATEWAY_DATA_DIR": str(folder)}))


@pytest.fixture
async def server(family: Drawing, current: settings.Settings) -> AsyncIterator[Server]:
    up = await serve(family, current.socket(family.name))
    yield up
    await up.stop(0)


@pytest.fixture
async def families(server: Server, current: settings.Settings) -> AsyncIterator[Families]:
    opened = Families(current, ["drawing"])
    yield opened
    await opened.close()


def request(previews: int = 0) -> pb.StartRequest:
    return pb.StartRequest(job_id="job_1", task=pb.ImageTask(model="m", partial_images=previews))


async def test_task_without_previews_is_one_call(families: Families, family: Drawing) -> None:
    family.go.release()
    assert [state async for state in families.start("drawing", request())] == [records.done()]
    assert family.told == [False]


async def test_previews_come_one_by_one_and_the_answer_last(families: Families, family: Drawing) -> None:
    async with asyncio.timeout(PATIENCE), aclosing(families.start("drawing", request(2))) as told:
        for count in (1, 2):
            family.go.release()
            state = await anext(told)
            assert [preview.index for preview in state.running.partial_images] == list(range(count))
            assert not state.running.task_ref
        family.go.release()
        assert [state async for state in told] == [records.done()]


async def test_failure_after_a_preview_is_an_answer(families: Families, family: Drawing) -> None:
    family.answer = GatewayError(ErrorReason.ERROR_REASON_PROVIDER_ERROR, "No.", param="prompt", retry_after=1.5)
    for _ in range(2):
        family.go.release()
    _, last = [state async for state in families.start("drawing", request(1))]
    assert (last.failed.message, last.failed.param, last.failed.accepted) == ("No.", "prompt", False)
    assert last.failed.retry_after.ToMilliseconds() == 1500


@pytest.mark.parametrize("previews", [0, 1])
async def test_server_that_goes_away_leaves_the_outcome_open(
    families: Families, family: Drawing, server: Server, previews: int
) -> None:
    async with asyncio.timeout(PATIENCE), aclosing(families.start("drawing", request(previews))) as told:
        if previews:
            family.go.release()
            await anext(told)
        waiting = asyncio.ensure_future(anext(told))
        await until(lambda: bool(family.told))
        await server.stop(0)
        with pytest.raises(GatewayError) as caught:
            await waiting
    assert caught.value.reason == ErrorReason.ERROR_REASON_PROVIDER_OUTCOME_UNKNOWN


async def test_fault_of_the_family_is_ours(families: Families, family: Drawing) -> None:
    family.answer = ZeroDivisionError()
    for _ in range(2):
        family.go.release()
    with pytest.raises(GatewayError) as caught:
        [state async for state in families.start("drawing", request(1))]
    assert caught.value.reason == ErrorReason.ERROR_REASON_INTERNAL


async def test_who_stops_listening_ends_the_call(families: Families, family: Drawing) -> None:
    async with aclosing(families.start("drawing", request(2))) as told:
        family.go.release()
        await anext(told)
    async with asyncio.timeout(PATIENCE):
        await family.cancelled.wait()
