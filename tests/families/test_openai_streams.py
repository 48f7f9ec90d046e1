"""Partial images of the openai family: told of as they come, and what a stream that goes wrong leaves."""

from __future__ import annotations

import base64
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.providers.openai.adapter import OpenAIAdapter
from imagegateway.providers.openai.catalog import MODELS
from imagegateway.v1.error_reason_pb2 import ErrorReason

from tests.emulators.base import image_bytes
from tests.emulators.openai import OpenAI
from tests.families.harness import Bench

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def openai() -> AsyncIterator[OpenAI]:
    async with OpenAI() as emulator:
        assert isinstance(emulator, OpenAI)
        yield emulator


@pytest.fixture
async def bench(openai: OpenAI, tmp_path: Path) -> AsyncIterator[Bench]:
    values = {"IMAGEGATEWAY_OPENAI_BASE_URL": openai.base, "IMAGEGATEWAY_OPENAI_API_KEY": openai.key}
    bench = Bench.open(MODELS, [OpenAIAdapter()], tmp_path, values)
    yield bench
    await bench.family.close()


def task(model: str = "openai/gpt-image-2", **fields: Any) -> pb.ImageTask:
    return pb.ImageTask(model=model, route="openai", **{"prompt": "a fox", "n": 1, **fields})


@pytest.mark.parametrize("edit", [False, True])
async def test_partial_images_are_asked_for_and_kept(openai: OpenAI, bench: Bench, edit: bool) -> None:
    inputs = [await bench.keep(image_bytes())] if edit else []
    state = await bench.run(task(inputs=inputs, partial_images=2, n=2))
    if edit:
        assert openai.sent[0].part("stream").text == "true"
        assert openai.sent[0].part("partial_images").text == "2"
    else:
        assert (openai.sent[0].json["stream"], openai.sent[0].json["partial_images"]) == (True, 2)
    previews = [await bench.store.read(preview.media.key) for preview in state.done.partial_images]
    assert previews == 2 * [image_bytes(64, 64, colour=(index, 0, 0)) for index in range(2)]
    assert (len(state.done.artifacts), openai.billed) == (2, 2)
    assert state.done.usage.output_tokens == 8320


async def test_error_in_a_stream_leaves_what_was_made(openai: OpenAI, bench: Bench) -> None:
    openai.broken = {
        "code": "moderation_blocked",
        "message": "no",
        "moderation_details": {"moderation_stage": "output"},
    }
    done = (await bench.run(task(partial_images=1, n=2))).done
    assert (len(done.artifacts), openai.billed) == (1, 1)
    assert [missing.reason for missing in done.missing] == [ErrorReason.ERROR_REASON_MODERATION_BLOCKED]
    failed = (await bench.run(task(partial_images=1))).failed
    assert (failed.reason, failed.may_be_billed) == (ErrorReason.ERROR_REASON_MODERATION_BLOCKED, True)


@pytest.mark.parametrize("edit", [False, True])
async def test_preview_is_told_of_before_the_rest_is_sent(openai: OpenAI, bench: Bench, edit: bool) -> None:
    openai.hold = threading.Event()
    seen: list[list[int]] = []

    async def tell(running: pb.Running) -> None:
        assert not running.task_ref
        assert openai.billed == 0 or len(seen) > 0
        seen.append([preview.index for preview in running.partial_images])
        first = await bench.store.read(running.partial_images[0].media.key)
        assert first == image_bytes(64, 64, colour=(0, 0, 0))
        openai.hold.set()  # type: ignore[union-attr]  # nothing more comes before

    inputs = [await bench.keep(image_bytes())] if edit else []
    state = await bench.run(task(inputs=inputs, partial_images=3), on_progress=tell)
    assert seen == [[0], [0, 1], [0, 1, 2]]
    assert [preview.index for preview in state.done.partial_images] == [0, 1, 2]
    assert (len(state.done.artifacts), openai.billed, len(openai.sent)) == (1, 1, 1)


async def test_previews_keep_the_number_that_they_have_in_their_own_picture(openai: OpenAI, bench: Bench) -> None:
    state = await bench.run(task(partial_images=2, n=2))
    assert [preview.index for preview in state.done.partial_images] == [0, 1, 0, 1]


@pytest.mark.parametrize("cut", [1, 2])
async def test_connection_that_breaks_after_previews_leaves_the_outcome_open(
    openai: OpenAI, bench: Bench, cut: int
) -> None:
    openai.cut = cut
    failed = (await bench.run(task(partial_images=2))).failed
    assert (failed.reason, failed.may_be_billed) == (ErrorReason.ERROR_REASON_PROVIDER_OUTCOME_UNKNOWN, True)
    assert (len(openai.sent), openai.billed) == (1, 0)


async def test_connection_that_breaks_after_a_picture_loses_only_the_others(openai: OpenAI, bench: Bench) -> None:
    openai.cut = 2
    done = (await bench.run(task(partial_images=1, n=2))).done
    assert (len(done.artifacts), openai.billed, len(openai.sent)) == (1, 1, 1)
    assert [missing.reason for missing in done.missing] == [ErrorReason.ERROR_REASON_PROVIDER_OUTCOME_UNKNOWN]
    assert not (await bench.run(task(partial_images=1))).done.missing


async def test_stream_that_takes_too_long_is_not_asked_again(
    openai: OpenAI, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OpenAIAdapter, "timeout_seconds", 0.3)
    openai.hold = threading.Event()
    failed = (await bench.run(task(partial_images=1))).failed
    openai.hold.set()
    assert (failed.reason, failed.may_be_billed) == (ErrorReason.ERROR_REASON_PROVIDER_TIMEOUT, True)
    assert len(openai.sent) == 1


@pytest.mark.parametrize("mangled", [0, 1])
async def test_damaged_event_does_not_lose_the_others(openai: OpenAI, bench: Bench, mangled: int) -> None:
    """The first one is a preview, the second a picture."""
    openai.mangled = mangled
    done = (await bench.run(task(partial_images=1, n=2))).done
    assert (len(done.artifacts), len(done.missing)) == (2 - mangled, mangled)
    assert {missing.reason for missing in done.missing} <= {ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE}
    assert len(done.partial_images) == 1 + mangled


async def test_preview_that_is_no_picture_does_not_lose_the_picture(openai: OpenAI, bench: Bench) -> None:
    whole = base64.b64encode(image_bytes()).decode()
    events = [
        {"type": "image_generation.partial_image", "b64_json": "aGVsbG8=", "partial_image_index": 0},
        {"type": "image_generation.completed", "b64_json": whole},
    ]
    body = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
    openai.failures = [(200, body, {"content-type": "text/event-stream"})]
    done = (await bench.run(task(partial_images=1))).done
    assert (len(done.artifacts), len(done.partial_images)) == (1, 0)


async def test_stream_that_breaks_off_is_a_failure_that_may_have_cost(openai: OpenAI, bench: Bench) -> None:
    openai.failures = [(200, b"event: x\ndata: {\n\n", {"content-type": "text/event-stream"})]
    state = await bench.run(task(partial_images=1))
    assert (state.failed.reason, state.failed.may_be_billed) == (ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE, True)


async def test_streamed_call_that_took_nothing_is_handed_back(openai: OpenAI, bench: Bench) -> None:
    openai.failures = [(429, {"error": {"message": "no", "type": "requests", "code": "rate_limit_exceeded"}}, {})]
    asked = task(partial_images=1)
    state = await bench.family.start(pb.StartRequest(job_id="job_test", task=asked, fail_fast=True))
    assert (state.failed.reason, state.failed.may_be_billed) == (
        ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED,
        False,
    )
    assert len(openai.sent) == 1
