"""Concurrency limits of providers: callers wait for slots and are not refused; one rate limit delays all calls."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from tests.emulators.bfl import Bfl
from tests.emulators.ideogram import Ideogram
from tests.gateway.providers.asking import over_both, over_rest, request
from tests.gateway.providers.providers import submissions
from tests.gateway.providers.test_byok import holding, new_key
from tests.gateway.providers.test_failures import changed
from tests.gateway.test_metrics import scraped
from tests.support.stack import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.gateway.jobs.calls import Caller
    from tests.gateway.providers.asking import Reply
    from tests.gateway.providers.providers import Providers


def at_once(caller: Caller, count: int, fields: dict[str, Any]) -> list[Reply]:
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(lambda _: over_rest(caller, fields), range(count)))


@pytest.mark.parametrize(("n", "peak"), [(1, 10), (4, 8)])
def test_images_over_the_concurrency_limit_wait_for_slots(
    caller: Caller, providers: Providers, n: int, peak: int
) -> None:
    ideogram = providers["ideogram"]
    assert isinstance(ideogram, Ideogram)
    fields = request("ideogram/ideogram-v3", aspect_ratio="1:1", n=n)
    with changed(ideogram, hold=threading.Event(), peak=0), ThreadPoolExecutor(1) as pool:
        calls = pool.submit(at_once, caller, 15, fields)
        eventually(lambda: ideogram.peak == peak, 30, "all slots are in use")
        assert ideogram.hold
        ideogram.hold.set()
        said = calls.result()
        assert ideogram.peak == peak
    assert not [one.failure for one in said if one.failure]
    assert len(submissions(ideogram)) == 15, "none was refused"
    assert ideogram.billed == 15 * n


def test_jobs_of_several_tasks_count_by_their_tasks(caller: Caller, providers: Providers) -> None:
    with changed(providers["bfl"], script=("Pending", "Ready")):
        said = at_once(caller, 3, request("bfl/flux-2-pro", n=10, size="64x64"))
    assert [len(one.images) for one in said] == [10, 10, 10]
    assert providers["bfl"].billed == 30
    assert len(submissions(providers["bfl"])) == 30, "none was refused"


@pytest.fixture
def bfl(providers: Providers) -> Iterator[Bfl]:
    """BFL whose tasks run until the test releases them."""
    emulator = providers["bfl"]
    assert isinstance(emulator, Bfl)
    emulator.tasks.clear()
    emulator.peaks.clear()
    with changed(emulator, script=("Pending",)):
        yield emulator
        let_go(emulator)


def let_go(bfl: Bfl) -> None:
    """End all tasks, and later ones at once."""
    bfl.script = ("Ready",)
    for task in bfl.tasks.values():
        task.states[:] = ["Ready"]


def test_full_model_does_not_hold_up_the_others_of_its_route(caller: Caller, bfl: Bfl) -> None:
    full = [caller.submit(**request("bfl/flux-kontext-max")) for _ in range(9)]
    eventually(lambda: len(bfl.tasks) == 6, 20, "six are at the provider")
    bfl.script = ("Ready",)
    for said in over_both(caller, request("bfl/flux-2-pro", size="64x64")):
        assert said.failure is None, said.failure
    assert [caller.job(job_id)["status"] for job_id in full[6:]] == ["queued"] * 3
    assert [caller.job(job_id)["queue_position"] for job_id in full[6:]] == [0, 1, 2]
    let_go(bfl)
    assert [caller.end(job_id)["status"] for job_id in full] == ["completed"] * 9
    assert bfl.peaks[bfl.key, "flux-kontext-max"] == 6
    assert len(submissions(bfl)) == bfl.billed == 11, "none was refused"


def test_job_of_more_tasks_than_its_models_slots_runs_them_one_after_another(caller: Caller, bfl: Bfl) -> None:
    bfl.script = ("Pending", "Ready")
    for said in over_both(caller, request("bfl/flux-kontext-max", n=8)):
        assert said.failure is None, said.failure
        assert len(said.images) == 8
    assert bfl.peaks[bfl.key, "flux-kontext-max"] == 6
    assert len(submissions(bfl)) == bfl.billed == 16, "none was refused"


def test_callers_own_key_has_separate_slots(caller: Caller, bfl: Bfl) -> None:
    key = new_key("bfl")
    own = {"x-byok-bfl": key}
    fields = request("bfl/flux-2-pro", size="64x64")
    with changed(bfl, others=(key,)):
        jobs = [caller.submit(**fields, n=n) for n in (10, 10, 4, 1)]
        eventually(lambda: len(bfl.tasks) == 24, 20, "the operator's places are taken")
        jobs += [caller.submit(headers=own, **fields, n=n) for n in (10, 10, 4, 1)]
        eventually(lambda: len(bfl.tasks) == 48, 20, "the caller's own are taken, too")
        assert [caller.job(job_id)["status"] for job_id in jobs] == [*["running"] * 3, "queued"] * 2
        let_go(bfl)
        assert [caller.end(job_id)["status"] for job_id in jobs] == ["completed"] * 8
    assert bfl.peaks[bfl.key, ""] == bfl.peaks[key, ""] == 24
    assert len(submissions(bfl)) == bfl.billed == 50, "none was refused"
    assert not holding(caller, key)


def test_rate_limit_of_one_call_delays_the_next_call(caller: Caller, providers: Providers) -> None:
    emulator, fields = providers["cloudflare"], request("bfl/flux-2-dev", size="256x256")
    emulator.failures[:] = [(429, {}, {"retry-after": "3"})]

    def answered() -> float:
        """Return the number of responses that the provider server has read."""
        name = "imagegateway_provider_request_duration_seconds_count"
        return scraped(caller.stack).total(name, provider="cloudflare")

    before = answered()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(over_rest, caller, fields)
        eventually(lambda: answered() > before, 30, "the limit is met")
        second = over_rest(caller, fields)
        assert second.failure is None, second.failure
        assert first.result().failure is None
    refused, *others = emulator.sent
    assert len(others) == 2
    assert min(each.at for each in others) - refused.at > 2.9


def test_call_with_another_key_does_not_wait_for_the_limit(caller: Caller, providers: Providers) -> None:
    emulator, fields = providers["cloudflare"], request("bfl/flux-2-dev", size="256x256")
    emulator.failures[:] = [(429, {}, {"retry-after": "5"})]
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(over_rest, caller, fields)
        eventually(lambda: bool(emulator.sent), 30, "the limit is met")
        other = over_rest(caller, fields, {"x-byok-cloudflare": "caller-wrong"})
        assert other.failure is not None
        assert first.result().failure is None
    keys = [sent.headers["authorization"].removeprefix("Bearer ") for sent in emulator.sent]
    assert keys == [emulator.key, "caller-wrong", emulator.key], "the other key's call came during the wait"
