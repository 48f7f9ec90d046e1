"""Faults of one family: an unavailable media store, internal errors, retries, cancellation, keys in memory, usage."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

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
from tests.providers.harness import Harness
from tests.support.metrics import Added

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from imagegateway.media.objects import MediaObject, ResultOwner

    from tests.emulators.bfl import Bfl
    from tests.emulators.openai import OpenAI


@pytest.fixture
def inline(openai_harness: Harness) -> Harness:
    return openai_harness


@pytest.fixture
async def polled(bfl: Bfl, tmp_path: Path) -> AsyncIterator[Harness]:
    values = {"IMAGEGATEWAY_BFL_BASE_URL": bfl.base, "IMAGEGATEWAY_BFL_API_KEY": bfl.key}
    async with Harness.open(BFL_MODELS, [BflAdapter()], tmp_path, values) as harness:
        yield harness


def image_task(**fields: Any) -> pb.ImageTask:
    return pb.ImageTask(**{"model": "openai/gpt-image-2", "route": "openai", "prompt": "a fox", "n": 1, **fields})


def flux_task(**fields: Any) -> pb.ImageTask:
    return pb.ImageTask(**{"model": "bfl/flux-2-pro", "route": "bfl", "prompt": "a fox", "n": 1, **fields})


def fail_writes(harness: Harness, monkeypatch: pytest.MonkeyPatch, seconds: float, error: Exception) -> list[int]:
    """Make writes fail for `seconds` from now. Return a list that holds the number of failed writes."""
    until, failed, put = harness.now + seconds, [0], harness.store.put_result

    async def put_result(data: bytes, owner: ResultOwner) -> MediaObject:
        if harness.now < until:
            failed[0] += 1
            raise error
        return await put(data, owner)

    monkeypatch.setattr(harness.store, "put_result", put_result)
    return failed


# ---- the media store


@pytest.mark.parametrize("seconds", [1.5, 30.0, 600.0])
@pytest.mark.parametrize("error", [StoreUnavailable("disk"), OSError(28, "No space left on device")])
async def test_inline_result_survives_an_unavailable_store(
    openai: OpenAI, inline: Harness, monkeypatch: pytest.MonkeyPatch, seconds: float, error: Exception
) -> None:
    failed = fail_writes(inline, monkeypatch, seconds, error)
    state = await inline.run(image_task(n=2))
    assert len(state.done.artifacts) == 2
    assert (len(openai.sent), openai.billed) == (1, 2), "the provider was called again"
    assert 1 < failed[0] < 300, "the pauses do not grow"


async def test_inline_result_fails_after_the_store_is_unavailable_for_fifteen_minutes(
    openai: OpenAI, inline: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_writes(inline, monkeypatch, 1e6, StoreUnavailable("disk"))
    failed = (await inline.run(image_task())).failed
    assert (failed.reason, failed.may_be_billed) == (ErrorReason.ERROR_REASON_INTERNAL, True)
    assert sum(inline.slept) == pytest.approx(900)
    assert openai.billed == 1


@pytest.mark.parametrize("seconds", [1.5, 30.0, 1000.0])
async def test_polled_task_survives_an_unavailable_store(
    bfl: Bfl, polled: Harness, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    fail_writes(polled, monkeypatch, seconds, StoreUnavailable("disk"))
    state = await polled.run(flux_task(), polls=1000)
    assert len(state.done.artifacts) == bfl.billed == 1
    assert len([sent for sent in bfl.sent if sent.method == "POST"]) == 1


async def test_failed_write_of_a_partial_image_loses_no_result(
    openai: OpenAI, inline: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_writes(inline, monkeypatch, 0.1, StoreUnavailable("disk"))
    state = await inline.run(image_task(partial_images=2))
    assert len(state.done.artifacts) == openai.billed == 1
    assert not state.done.partial_images


async def test_failed_progress_callback_loses_no_result(openai: OpenAI, inline: Harness) -> None:
    async def disconnected(_running: pb.Running) -> None:
        raise ConnectionResetError

    state = await inline.run(image_task(partial_images=2), on_progress=disconnected)
    assert len(state.done.artifacts) == openai.billed == 1
    assert len(state.done.partial_images) == 2


async def test_unavailable_input_delays_the_request(
    openai: OpenAI, inline: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = await inline.keep(image_bytes())
    until, read = inline.now + 5, inline.store.read

    async def unavailable(key: str) -> bytes:
        if inline.now < until:
            raise StoreUnavailable("disk")
        return await read(key)

    monkeypatch.setattr(inline.store, "read", unavailable)
    assert (await inline.run(image_task(inputs=[source]))).HasField("done")
    assert len(openai.sent) == 1


async def test_internal_error_in_one_result_keeps_the_others(
    openai: OpenAI, inline: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, puts = inline.store.put_result, [0]

    async def put_result(data: bytes, owner: ResultOwner) -> MediaObject:
        puts[0] += 1
        if puts[0] == 1:
            raise ZeroDivisionError
        return await put(data, owner)

    monkeypatch.setattr(inline.store, "put_result", put_result)
    done = (await inline.run(image_task(n=3))).done
    assert len(done.artifacts) == 2
    assert [missing.reason for missing in done.missing] == [ErrorReason.ERROR_REASON_INTERNAL]
    assert openai.billed == 3


async def test_internal_error_in_one_call_keeps_the_others(
    openai: OpenAI, inline: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, reads = OpenAIAdapter.read_submit, [0]

    def read_submit(self: OpenAIAdapter, *arguments: Any) -> Any:
        reads[0] += 1
        if reads[0] == 2:
            raise AssertionError("a bug")
        return read(self, *arguments)

    monkeypatch.setattr(OpenAIAdapter, "read_submit", read_submit)
    done = (await inline.run(image_task(model="openai/dall-e-3", n=3))).done
    assert (len(done.artifacts), openai.billed) == (2, 3)
    assert [missing.reason for missing in done.missing] == [ErrorReason.ERROR_REASON_INTERNAL]


async def test_internal_error_in_one_poll_keeps_the_task(
    bfl: Bfl, polled: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    poll, polls = BflAdapter.poll, [0]

    def crash_first(self: BflAdapter, *arguments: Any) -> Any:
        polls[0] += 1
        if polls[0] == 1:
            raise AssertionError("a bug")
        return poll(self, *arguments)

    monkeypatch.setattr(BflAdapter, "poll", crash_first)
    assert len((await polled.run(flux_task(n=2))).done.artifacts) == bfl.billed == 2


# ---- retries


@pytest.mark.parametrize("status", [500, 502, 504, 520])
async def test_server_error_that_may_be_billed_is_not_retried(openai: OpenAI, inline: Harness, status: int) -> None:
    openai.failures[:] = [(status, {"error": {"message": "oops", "type": "server_error"}}, {})] * 4
    assert (await inline.run(image_task())).failed.may_be_billed
    assert len(openai.sent) == 1


async def test_server_error_after_generation_is_billed_once(openai: OpenAI, inline: Harness) -> None:
    openai.spoiled[:] = [(500, {"error": {"message": "oops", "type": "server_error"}}, {})] * 4
    assert (await inline.run(image_task())).failed.may_be_billed
    assert (len(openai.sent), openai.billed) == (1, 1)


async def test_requests_count_by_status_and_repeats_by_reason(openai: OpenAI, inline: Harness) -> None:
    openai.failures[:] = [(429, {"error": {"message": "slow"}}, {"retry-after": "1"})]
    openai.failures += [(799, {"error": {"message": "odd"}}, {})]
    added = Added()
    assert (await inline.run(image_task())).HasField("failed")
    assert added.series("imagegateway_provider_request_duration_seconds_count") == {
        ("openai", "429"): 1,
        ("openai", "other"): 1,
    }
    assert added.series("imagegateway_provider_retries_total") == {("openai", "provider_rate_limited"): 1}


async def test_unreachable_provider_counts_as_a_request_without_a_status(tmp_path: Path) -> None:
    values = {
        "IMAGEGATEWAY_OPENAI_BASE_URL": "http://127.0.0.1:1",
        "IMAGEGATEWAY_OPENAI_API_KEY": "key",
        "IMAGEGATEWAY_RETRY_SECONDS": "0",
    }
    async with Harness.open(OPENAI_MODELS, [OpenAIAdapter()], tmp_path, values) as harness:
        added = Added()
        await harness.run(image_task())
    assert added.series("imagegateway_provider_request_duration_seconds_count") == {("openai", "none"): 1}


@pytest.mark.parametrize("retry_after", ["20", "19", None, "0"])
async def test_lasting_rate_limit_is_reported_within_the_retry_time(
    openai: OpenAI, inline: Harness, retry_after: str | None
) -> None:
    headers = {"retry-after": retry_after} if retry_after else {}
    openai.failures[:] = [(429, {"error": {"message": "slow", "code": "rate_limit_exceeded"}}, headers)] * 9
    began = inline.now
    failed = (await inline.run(image_task())).failed
    assert failed.reason == ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED
    assert inline.now - began <= 60
    assert failed.HasField("retry_after") == bool(retry_after)


async def test_retry_time_is_a_setting(openai: OpenAI, tmp_path: Path) -> None:
    values = {
        "IMAGEGATEWAY_OPENAI_BASE_URL": openai.base,
        "IMAGEGATEWAY_OPENAI_API_KEY": openai.key,
        "IMAGEGATEWAY_RETRY_SECONDS": "7",
    }
    harness = Harness.open(OPENAI_MODELS, [OpenAIAdapter()], tmp_path, values)
    openai.failures[:] = [(429, {"error": {"message": "slow"}}, {"retry-after": "5"})] * 9
    failed = (await harness.run(image_task())).failed
    assert failed.retry_after.seconds == 5
    assert 5 <= sum(harness.slept) <= 7
    assert len(openai.sent) == 2
    await harness.family.close()


async def test_pauses_of_other_calls_delay_a_call_at_most_by_the_retry_time(openai: OpenAI, inline: Harness) -> None:
    """Each call with the key hits the rate limit and pauses all calls; pauses must not add up for one call."""
    openai.failures[:] = [(429, {"error": {"message": "slow"}}, {"retry-after": "20"})] * 99
    began = inline.now
    for _ in range(3):
        await inline.family.start(pb.StartRequest(job_id="job_other", task=image_task(), fail_fast=True))
        failed = (await inline.run(image_task())).failed
        assert failed.reason == ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED
        assert failed.retry_after.seconds <= 20
    assert inline.now - began <= 3 * 60


# ---- cancel


async def test_start_cancelled_while_reading_inputs_sends_no_request(
    openai: OpenAI, inline: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, read = await inline.keep(image_bytes()), inline.store.read
    task = image_task(inputs=[source])

    async def cancel_and_read(key: str) -> bytes:
        assert await inline.family.cancel(pb.CancelRequest(job_id="job_test", task=task))
        return await read(key)

    monkeypatch.setattr(inline.store, "read", cancel_and_read)
    failed = (await inline.run(task)).failed
    assert (failed.reason, failed.may_be_billed) == (ErrorReason.ERROR_REASON_CANCELLED, False)
    assert openai.sent == []


async def test_cancelled_start_makes_no_further_calls(bfl: Bfl, polled: Harness) -> None:
    """The model allows 6 of 10 calls at once; the cancel request arrives while those are polled."""
    bfl.script = ["Pending"]
    task = flux_task(model="bfl/flux-kontext-max", n=10)
    cancels = 0

    async def sleep(seconds: float) -> None:
        nonlocal cancels
        polled.now += seconds
        cancels += 1
        await polled.family.cancel(pb.CancelRequest(job_id="job_test", task=task))

    polled.sleep = sleep
    state = await polled.family.start(pb.StartRequest(job_id="job_test", task=task))
    assert state.HasField("running"), "BFL can't cancel the six running calls"
    assert (cancels, len(bfl.tasks)) == (1, 6)


# ---- keys in memory


def test_pauses_hold_no_keys_and_expire() -> None:
    now = [0.0]
    pauses = RoutePauses(lambda: now[0])
    for number in range(1000):
        pauses.extend("openai", f"sk-secret-{number}", 5)
        now[0] += 1
    assert len(pauses) <= 6
    assert pauses.remaining("openai", "sk-secret-999") == 4
    assert pauses.remaining("bfl", "sk-secret-999") <= 0
    assert "secret" not in repr(vars(pauses))


def attributes_of(owner: object) -> Iterator[dict[str, object]]:
    """Yield the attributes of an object of the kit, and of the kit's objects in its attributes."""
    attributes = {
        name: getattr(owner, name) for name in (*getattr(owner, "__slots__", ()), *getattr(owner, "__dict__", ()))
    }
    yield attributes
    for value in attributes.values():
        if type(value).__module__.startswith("imagegateway.providers.kit"):
            yield from attributes_of(value)


async def test_family_keeps_no_callers_key(openai: OpenAI, inline: Harness) -> None:
    openai.failures[:] = [(429, {"error": {"message": "slow"}}, {"retry-after": "2"})]
    await inline.run(image_task(), credential="sk-of-a-caller")
    assert "sk-of-a-caller" not in repr(list(attributes_of(inline.family)))


# ---- usage


@pytest.mark.parametrize(
    ("usage", "inputs", "complete"),
    [
        ({"input_tokens": 7, "output_tokens": 9, "total_tokens": 16}, 0, (7, 9, 16, 7, 0)),
        ({"input_tokens": 7, "output_tokens": 9, "total_tokens": 16}, 1, None),
        ({"total_tokens": 16}, 0, None),
        ({"input_tokens": 7, "output_tokens": 9, "input_tokens_details": {"text_tokens": 3}}, 1, (7, 9, 16, 3, 4)),
        ({"input_tokens": True, "output_tokens": "9", "total_tokens": 16}, 0, None),
        ({}, 0, None),
    ],
)
async def test_usage_is_complete_or_absent(
    openai: OpenAI, inline: Harness, usage: Any, inputs: int, complete: tuple[int, ...] | None
) -> None:
    data = [{"b64_json": base64.b64encode(image_bytes()).decode()}]
    openai.failures[:] = [(200, {"data": data, "usage": usage}, {})]
    done = (await inline.run(image_task(inputs=[await inline.keep(image_bytes())] * inputs))).done
    assert done.HasField("usage") == (complete is not None)
    if complete:
        details = done.usage.input_tokens_details
        assert details.HasField("image_tokens"), "a count of zero has to be present"
        counts = (done.usage.input_tokens, done.usage.output_tokens, done.usage.total_tokens)
        assert (*counts, details.text_tokens, details.image_tokens) == complete


async def test_task_without_the_usage_of_every_call_has_none(openai: OpenAI, inline: Harness) -> None:
    data = [{"b64_json": base64.b64encode(image_bytes()).decode()}]
    counted = {"input_tokens": 7, "output_tokens": 9, "total_tokens": 16}
    openai.failures[:] = [(200, {"data": data, "usage": counted}, {}), (200, {"data": data}, {})]
    done = (await inline.run(image_task(model="openai/dall-e-3", n=2))).done
    assert len(done.artifacts) == 2
    assert not done.HasField("usage")
