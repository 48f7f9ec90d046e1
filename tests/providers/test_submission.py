"""Retries of one call on a fake clock: only those that cost nothing, within their number, pauses and time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from imagegateway.providers.kit.error_table import Failure
from imagegateway.providers.kit.outcomes import Pending
from imagegateway.providers.kit.route_pauses import RoutePauses
from imagegateway.providers.kit.submission import (
    CANCELLED,
    MAX_ATTEMPTS,
    MAX_PAUSE,
    ActiveStart,
    ActiveStarts,
    Submitter,
    submit_all,
)
from imagegateway.v1.error_reason_pb2 import ErrorReason

from tests.support.metrics import Added

if TYPE_CHECKING:
    from imagegateway.providers.kit.outcomes import Outcome

UNREACHABLE = Failure(ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE, "unreachable")
RATE_LIMITED = Failure(ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED, "busy", retry_after=5.0)
UNCHARGED = Failure(ErrorReason.ERROR_REASON_PROVIDER_ERROR, "failed", retry_once=True)
UNCHARGED_BY_ONE_PAYER = Failure(
    ErrorReason.ERROR_REASON_PROVIDER_ERROR, "failed", may_be_billed=True, retry_once=True
)
ACCEPTED = Pending("task")


@dataclass
class Provider:
    """Provider that returns its outcomes in turn, the last one without end; only sleeps advance the clock."""

    outcomes: list[Outcome]
    retry_seconds: float = 60.0
    now: float = 1000.0
    sent: int = 0
    slept: list[float] = field(default_factory=list)
    start: ActiveStart = field(default_factory=lambda: ActiveStart("bfl"))

    def __post_init__(self) -> None:
        self.pauses = RoutePauses(lambda: self.now)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    async def send(self) -> Outcome:
        self.sent += 1
        return self.outcomes[min(self.sent, len(self.outcomes)) - 1]

    async def submit(self, max_attempts: int = MAX_ATTEMPTS) -> Outcome:
        submitter = Submitter(self.pauses, self.retry_seconds, lambda: self.now, self.sleep)
        return await submitter.submit(
            self.send, start=self.start, route="bfl", key="secret", max_attempts=max_attempts
        )


async def test_pauses_double_with_at_most_a_tenth_more() -> None:
    provider = Provider([UNREACHABLE])
    assert await provider.submit() == UNREACHABLE
    assert provider.sent == MAX_ATTEMPTS == len(provider.slept) + 1
    for slept, least in zip(provider.slept, (1.0, 2.0, 4.0), strict=True):
        assert least <= slept <= 1.1 * least


async def test_accepted_call_is_never_sent_again() -> None:
    provider = Provider([RATE_LIMITED, ACCEPTED])
    assert await provider.submit() == ACCEPTED
    assert provider.sent == 2


async def test_each_repeated_request_counts_by_the_reason_of_the_failure() -> None:
    added = Added()
    await Provider([RATE_LIMITED, UNREACHABLE, UNREACHABLE, ACCEPTED]).submit()
    await Provider([ACCEPTED]).submit()
    assert added.series("imagegateway_provider_retries_total") == {
        ("bfl", "provider_rate_limited"): 1,
        ("bfl", "provider_unavailable"): 2,
    }


async def test_failure_that_may_be_billed_is_not_repeated() -> None:
    billed = Failure(ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE, "unreachable", may_be_billed=True)
    provider = Provider([billed, ACCEPTED])
    assert await provider.submit() == billed


@pytest.mark.parametrize("failure", [UNCHARGED, UNCHARGED_BY_ONE_PAYER])
async def test_uncharged_failure_is_repeated_once(failure: Failure) -> None:
    provider = Provider([failure])
    assert await provider.submit() == failure
    assert provider.sent == 2


async def test_second_uncharged_failure_ends_the_call_after_other_retries_too() -> None:
    provider = Provider([UNCHARGED, UNREACHABLE, UNCHARGED, ACCEPTED])
    assert await provider.submit() == UNCHARGED
    assert provider.sent == 3


@pytest.mark.parametrize(("failure", "sent"), [(UNREACHABLE, 1), (UNCHARGED, 1), (UNCHARGED_BY_ONE_PAYER, 2)])
async def test_single_attempt_leaves_the_retry_to_another_route_unless_only_this_one_may_retry(
    failure: Failure, sent: int
) -> None:
    provider = Provider([failure])
    assert await provider.submit(max_attempts=1) == failure
    assert provider.sent == sent
    assert not provider.slept


@pytest.mark.parametrize(("requested", "sent"), [(MAX_PAUSE, 2), (MAX_PAUSE + 0.1, 1)])
async def test_longest_pause_is_made_and_a_longer_one_is_left_to_the_caller(requested: float, sent: int) -> None:
    failure = Failure(ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED, "busy", retry_after=requested)
    provider = Provider([failure, ACCEPTED])
    outcome = await provider.submit()
    assert provider.sent == sent
    assert outcome == (ACCEPTED if sent == 2 else failure)
    assert provider.pauses.remaining("bfl", "secret") <= 0, "a pause that no call makes must not stop other calls"


@pytest.mark.parametrize(("retry_seconds", "sent"), [(15.0, 4), (14.9, 3), (5.0, 2), (4.9, 1), (0.0, 1)])
async def test_retries_end_with_the_retry_time_pauses_included(
    monkeypatch: pytest.MonkeyPatch, retry_seconds: float, sent: int
) -> None:
    monkeypatch.setattr("random.uniform", lambda least, _most: least)
    provider = Provider([RATE_LIMITED], retry_seconds)
    assert await provider.submit() == RATE_LIMITED
    assert provider.sent == sent


async def test_longer_pause_by_chance_ends_with_the_retry_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.uniform", lambda _least, most: most)
    provider = Provider([RATE_LIMITED, ACCEPTED], retry_seconds=5.2)
    assert await provider.submit() == ACCEPTED
    assert provider.slept == [pytest.approx(5.2)]


async def test_paused_route_is_not_called_without_retries() -> None:
    provider = Provider([ACCEPTED])
    provider.pauses.extend("bfl", "secret", 3.0)
    outcome = await provider.submit(max_attempts=1)
    assert isinstance(outcome, Failure)
    assert (outcome.reason, outcome.retry_after, outcome.may_be_billed) == (RATE_LIMITED.reason, 3.0, False)
    assert not provider.sent


@pytest.mark.parametrize(("retry_seconds", "sent"), [(3.0, 1), (2.9, 0)])
async def test_pause_of_a_route_counts_towards_the_retry_time(retry_seconds: float, sent: int) -> None:
    provider = Provider([ACCEPTED], retry_seconds)
    provider.pauses.extend("bfl", "secret", 3.0)
    await provider.submit()
    assert provider.sent == sent


async def test_rate_limit_pauses_other_calls_with_the_key_alone() -> None:
    provider = Provider([RATE_LIMITED])
    await provider.submit(max_attempts=1)
    assert provider.pauses.remaining("bfl", "secret") == 5.0
    assert provider.pauses.remaining("bfl", "other") <= 0
    assert provider.pauses.remaining("fal", "secret") <= 0


@pytest.mark.parametrize("rest", [0.25, 0.0, -1.0])
async def test_rest_of_a_pause_is_waited_for(rest: float) -> None:
    provider = Provider([ACCEPTED])
    provider.pauses.extend("bfl", "secret", 5.0)
    provider.now += 5.0 - rest
    assert await provider.submit() == ACCEPTED
    assert provider.slept == [rest] * (rest > 0)


async def test_shorter_pause_does_not_shorten_a_longer_one() -> None:
    provider = Provider([])
    provider.pauses.extend("bfl", "secret", 5.0)
    provider.pauses.extend("bfl", "secret", 2.0)
    assert provider.pauses.remaining("bfl", "secret") == 5.0


async def test_cancelled_start_sends_nothing() -> None:
    provider = Provider([ACCEPTED])
    provider.start.cancel()
    assert await provider.submit() == CANCELLED
    assert not provider.sent


async def test_cancellation_ends_a_pause() -> None:
    start, never = ActiveStart("bfl"), asyncio.get_running_loop().create_future()
    pausing = asyncio.create_task(start.pause(never))
    await asyncio.sleep(0)
    start.cancel()
    await asyncio.wait_for(pausing, 5)
    assert never.cancelled()


async def test_newer_start_of_a_job_outlives_the_older_one() -> None:
    starts = ActiveStarts()
    with starts.open("job", "bfl"):
        with starts.open("job", "bfl") as newer, starts.open("other", "fal"):
            newer.at_provider[0] = newer.at_provider[1] = None  # type: ignore[assignment]  # only counted
            assert starts.at_provider("bfl") == 2
            assert starts.at_provider("fal") == 0
        assert starts.find("job") is None


async def test_calls_without_an_accepted_one_are_left_to_another_route() -> None:
    attempts: list[int] = []

    async def submit(most: int) -> Outcome:
        attempts.append(most)
        return UNREACHABLE

    assert await submit_all([submit, submit], fail_fast=True) == [UNREACHABLE, UNREACHABLE]
    assert attempts == [1, 1]
    attempts.clear()
    await submit_all([submit], fail_fast=False)
    assert attempts == [MAX_ATTEMPTS]


async def test_calls_beside_an_accepted_one_are_retried_in_their_places() -> None:
    async def accepted(_most: int) -> Outcome:
        return ACCEPTED

    async def retried(most: int) -> Outcome:
        return Pending("later") if most == MAX_ATTEMPTS else UNREACHABLE

    assert await submit_all([accepted, retried], fail_fast=True) == [ACCEPTED, Pending("later")]
    assert await submit_all([retried, accepted], fail_fast=True) == [Pending("later"), ACCEPTED]


def test_pause_of_one_key_outlives_the_pauses_of_others_and_is_deleted_after_its_end() -> None:
    provider = Provider([])
    pauses = provider.pauses
    pauses.extend("bfl", "first", 5.0)
    pauses.extend("bfl", "second", 10.0)
    assert pauses.remaining("bfl", "first") == 5.0
    provider.now += 5.0
    pauses.extend("bfl", "third", 1.0)
    assert len(pauses) == 2
    assert pauses.remaining("bfl", "second") == 5.0
