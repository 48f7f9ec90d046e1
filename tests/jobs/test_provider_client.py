"""Provider client: partial images before the result, and the outcome when the provider server stops."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

import pytest
from imagegateway.jobs import provider_client as module
from imagegateway.jobs.provider_client import ProviderClient
from imagegateway.platform import setting_source, settings
from imagegateway.platform.errors import GatewayError
from imagegateway.platform.listener import Listener
from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.providers.kit.servicer import serve
from imagegateway.providers.local.catalog import MODELS as LOCAL
from imagegateway.v1.error_reason_pb2 import ErrorReason

from tests.jobs import records
from tests.jobs.server import PATIENCE, until
from tests.support.stack import short_folder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from imagegateway.platform.grpc_server import Server
    from imagegateway.providers.kit.family import OnProgress


class PartialImageFamily:
    """A provider family that sends a partial image for each release of `go`, then the response that the test sets."""

    name = "drawing"
    models = LOCAL

    def __init__(self) -> None:
        self.go = asyncio.Semaphore(0)
        self.cancelled = asyncio.Event()
        self.streamed: list[bool] = []
        self.polls = 0
        self.answer: pb.TaskState | Exception = records.done()

    async def start(self, request: pb.StartRequest, on_progress: OnProgress | None = None) -> pb.TaskState:
        self.streamed.append(on_progress is not None)
        shown: list[pb.PartialImage] = []
        try:
            for index in range(request.task.partial_images):
                await self.go.acquire()
                shown.append(pb.PartialImage(media=records.ref("b"), index=index))
                assert on_progress
                await on_progress(pb.Running(partial_images=shown))
            await self.go.acquire()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def poll(self, request: pb.PollRequest) -> pb.TaskState:
        self.polls += 1
        await self.go.acquire()
        return records.done()

    async def cancel(self, request: pb.CancelRequest) -> bool:
        raise NotImplementedError

    async def close(self) -> None:
        """Do nothing: the family holds no resources."""


@pytest.fixture
def family() -> PartialImageFamily:
    return PartialImageFamily()


@pytest.fixture
def current() -> Iterator[settings.Settings]:
    with short_folder() as folder:
        yield settings.load(setting_source.Source({"IMAGEGATEWAY_DATA_DIR": str(folder)}))


@pytest.fixture
async def server(family: PartialImageFamily, current: settings.Settings) -> AsyncIterator[Server]:
    up = await serve([family], Listener.unix(current.socket(family.name)))
    yield up
    await up.stop(0)


@pytest.fixture
async def providers(server: Server, current: settings.Settings) -> AsyncIterator[ProviderClient]:
    opened = ProviderClient(current, ["drawing"])
    yield opened
    await opened.close()


def request(partial_images: int = 0) -> pb.StartRequest:
    return pb.StartRequest(job_id="job_1", task=pb.ImageTask(model=LOCAL[0].id, partial_images=partial_images))


async def test_task_without_partial_images_is_one_call(providers: ProviderClient, family: PartialImageFamily) -> None:
    family.go.release()
    assert [state async for state in providers.start("drawing", request())] == [records.done()]
    assert family.streamed == [False]


async def test_partial_images_arrive_one_by_one_before_the_result(
    providers: ProviderClient, family: PartialImageFamily
) -> None:
    async with asyncio.timeout(PATIENCE), aclosing(providers.start("drawing", request(2))) as states:
        for count in (1, 2):
            family.go.release()
            state = await anext(states)
            assert [image.index for image in state.running.partial_images] == list(range(count))
            assert not state.running.task_ref
        family.go.release()
        assert [state async for state in states] == [records.done()]


async def test_failure_after_a_partial_image_is_a_result(
    providers: ProviderClient, family: PartialImageFamily
) -> None:
    family.answer = GatewayError(ErrorReason.ERROR_REASON_PROVIDER_ERROR, "No.", param="prompt", retry_after=1.5)
    for _ in range(2):
        family.go.release()
    _, last = [state async for state in providers.start("drawing", request(1))]
    assert (last.failed.message, last.failed.param, last.failed.may_be_billed) == ("No.", "prompt", False)
    assert last.failed.retry_after.ToMilliseconds() == 1500


@pytest.mark.parametrize("partial_images", [0, 1])
@pytest.mark.parametrize("back", [False, True])
async def test_server_that_stops_leaves_the_outcome_unknown(  # noqa: PLR0917  fixtures
    providers: ProviderClient,
    family: PartialImageFamily,
    server: Server,
    current: settings.Settings,
    monkeypatch: pytest.MonkeyPatch,
    partial_images: int,
    back: bool,
) -> None:
    monkeypatch.setattr(module, "_REJOIN_SECONDS", PATIENCE if back else 0.2)
    async with asyncio.timeout(PATIENCE), aclosing(providers.start("drawing", request(partial_images))) as states:
        if partial_images:
            family.go.release()
            await anext(states)
        waiting = asyncio.ensure_future(anext(states))
        await until(lambda: bool(family.streamed))
        await server.stop(0)
        if back:
            successor = await serve([family], Listener.unix(current.socket(family.name)))
            failed = (await waiting).failed
            await successor.stop(0)
            assert failed.may_be_billed
            reason = failed.reason
        else:
            with pytest.raises(GatewayError) as caught:
                await waiting
            reason = caught.value.reason
    assert reason == ErrorReason.ERROR_REASON_PROVIDER_OUTCOME_UNKNOWN
    assert len(family.streamed) == 1, "the call is not repeated"


async def test_unreachable_server_certainly_got_no_new_call(
    providers: ProviderClient, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CONNECT_SECONDS", 0.2)
    monkeypatch.setattr(module, "_REJOIN_SECONDS", 0.2)
    await server.stop(0)
    reasons = []
    for join_only in (False, True):
        asked = request()
        asked.join_only = join_only
        with pytest.raises(GatewayError) as caught:
            await anext(providers.start("drawing", asked))
        reasons.append(caught.value.reason)
    assert reasons == [
        ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE,
        ErrorReason.ERROR_REASON_PROVIDER_OUTCOME_UNKNOWN,
    ]


async def test_calls_that_a_stopping_server_refuses_begin_once_on_its_successor(
    providers: ProviderClient, family: PartialImageFamily, server: Server, current: settings.Settings
) -> None:
    family.go = asyncio.Semaphore(1000)

    async def call(number: int) -> pb.TaskState:
        asked = request(partial_images=number % 2)
        asked.job_id = f"job_{number}"
        *_, last = [state async for state in providers.start("drawing", asked)]
        return last

    await call(0)  # connects
    calls = [asyncio.ensure_future(call(number)) for number in range(1, 50)]
    stopping = asyncio.ensure_future(server.stop(PATIENCE))
    calls += [asyncio.ensure_future(call(number)) for number in range(50, 100)]
    await asyncio.wait_for(stopping, PATIENCE)
    successor = await serve([family], Listener.unix(current.socket(family.name)))
    try:
        assert await asyncio.wait_for(asyncio.gather(*calls), PATIENCE) == [records.done()] * 99
    finally:
        await successor.stop(0)
    assert len(family.streamed) == 100


async def test_crash_in_the_provider_server_is_an_internal_error(
    providers: ProviderClient, family: PartialImageFamily
) -> None:
    family.answer = ZeroDivisionError()
    for _ in range(2):
        family.go.release()
    *_, last = [state async for state in providers.start("drawing", request(1))]
    assert last.failed.reason == ErrorReason.ERROR_REASON_INTERNAL
    assert last.failed.may_be_billed, "it may have come after the provider took the task"


@pytest.mark.parametrize("partial_images", [0, 2])
async def test_call_outlives_its_caller_and_is_joined(
    providers: ProviderClient, family: PartialImageFamily, partial_images: int
) -> None:
    async with asyncio.timeout(PATIENCE):
        async with aclosing(providers.start("drawing", request(partial_images))) as states:
            waiting = asyncio.ensure_future(anext(states))
            await until(lambda: bool(family.streamed))
            if partial_images:
                family.go.release()
                await waiting
            else:
                waiting.cancel()
                await asyncio.wait([waiting])
        joining = request(partial_images)
        joining.join_only = True
        async with aclosing(providers.start("drawing", joining)) as states:
            if partial_images:
                state = await anext(states)
                assert len(state.running.partial_images) == 1, "the partial images from before"
            for _ in range(partial_images + 1):
                family.go.release()
            *_, last = [state async for state in states]
        assert last == records.done()
        # Join again after the end.
        *_, last = [state async for state in providers.start("drawing", joining)]
        assert last == records.done()
    assert len(family.streamed) == 1
    assert not family.cancelled.is_set()


async def test_another_attempt_is_another_call(providers: ProviderClient, family: PartialImageFamily) -> None:
    for attempt in (1, 2):
        family.go.release()
        asked = request()
        asked.attempt = attempt
        assert [state async for state in providers.start("drawing", asked)] == [records.done()]
    assert len(family.streamed) == 2


async def test_unknown_call_is_not_started_by_a_join(providers: ProviderClient, family: PartialImageFamily) -> None:
    asked = request()
    asked.join_only = True
    [state] = [state async for state in providers.start("drawing", asked)]
    assert state.failed.reason == ErrorReason.ERROR_REASON_PROVIDER_OUTCOME_UNKNOWN
    assert state.failed.may_be_billed
    assert not family.streamed


async def test_slow_poll_continues_and_the_next_one_joins_it(
    providers: ProviderClient, family: PartialImageFamily, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_POLL_SECONDS", 0.2)
    asked = pb.PollRequest(job_id="job_1", task_ref="a task", task=pb.ImageTask(model=LOCAL[0].id))
    assert await providers.poll("drawing", asked) is None
    assert await providers.poll("drawing", asked) is None
    monkeypatch.setattr(module, "_POLL_SECONDS", PATIENCE)
    family.go.release()
    assert await providers.poll("drawing", asked) == records.done()
    assert family.polls == 1, "a result is fetched once"
    assert await providers.poll("drawing", asked) == records.done(), "its answer is kept"
    assert family.polls == 1


async def test_stopping_server_lets_calls_without_a_caller_end(
    providers: ProviderClient, family: PartialImageFamily, server: Server
) -> None:
    async with asyncio.timeout(PATIENCE), aclosing(providers.start("drawing", request())) as states:
        waiting = asyncio.ensure_future(anext(states))
        await until(lambda: bool(family.streamed))
        waiting.cancel()
        await asyncio.wait([waiting])
    stopping = asyncio.ensure_future(server.stop(PATIENCE))
    await asyncio.sleep(0.05)
    assert not stopping.done()
    family.go.release()
    await asyncio.wait_for(stopping, PATIENCE)
    assert not family.cancelled.is_set()
