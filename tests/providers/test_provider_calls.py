"""Provider calls owned by a server: retention of their results."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.providers.kit.provider_calls import ANSWER_SECONDS, ProviderCalls, ServerStoppingError

if TYPE_CHECKING:
    from imagegateway.providers.kit.family import OnProgress

DONE = pb.TaskState(done=pb.Done(artifacts=[pb.Artifact(revised_prompt="x" * 100)]))


async def done(_on_progress: OnProgress) -> pb.TaskState:
    return DONE


async def never(_on_progress: OnProgress) -> pb.TaskState:
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


async def broken(_on_progress: OnProgress) -> pb.TaskState:
    raise ZeroDivisionError


def kept(_state: pb.TaskState) -> bool:
    return True


async def test_answer_is_kept_for_its_time() -> None:
    now = 1000.0
    calls = ProviderCalls(clock=lambda: now)
    assert await calls.join(("a", "1"), done, kept).answer() == DONE
    now += ANSWER_SECONDS - 1
    call = calls.find(("a", "1"))
    assert call is not None
    assert [state async for state in call.states()] == [DONE]
    now += 2
    assert calls.find(("a", "1")) is None


async def test_kept_answers_are_bounded_and_the_oldest_go_first() -> None:
    calls = ProviderCalls(answer_bytes=10_000)
    for number in range(100):
        await calls.join(("a", str(number)), done, kept).answer()
    left = [number for number in range(100) if calls.find(("a", str(number)))]
    assert left == list(range(100 - len(left), 100))
    assert 10 < len(left) < 20


async def test_calls_with_one_key_are_one() -> None:
    calls = ProviderCalls()
    first = calls.join(("a",), never, kept)
    assert calls.join(("a",), done, kept) is first
    waiting = [asyncio.ensure_future(first.answer()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()  # one caller goes away
    await calls.drain(0)
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(result) for result in results] == [
        asyncio.CancelledError,
        ServerStoppingError,
        ServerStoppingError,
    ]


async def test_call_that_raises_is_not_kept() -> None:
    calls = ProviderCalls()
    call = calls.join(("a",), broken, kept)
    with pytest.raises(ZeroDivisionError):
        await call.answer()
    assert calls.find(("a",)) is None
    assert await calls.join(("a",), done, kept).answer() == DONE


async def test_answer_that_is_not_wanted_is_not_kept() -> None:
    calls = ProviderCalls()
    await calls.join(("a",), done, lambda _state: False).answer()
    assert calls.find(("a",)) is None


async def test_wait_for_the_end_of_a_call_has_its_limit() -> None:
    calls = ProviderCalls()
    assert not await calls.join(("a",), never, kept).ends_within(0.0)
    assert await calls.join(("b",), done, kept).ends_within(30.0)
    await calls.drain(0)
