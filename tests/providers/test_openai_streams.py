"""Partial images of the openai family: reports while the stream runs, and results of broken streams."""

from __future__ import annotations

import base64
import json
import threading
from typing import TYPE_CHECKING

import pytest
from imagegateway.platform.settings import Settings
from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.v1.error_reason_pb2 import ErrorReason

from tests.emulators.base import image_bytes
from tests.providers.tasks import task_of

if TYPE_CHECKING:
    from tests.emulators.openai import OpenAI
    from tests.providers.harness import Harness


task = task_of("openai", "openai/gpt-image-2")


@pytest.mark.parametrize("edit", [False, True])
async def test_partial_images_are_requested_and_stored(openai: OpenAI, openai_harness: Harness, edit: bool) -> None:
    inputs = [await openai_harness.keep(image_bytes())] if edit else []
    state = await openai_harness.run(task(inputs=inputs, partial_images=2, n=2))
    if edit:
        assert openai.sent[0].part("stream").text == "true"
        assert openai.sent[0].part("partial_images").text == "2"
    else:
        assert (openai.sent[0].json["stream"], openai.sent[0].json["partial_images"]) == (True, 2)
    partial_images = [await openai_harness.store.read(image.media.key) for image in state.done.partial_images]
    assert partial_images == 2 * [image_bytes(64, 64, colour=(index, 0, 0)) for index in range(2)]
    assert (len(state.done.artifacts), openai.billed) == (2, 2)
    assert state.done.usage.output_tokens == 8320


async def test_error_in_stream_keeps_completed_images(openai: OpenAI, openai_harness: Harness) -> None:
    openai.broken = {
        "code": "moderation_blocked",
        "message": "no",
        "moderation_details": {"moderation_stage": "output"},
    }
    done = (await openai_harness.run(task(partial_images=1, n=2))).done
    assert (len(done.artifacts), openai.billed) == (1, 1)
    assert [missing.reason for missing in done.missing] == [ErrorReason.ERROR_REASON_MODERATION_BLOCKED]
    failed = (await openai_harness.run(task(partial_images=1))).failed
    assert (failed.reason, failed.may_be_billed) == (ErrorReason.ERROR_REASON_MODERATION_BLOCKED, True)


@pytest.mark.parametrize("edit", [False, True])
async def test_partial_image_is_reported_before_the_rest_arrives(
    openai: OpenAI, openai_harness: Harness, edit: bool
) -> None:
    openai.hold = threading.Event()
    seen: list[list[int]] = []

    async def on_progress(running: pb.Running) -> None:
        assert not running.task_ref
        assert openai.billed == 0 or len(seen) > 0
        seen.append([image.index for image in running.partial_images])
        first = await openai_harness.store.read(running.partial_images[0].media.key)
        assert first == image_bytes(64, 64, colour=(0, 0, 0))
        openai.hold.set()  # type: ignore[union-attr]  # the emulator sends no more before

    inputs = [await openai_harness.keep(image_bytes())] if edit else []
    state = await openai_harness.run(task(inputs=inputs, partial_images=3), on_progress=on_progress)
    assert seen == [[0], [0, 1], [0, 1, 2]]
    assert [image.index for image in state.done.partial_images] == [0, 1, 2]
    assert (len(state.done.artifacts), openai.billed, len(openai.sent)) == (1, 1, 1)


async def test_partial_image_index_counts_within_its_own_image(openai: OpenAI, openai_harness: Harness) -> None:
    state = await openai_harness.run(task(partial_images=2, n=2))
    assert [image.index for image in state.done.partial_images] == [0, 1, 0, 1]


@pytest.mark.parametrize("cut", [1, 2])
async def test_connection_broken_after_partial_images_leaves_the_outcome_unknown(
    openai: OpenAI, openai_harness: Harness, cut: int
) -> None:
    openai.cut = cut
    failed = (await openai_harness.run(task(partial_images=2))).failed
    assert (failed.reason, failed.may_be_billed) == (ErrorReason.ERROR_REASON_PROVIDER_OUTCOME_UNKNOWN, True)
    assert (len(openai.sent), openai.billed) == (1, 0)


async def test_connection_broken_after_an_image_loses_only_the_others(
    openai: OpenAI, openai_harness: Harness
) -> None:
    openai.cut = 2
    done = (await openai_harness.run(task(partial_images=1, n=2))).done
    assert (len(done.artifacts), openai.billed, len(openai.sent)) == (1, 1, 1)
    assert [missing.reason for missing in done.missing] == [ErrorReason.ERROR_REASON_PROVIDER_OUTCOME_UNKNOWN]
    assert not (await openai_harness.run(task(partial_images=1))).done.missing


async def test_stream_timeout_is_not_retried(
    openai: OpenAI, openai_harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Settings, "route_timeout", lambda *_: 0.3)  # less than a setting allows
    openai.hold = threading.Event()
    failed = (await openai_harness.run(task(partial_images=1))).failed
    openai.hold.set()
    assert (failed.reason, failed.may_be_billed) == (ErrorReason.ERROR_REASON_PROVIDER_TIMEOUT, True)
    assert len(openai.sent) == 1


@pytest.mark.parametrize("mangled", [0, 1])
async def test_damaged_event_does_not_lose_the_others(openai: OpenAI, openai_harness: Harness, mangled: int) -> None:
    """The first event is a partial image, the second an image."""
    openai.mangled = mangled
    done = (await openai_harness.run(task(partial_images=1, n=2))).done
    assert (len(done.artifacts), len(done.missing)) == (2 - mangled, mangled)
    assert {missing.reason for missing in done.missing} <= {ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE}
    assert len(done.partial_images) == 1 + mangled


async def test_invalid_partial_image_does_not_lose_the_image(openai: OpenAI, openai_harness: Harness) -> None:
    whole = base64.b64encode(image_bytes()).decode()
    events = [
        {"type": "image_generation.partial_image", "b64_json": "aGVsbG8=", "partial_image_index": 0},
        {"type": "image_generation.completed", "b64_json": whole},
    ]
    body = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
    openai.failures = [(200, body, {"content-type": "text/event-stream"})]
    done = (await openai_harness.run(task(partial_images=1))).done
    assert (len(done.artifacts), len(done.partial_images)) == (1, 0)


async def test_damaged_stream_is_a_failure_that_may_be_billed(openai: OpenAI, openai_harness: Harness) -> None:
    openai.failures = [(200, b"event: x\ndata: {\n\n", {"content-type": "text/event-stream"})]
    state = await openai_harness.run(task(partial_images=1))
    assert (state.failed.reason, state.failed.may_be_billed) == (ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE, True)


async def test_rate_limited_streamed_call_fails_fast(openai: OpenAI, openai_harness: Harness) -> None:
    openai.failures = [(429, {"error": {"message": "no", "type": "requests", "code": "rate_limit_exceeded"}}, {})]
    request = pb.StartRequest(job_id="job_test", task=task(partial_images=1), fail_fast=True)
    state = await openai_harness.family.start(request)
    assert (state.failed.reason, state.failed.may_be_billed) == (
        ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED,
        False,
    )
    assert len(openai.sent) == 1
