"""Start of a router: without an answer of NATS, it begins again."""

from __future__ import annotations

import nats.errors
import pytest
from imagegateway.jobs.stream_errors import OutcomeUnknownError
from imagegateway.platform.errors import UnavailableError
from imagegateway.platform.process import Process
from imagegateway.router import __main__ as router


async def test_start_without_an_answer_of_nats_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    failures: list[Exception] = [nats.errors.TimeoutError(), OutcomeUnknownError(), UnavailableError("no answer")]

    async def serve(process: Process, replica: int) -> None:
        if failures:
            raise failures.pop()
        process.start_complete()

    monkeypatch.setattr(router, "_serve", serve)
    monkeypatch.setattr(router, "_START_PAUSE", 0)
    process = Process("router-0")
    await router.main(process, 0)
    assert (process.is_started, failures) == (True, [])


async def test_failure_of_nats_after_the_start_ends_the_router(monkeypatch: pytest.MonkeyPatch) -> None:
    async def serve(process: Process, replica: int) -> None:
        process.start_complete()
        raise nats.errors.ConnectionClosedError

    monkeypatch.setattr(router, "_serve", serve)
    with pytest.raises(nats.errors.ConnectionClosedError):
        await router.main(Process("router-0"), 0)
