"""What is paid for is kept, and paid once: a media store that is away, limits that stay, keys in memory."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, cast

import pytest
from imagegateway.media.store import StoreUnavailable
from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.providers.bfl.adapter import BflAdapter
from imagegateway.providers.bfl.catalog import MODELS as BFL_MODELS
from imagegateway.providers.kit.route_pauses import RoutePauses
from imagegateway.providers.openai.adapter import OpenAIAdapter
from imagegateway.providers.openai.catalog import MODELS as OPENAI_MODELS
from imagegateway.v1.error_reason_pb2 import ErrorReason

from tests.emulators.base import image_bytes
from tests.emulators.bfl import Bfl
from tests.emulators.openai import OpenAI
from tests.families.harness import Bench

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from imagegateway.media.objects import MediaObject


@pytest.fixture
async def openai() -> AsyncIterator[OpenAI]:
    async with OpenAI() as emulator:
        yield cast("OpenAI", emulator)


@pytest.fixture
async def inline(openai: OpenAI, tmp_path: Path) -> AsyncIterator[Bench]:
    values = {"IMAGEGATEWAY_OPENAI_BASE_URL": openai.base, "IMAGEGATEWAY_OPENAI_API_KEY": openai.key}
    bench = Bench.open(OPENAI_MODELS, [OpenAIAdapter()], tmp_path, values)
    yield bench
    await bench.family.close()


@pytest.fixture
async def bfl() -> AsyncIterator[Bfl]:
    async with Bfl() as emulator:
        yield cast("Bfl", emulator)


@pytest.fixture
async def polled(bfl: Bfl, tmp_path: Path) -> AsyncIterator[Bench]:
    values = {"IMAGEGATEWAY_BFL_BASE_URL": bfl.base, "IMAGEGATEWAY_BFL_API_KEY": bfl.key}
    bench = Bench.open(BFL_MODELS, [BflAdapter()], tmp_path, values)
    yield bench
    await bench.family.close()


def image(**fields: Any) -> pb.ImageTask:
    return pb.ImageTask(**{"model": "openai/gpt-image-2", "route": "openai", "prompt": "a fox", "n": 1, **fields})


def flux(**fields: Any) -> pb.ImageTask:
    return pb.ImageTask(**{"model": "bfl/flux-2-pro", "route": "bfl", "prompt": "a fox", "n": 1, **fields})


def store_away(bench: Bench, monkeypatch: pytest.MonkeyPatch, seconds: float, error: Exception) -> list[int]:
    """Let every write fail for so long from now; return a list that counts the failed ones."""
    until, failed, put = bench.now + seconds, [0], bench.store.put_result

    async def put_result(data: bytes) -> MediaObject:
        if bench.now < until:
            failed[0] += 1
            raise error
        return await put(data)

    monkeypatch.setattr(bench.store, "put_result", put_result)
    return failed


# ---- the media store


@pytest.mark.parametrize("seconds", [1.5, 30.0, 600.0])
@pytest.mark.parametrize("error", [StoreUnavailable("disk"), OSError(28, "No space left on device")])
async def test_inline_result_outlives_a_store_that_is_away(
    openai: OpenAI, inline: Bench, monkeypatch: pytest.MonkeyPatch, seconds: float, error: Exception
) -> None:
    failed = store_away(inline, monkeypatch, seconds, error)
    state = await inline.run(image(n=2))
    assert len(state.done.artifacts) == 2
    assert (len(openai.sent), openai.billed) == (1, 2), "bought once"
    assert 1 < failed[0] < 300, "pauses grow"


async def test_inline_result_is_given_up_after_a_quarter_of_an_hour(
    openai: OpenAI, inline: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_away(inline, monkeypatch, 1e6, StoreUnavailable("disk"))
    failed = (await inline.run(image())).failed
    assert (failed.reason, failed.may_be_billed) == (ErrorReason.ERROR_REASON_INTERNAL, True)
    assert sum(inline.slept) == pytest.approx(900)
    assert openai.billed == 1


@pytest.mark.parametrize("seconds", [1.5, 30.0, 1000.0])
async def test_polled_task_goes_on_while_the_store_is_away(
    bfl: Bfl, polled: Bench, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    store_away(polled, monkeypatch, seconds, StoreUnavailable("disk"))
    state = await polled.run(flux(), polls=1000)
    assert len(state.done.artifacts) == bfl.billed == 1
    assert len([sent for sent in bfl.sent if sent.method == "POST"]) == 1


async def test_preview_that_can_not_be_stored_costs_no_result(
    openai: OpenAI, inline: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_away(inline, monkeypatch, 0.1, StoreUnavailable("disk"))
    state = await inline.run(image(partial_images=2))
    assert len(state.done.artifacts) == openai.billed == 1
    assert not state.done.partial_images


async def test_listener_that_is_gone_costs_no_result(openai: OpenAI, inline: Bench) -> None:
    async def gone(_running: pb.Running) -> None:
        raise ConnectionResetError

    state = await inline.run(image(partial_images=2), on_progress=gone)
    assert len(state.done.artifacts) == openai.billed == 1
    assert len(state.done.partial_images) == 2


async def test_input_is_waited_for_before_anything_is_sent(
    openai: OpenAI, inline: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = await inline.keep(image_bytes())
    until, read = inline.now + 5, inline.store.read

    async def away(key: str) -> bytes:
        if inline.now < until:
            raise StoreUnavailable("disk")
        return await read(key)

    monkeypatch.setattr(inline.store, "read", away)
    assert (await inline.run(image(inputs=[source]))).HasField("done")
    assert len(openai.sent) == 1


async def test_fault_of_ours_in_one_result_does_not_lose_the_others(
    openai: OpenAI, inline: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, puts = inline.store.put_result, [0]

    async def put_result(data: bytes) -> MediaObject:
        puts[0] += 1
        if puts[0] == 1:
            raise ZeroDivisionError
        return await put(data)

    monkeypatch.setattr(inline.store, "put_result", put_result)
    done = (await inline.run(image(n=3))).done
    assert len(done.artifacts) == 2
    assert [missing.reason for missing in done.missing] == [ErrorReason.ERROR_REASON_INTERNAL]
    assert openai.billed == 3


async def test_fault_of_ours_in_one_call_does_not_lose_the_others(
    openai: OpenAI, inline: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, reads = OpenAIAdapter.read_submit, [0]

    def read_submit(self: OpenAIAdapter, *arguments: Any) -> Any:
        reads[0] += 1
        if reads[0] == 2:
            raise AssertionError("a bug")
        return read(self, *arguments)

    monkeypatch.setattr(OpenAIAdapter, "read_submit", read_submit)
    done = (await inline.run(image(model="openai/dall-e-3", n=3))).done
    assert (len(done.artifacts), openai.billed) == (2, 3)
    assert [missing.reason for missing in done.missing] == [ErrorReason.ERROR_REASON_INTERNAL]


async def test_fault_of_ours_in_one_poll_does_not_lose_the_task(
    bfl: Bfl, polled: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    poll, polls = BflAdapter.poll, [0]

    def crash_first(self: BflAdapter, *arguments: Any) -> Any:
        polls[0] += 1
        if polls[0] == 1:
            raise AssertionError("a bug")
        return poll(self, *arguments)

    monkeypatch.setattr(BflAdapter, "poll", crash_first)
    assert len((await polled.run(flux(n=2))).done.artifacts) == bfl.billed == 2


# ---- repeats


@pytest.mark.parametrize("status", [500, 502, 504, 520])
async def test_server_error_that_may_be_charged_is_not_repeated(openai: OpenAI, inline: Bench, status: int) -> None:
    openai.failures[:] = [(status, {"error": {"message": "oops", "type": "server_error"}}, {})] * 4
    assert (await inline.run(image())).failed.may_be_billed
    assert len(openai.sent) == 1


async def test_server_error_after_the_work_is_paid_once(openai: OpenAI, inline: Bench) -> None:
    openai.spoiled[:] = [(500, {"error": {"message": "oops", "type": "server_error"}}, {})] * 4
    assert (await inline.run(image())).failed.may_be_billed
    assert (len(openai.sent), openai.billed) == (1, 1)


@pytest.mark.parametrize(("told", "most"), [("20", 60), ("19", 60), (None, 60), ("0", 60)])
async def test_limit_that_stays_is_told_within_the_retry_time(
    openai: OpenAI, inline: Bench, told: str | None, most: float
) -> None:
    headers = {"retry-after": told} if told else {}
    openai.failures[:] = [(429, {"error": {"message": "slow", "code": "rate_limit_exceeded"}}, headers)] * 9
    began = inline.now
    failed = (await inline.run(image())).failed
    assert failed.reason == ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED
    assert inline.now - began <= most
    assert failed.HasField("retry_after") == bool(told)


async def test_retry_time_is_a_setting(openai: OpenAI, tmp_path: Path) -> None:
    values = {
        "IMAGEGATEWAY_OPENAI_BASE_URL": openai.base,
        "IMAGEGATEWAY_OPENAI_API_KEY": openai.key,
        "IMAGEGATEWAY_RETRY_SECONDS": "7",
    }
    bench = Bench.open(OPENAI_MODELS, [OpenAIAdapter()], tmp_path, values)
    openai.failures[:] = [(429, {"error": {"message": "slow"}}, {"retry-after": "5"})] * 9
    failed = (await bench.run(image())).failed
    assert failed.retry_after.seconds == 5
    assert 5 <= sum(bench.slept) <= 7
    assert len(openai.sent) == 2
    await bench.family.close()


async def test_pause_of_others_is_waited_for_no_longer_than_the_retry_time(openai: OpenAI, inline: Bench) -> None:
    """Every call on the key meets the limit and pauses all: the first must not wait for each of them."""
    openai.failures[:] = [(429, {"error": {"message": "slow"}}, {"retry-after": "20"})] * 99
    began = inline.now
    for _ in range(3):
        await inline.family.start(pb.StartRequest(job_id="job_other", task=image(), fail_fast=True))
        failed = (await inline.run(image())).failed
        assert failed.reason == ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED
        assert failed.retry_after.seconds <= 20
    assert inline.now - began <= 3 * 60


# ---- cancel


async def test_start_that_is_cancelled_while_it_reads_its_inputs_sends_nothing(
    openai: OpenAI, inline: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, read = await inline.keep(image_bytes()), inline.store.read
    task = image(inputs=[source])

    async def cancelled_meanwhile(key: str) -> bytes:
        assert await inline.family.cancel(pb.CancelRequest(job_id="job_test", task=task))
        return await read(key)

    monkeypatch.setattr(inline.store, "read", cancelled_meanwhile)
    failed = (await inline.run(task)).failed
    assert (failed.reason, failed.may_be_billed) == (ErrorReason.ERROR_REASON_CANCELLED, False)
    assert openai.sent == []


async def test_cancelled_start_makes_no_further_calls_and_stops_those_that_are_taken(bfl: Bfl, polled: Bench) -> None:
    """The model takes 6 of 10 calls at once; the cancel comes while those are polled."""
    bfl.script = ["Pending"]
    task = flux(model="bfl/flux-kontext-max", n=10)
    asked = 0

    async def sleep(seconds: float) -> None:
        nonlocal asked
        polled.now += seconds
        asked += 1
        await polled.family.cancel(pb.CancelRequest(job_id="job_test", task=task))

    polled.sleep = sleep
    state = await polled.family.start(pb.StartRequest(job_id="job_test", task=task))
    assert state.HasField("running"), "those six can't be stopped at BFL"
    assert (asked, len(bfl.tasks)) == (1, 6)


# ---- keys in memory


def test_pauses_hold_no_keys_and_are_forgotten() -> None:
    now = [0.0]
    pauses = RoutePauses(lambda: now[0])
    for number in range(1000):
        pauses.extend("openai", f"sk-secret-{number}", 5)
        now[0] += 1
    assert len(pauses) <= 6
    assert pauses.remaining("openai", "sk-secret-999") == 4
    assert pauses.remaining("bfl", "sk-secret-999") <= 0
    assert "secret" not in repr(vars(pauses))


def held_by(owner: object) -> Iterator[dict[str, object]]:
    """Yield the attributes of an object of the kit, and of those that it holds."""
    attributes = {
        name: getattr(owner, name) for name in (*getattr(owner, "__slots__", ()), *getattr(owner, "__dict__", ()))
    }
    yield attributes
    for value in attributes.values():
        if type(value).__module__.startswith("imagegateway.providers.kit"):
            yield from held_by(value)


async def test_callers_key_stays_nowhere_in_the_family(openai: OpenAI, inline: Bench) -> None:
    openai.failures[:] = [(429, {"error": {"message": "slow"}}, {"retry-after": "2"})]
    await inline.run(image(), credential="sk-of-a-caller")
    assert "sk-of-a-caller" not in repr(list(held_by(inline.family)))


# ---- usage


@pytest.mark.parametrize(
    ("usage", "inputs", "whole"),
    [
        ({"input_tokens": 7, "output_tokens": 9, "total_tokens": 16}, 0, (7, 9, 16, 7, 0)),
        ({"input_tokens": 7, "output_tokens": 9, "total_tokens": 16}, 1, None),
        ({"total_tokens": 16}, 0, None),
        ({"input_tokens": 7, "output_tokens": 9, "input_tokens_details": {"text_tokens": 3}}, 1, (7, 9, 16, 3, 4)),
        ({"input_tokens": True, "output_tokens": "9", "total_tokens": 16}, 0, None),
        ({}, 0, None),
    ],
)
async def test_usage_is_whole_or_absent(
    openai: OpenAI, inline: Bench, usage: Any, inputs: int, whole: tuple[int, ...] | None
) -> None:
    data = [{"b64_json": base64.b64encode(image_bytes()).decode()}]
    openai.failures[:] = [(200, {"data": data, "usage": usage}, {})]
    done = (await inline.run(image(inputs=[await inline.keep(image_bytes())] * inputs))).done
    assert done.HasField("usage") == (whole is not None)
    if whole:
        details = done.usage.input_tokens_details
        assert details.HasField("image_tokens"), "a zero is told, too"
        told = (done.usage.input_tokens, done.usage.output_tokens, done.usage.total_tokens)
        assert (*told, details.text_tokens, details.image_tokens) == whole


async def test_usage_of_some_calls_is_no_usage_of_the_task(openai: OpenAI, inline: Bench) -> None:
    data = [{"b64_json": base64.b64encode(image_bytes()).decode()}]
    counted = {"input_tokens": 7, "output_tokens": 9, "total_tokens": 16}
    openai.failures[:] = [(200, {"data": data, "usage": counted}, {}), (200, {"data": data}, {})]
    done = (await inline.run(image(model="openai/dall-e-3", n=2))).done
    assert len(done.artifacts) == 2
    assert not done.HasField("usage")
