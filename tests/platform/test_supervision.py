"""Background tasks: a task that ends ends its dependent work, with the reason."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from imagegateway.platform import logs, supervision
from imagegateway.platform.supervision import BackgroundTaskError, Supervisor
from structlog.testing import capture_logs

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


async def crash() -> None:
    await asyncio.sleep(0)
    raise ZeroDivisionError("the reason")


async def end() -> None:
    await asyncio.sleep(0)


async def cancel_itself() -> None:
    await asyncio.sleep(0)
    raise asyncio.CancelledError


@pytest.fixture(autouse=True)
def _fresh_logger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "_log", logs.get("imagegateway.platform.supervision"))


@pytest.mark.parametrize(
    ("work", "reason"),
    [(crash, "the reason"), (end, "it returned"), (cancel_itself, "it was cancelled")],
)
async def test_task_that_ends_by_itself_ends_the_work_with_its_reason(
    work: Callable[[], Coroutine[None, None, None]], reason: str
) -> None:
    supervisor = Supervisor()
    cancelled = asyncio.Event()

    async def serve() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    with capture_logs() as lines:
        supervisor.spawn("feed", work())
        with pytest.raises(BackgroundTaskError, match=f"feed: .*{reason}"):
            await supervisor.run(serve())
    assert cancelled.is_set()
    (line,) = lines
    assert (line["event"], line["task"], line["log_level"]) == ("background_task_ended", "feed", "error")
    await supervisor.close()


async def test_work_that_begins_after_a_death_does_not_go_on() -> None:
    supervisor = Supervisor()
    supervisor.spawn("feed", crash())
    await asyncio.sleep(0.01)
    with pytest.raises(BackgroundTaskError):
        await supervisor.run(asyncio.Event().wait())


async def test_supervisor_returns_the_result_of_its_work_while_all_tasks_run() -> None:
    supervisor = Supervisor()
    ended = asyncio.Event()

    async def live() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def work() -> int:
        return 7

    supervisor.spawn("feed", live())
    assert await supervisor.run(work()) == 7
    with capture_logs() as lines:
        await supervisor.close()
    assert ended.is_set()
    assert not lines


async def test_error_of_the_work_itself_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        await Supervisor().run(crash())


async def test_task_that_swallows_a_cancellation_ends_with_the_others() -> None:
    swallowed = asyncio.Event()

    async def stubborn() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        swallowed.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await supervision.cancel_others()
    assert swallowed.is_set()
    assert task.cancelled()
