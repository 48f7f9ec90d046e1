"""Readiness: which unavailable parts refuse new work."""

from __future__ import annotations

import asyncio

import pytest
from imagegateway.platform.errors import ElectionError, UnansweredError, UnavailableError
from imagegateway.platform.readiness import ELECTION_SECONDS, OUTAGE_SECONDS, PERIOD, Readiness


async def test_new_work_waits_for_a_part_that_does_not_answer_until_its_outage() -> None:
    now = 0.0

    async def silent() -> None:
        raise UnansweredError("the job store does not answer")

    readiness = Readiness({"job-store": silent}, lambda: now)
    await readiness.refresh()
    readiness.require()
    assert await readiness.serves("job-store")
    now += PERIOD + OUTAGE_SECONDS
    await readiness.refresh()
    with pytest.raises(UnavailableError, match="does not answer"):
        readiness.require()
    assert not await readiness.serves("job-store")


async def test_part_that_refuses_work_refuses_it_at_once() -> None:
    async def full() -> None:
        raise UnavailableError("the job store is full")

    readiness = Readiness({"job-store": full})
    await readiness.refresh()
    with pytest.raises(UnavailableError, match="is full"):
        readiness.require()


class Store:
    """Job store with a clock. `error`: result of the next checks."""

    def __init__(self) -> None:
        self.now = 0.0
        self.error: UnavailableError | None = None
        self.outage = asyncio.Event()
        self.readiness = Readiness({"job-store": self.check}, lambda: self.now, self.outage)

    async def check(self) -> None:
        if self.error:
            raise self.error

    async def last(self, seconds: float, error: UnavailableError | None) -> bool:
        """Let checks end with `error` for some time. Return whether there was an outage."""
        self.error = error
        end = self.now + seconds
        was_out = False
        while self.now < end:
            self.now = min(self.now + PERIOD, end)
            await self.readiness.refresh()
            was_out |= self.readiness.has_outage()
        return was_out


SILENT = UnansweredError("the job store does not answer")
ELECTING = ElectionError("the job store does not answer")


async def test_elections_are_no_outage_until_they_last_too_long() -> None:
    store = Store()
    assert not await store.last(ELECTION_SECONDS, ELECTING)
    store.readiness.require()
    assert await store.last(PERIOD, ELECTING)
    assert store.outage.is_set()
    assert not await store.last(PERIOD, None)
    assert not store.outage.is_set()
    assert not await store.last(ELECTION_SECONDS, ELECTING)


async def test_lost_connection_is_an_outage_after_a_short_time() -> None:
    store = Store()
    assert not await store.last(OUTAGE_SECONDS, SILENT)
    assert await store.last(PERIOD, SILENT)


async def test_connection_that_moves_to_another_server_does_not_shorten_the_wait_for_an_election() -> None:
    store = Store()
    assert not await store.last(2 * PERIOD, ELECTING)
    assert not await store.last(PERIOD, SILENT)
    assert not await store.last(ELECTION_SECONDS - 4 * PERIOD, ELECTING)


async def test_server_that_hangs_alone_is_an_outage_once_its_connection_is_lost_for_some_time() -> None:
    store = Store()
    assert not await store.last(2 * PERIOD, ELECTING)
    assert not await store.last(OUTAGE_SECONDS, SILENT)
    assert await store.last(PERIOD, SILENT)
