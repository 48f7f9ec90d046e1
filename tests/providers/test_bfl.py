"""The bfl family against its emulator: requests, states, errors and billing."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
from imagegateway.providers.bfl.adapter import BflAdapter
from imagegateway.providers.bfl.catalog import MODELS
from imagegateway.v1.error_reason_pb2 import ErrorReason

from tests.emulators.base import image_bytes
from tests.emulators.bfl import MOVIE, Bfl
from tests.providers.harness import Harness
from tests.providers.tasks import task_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def harness(bfl: Bfl, tmp_path: Path) -> AsyncIterator[Harness]:
    values = {"IMAGEGATEWAY_BFL_BASE_URL": bfl.base + "/v1", "IMAGEGATEWAY_BFL_API_KEY": bfl.key}
    async with Harness.open(MODELS, [BflAdapter()], tmp_path, values) as harness:
        yield harness


task = task_of("bfl", "bfl/flux-2-pro")


async def test_image_is_submitted_polled_fetched_and_stored_unchanged(bfl: Bfl, harness: Harness) -> None:
    state = await harness.run(task(width=512, height=768, seed=5, output_format="png"))
    (artifact,) = state.done.artifacts
    submit = bfl.sent[0]
    assert (submit.method, submit.path) == ("POST", "/v1/flux-2-pro")
    assert submit.json == {"prompt": "a fox", "width": 512, "height": 768, "seed": 5, "output_format": "png"}
    assert await harness.bytes_of(artifact) == image_bytes(512, 768)
    assert (artifact.media.media_type, artifact.media.width, artifact.seed) == ("image/png", 512, 5)
    assert (state.done.cost.amount, bfl.billed) == (0.045, 1)


async def test_key_goes_to_the_api_and_not_to_the_result_host(bfl: Bfl, harness: Harness) -> None:
    await harness.run(task())
    keys = {sent.path.partition("/task")[0]: sent.headers.get("x-key") for sent in bfl.sent}
    assert keys["/v1/flux-2-pro"] == keys["/v1/get_result"] == bfl.key
    assert keys["/delivery"] is None
    assert bfl.sent[0].headers["accept"] == bfl.sent[1].headers["accept"] == "application/json"


async def test_poll_goes_to_the_named_host_without_the_key_when_the_host_is_untrusted(
    bfl: Bfl, harness: Harness
) -> None:
    async with Bfl(tasks=bfl.tasks) as other:
        bfl.sibling = other.base
        assert (await harness.run(task())).HasField("done")
    assert [sent.method for sent in bfl.sent] == ["POST"]
    assert other.sent[0].path == "/v1/get_result"
    assert not [sent for sent in other.sent if "x-key" in sent.headers]


async def test_poll_at_an_internal_address_is_refused_at_once(bfl: Bfl, harness: Harness) -> None:
    bfl.sibling = "http://169.254.169.254"
    state = await harness.run(task(), polls=2)
    assert (state.failed.reason, state.failed.may_be_billed) == (ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE, True)
    assert "169.254" not in state.failed.message


async def test_task_without_a_polling_url_is_polled_by_its_id(bfl: Bfl, harness: Harness) -> None:
    bfl.failures = [(200, {"id": "task-0", "cost": 3}, {}), (200, {"status": "Error"}, {})]
    assert (await harness.run(task())).HasField("failed")
    assert (bfl.sent[1].path, bfl.sent[1].query["id"]) == ("/v1/get_result", "task-0")


@pytest.mark.parametrize(
    ("cost", "amount"), [(None, None), ("4.5", 0.045), (0, 0.0), (123456.5, 1234.565), (-1, None), ("free", None)]
)
async def test_cost_comes_from_the_submit_response(
    bfl: Bfl, harness: Harness, cost: Any, amount: float | None
) -> None:
    bfl.cost = cost
    done = (await harness.run(task())).done
    assert (done.cost.amount if done.HasField("cost") else None) == amount


@pytest.mark.parametrize(
    ("model", "fields", "sent"),
    [
        ("bfl/flux-2-pro", {"aspect_ratio": "16:9", "width": 1360, "height": 768}, {"width": 1360, "height": 768}),
        ("bfl/flux-kontext-max", {"aspect_ratio": "3:2"}, {"aspect_ratio": "3:2"}),
        ("bfl/flux-kontext-max", {}, {}),
        ("bfl/flux-dev", {"width": 1440, "height": 960}, {"width": 1440, "height": 960}),
    ],
)
async def test_size_is_sent_as_pixels_or_aspect_ratio_by_model(
    bfl: Bfl, harness: Harness, model: str, fields: dict[str, Any], sent: dict[str, Any]
) -> None:
    assert (await harness.run(task(model, **fields))).HasField("done")
    assert bfl.sent[0].json == {"prompt": "a fox", **sent}


@pytest.mark.parametrize(
    ("model", "tolerance"), [("bfl/flux-2-klein-4b", 5), ("bfl/flux-kontext-pro", 5), ("bfl/flux-3-video", 4)]
)
async def test_low_moderation_is_sent_as_the_models_safety_tolerance(
    bfl: Bfl, harness: Harness, model: str, tolerance: int
) -> None:
    assert (await harness.run(task(model, moderation="low"))).HasField("done")
    assert bfl.sent[0].json["safety_tolerance"] == tolerance


async def test_requested_compression_is_applied_to_a_lossless_png(bfl: Bfl, harness: Harness) -> None:
    done = (await harness.run(task(output_format="jpeg", output_compression=5, width=256, height=256))).done
    small = done.artifacts[0].media
    assert (bfl.sent[0].json["output_format"], small.media_type) == ("png", "image/jpeg")


async def test_n_images_are_n_tasks_with_consecutive_seeds(bfl: Bfl, harness: Harness) -> None:
    state = await harness.run(task(n=3, seed=9))
    submits = [sent.json["seed"] for sent in bfl.sent if sent.method == "POST"]
    assert sorted(submits) == [9, 10, 11]
    assert [artifact.seed for artifact in state.done.artifacts] == [9, 10, 11]


async def test_references_and_mask_are_sent_in_the_models_fields(bfl: Bfl, harness: Harness) -> None:
    first, second = image_bytes(32, 32), image_bytes(32, 32, colour=(1, 2, 3))
    inputs = [await harness.keep(first), await harness.keep(second)]
    await harness.run(task("bfl/flux-kontext-pro", inputs=inputs, aspect_ratio="16:9"))
    sent = bfl.sent[0].json
    assert base64.b64decode(sent["input_image"]) == first
    assert base64.b64decode(sent["input_image_2"]) == second
    assert sent["aspect_ratio"] == "16:9"
    await harness.run(task("bfl/flux-pro-1.0-fill", inputs=inputs[:1], mask=inputs[1], width=32, height=32))
    sent = next(sent for sent in bfl.sent if sent.path.endswith("fill")).json
    assert sent == {"prompt": "a fox", "image": sent["image"], "mask": sent["mask"]}
    assert [base64.b64decode(sent[name]) for name in ("image", "mask")] == [first, second]
    await harness.run(task("bfl/flux-dev", inputs=inputs[:1], width=256, height=256))
    sent = next(sent for sent in bfl.sent if sent.path.endswith("flux-dev")).json
    assert base64.b64decode(sent["image_prompt"]) == first


async def test_fill_without_a_mask_sends_no_size_and_warns(bfl: Bfl, harness: Harness) -> None:
    inputs = [await harness.keep(image_bytes(64, 48))]
    same = (await harness.run(task("bfl/flux-pro-1.0-fill", prompt="", inputs=inputs, width=64, height=48))).done
    other = (await harness.run(task("bfl/flux-pro-1.0-fill", inputs=inputs, width=512, height=512))).done
    assert [[warning.code for warning in done.warnings] for done in (same, other)] == [[], ["size_adjusted"]]
    assert {"width", "height"}.isdisjoint(bfl.sent[0].json)


async def test_eight_references_are_sent_in_separate_fields(bfl: Bfl, harness: Harness) -> None:
    images = [image_bytes(32, 32, colour=(index, 0, 0)) for index in range(8)]
    inputs = [await harness.keep(data) for data in images]
    state = await harness.run(task(inputs=inputs, input_fidelity="high", width=512, height=512))
    sent = bfl.sent[0].json
    names = ["input_image", *(f"input_image_{number}" for number in range(2, 9))]
    assert [base64.b64decode(sent[name]) for name in names] == images
    assert [warning.param for warning in state.done.warnings] == ["input_fidelity"]


@pytest.mark.parametrize(
    ("last", "reason"),
    [
        ("Request Moderated", ErrorReason.ERROR_REASON_MODERATION_BLOCKED),
        ("Content Moderated", ErrorReason.ERROR_REASON_MODERATION_BLOCKED),
        ("REQUEST MODERATED", ErrorReason.ERROR_REASON_MODERATION_BLOCKED),
        ("Error", ErrorReason.ERROR_REASON_PROVIDER_ERROR),
        ("Failed", ErrorReason.ERROR_REASON_PROVIDER_ERROR),
        ("Task not found", ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE),
        ("Daydreaming", ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE),
    ],
)
async def test_terminal_and_unknown_states_end_the_task(
    bfl: Bfl, harness: Harness, last: str, reason: ErrorReason.ValueType
) -> None:
    bfl.script = ("Pending", last)
    state = await harness.run(task())
    assert (state.failed.reason, state.failed.may_be_billed) == (reason, True)
    assert (len([sent for sent in bfl.sent if sent.method == "POST"]), bfl.billed) == (1, 0)


async def test_moderation_message_names_the_refused_part_and_the_filter(bfl: Bfl, harness: Harness) -> None:
    for state, words, param in (("Request Moderated", "prompt", "prompt"), ("Content Moderated", "result", "")):
        bfl.script = (state,)
        failed = (await harness.run(task())).failed
        assert words in failed.message
        assert "Derivative Works Filter" in failed.message
        assert failed.param == param


async def test_states_of_flux_3_and_other_spellings_are_read(bfl: Bfl, harness: Harness) -> None:
    bfl.script = ("Reasoning", "Generating", "PENDING", "ready")
    assert (await harness.run(task("bfl/flux-3-video"))).HasField("done")
    assert bfl.billed == 1


LOST = {"id": "task-0", "status": "Task not found", "result": None}


@pytest.mark.parametrize(
    "answer",
    [
        (404, LOST, {}),
        (404, {"detail": "Task not found"}, {}),
        (404, b"<html>", {}),
        (408, b"", {}),
        (429, {"detail": "slow"}, {"Retry-After": "20"}),
        (500, b"oops", {}),
        (502, b"<html>10.0.0.1</html>", {}),
        (503, {"status": "Error"}, {}),
        (200, b"<html>", {}),
        (200, b'{"id": "task-0", "sta', {}),
        (200, {"id": "task-0"}, {}),
        (200, {"id": "task-0", "status": "Ready", "result": None}, {}),
    ],
)
async def test_poll_without_a_task_state_is_repeated(bfl: Bfl, harness: Harness, answer: Any) -> None:
    bfl.polls = [answer]
    began = harness.now
    assert (await harness.run(task())).HasField("done")
    assert bfl.billed == 1
    if "Retry-After" in answer[2]:
        assert harness.now - began >= 20


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (400, {"detail": "secret"}, ErrorReason.ERROR_REASON_PROVIDER_ERROR),
        (403, {"detail": "secret"}, ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS),
        (422, {"detail": [{"loc": ["query", "id"], "msg": "secret"}]}, ErrorReason.ERROR_REASON_PROVIDER_ERROR),
        (422, {"status": "Content Moderated"}, ErrorReason.ERROR_REASON_MODERATION_BLOCKED),
        (404, LOST, ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE),
        (302, b"", ErrorReason.ERROR_REASON_PROVIDER_ERROR),
    ],
)
async def test_refused_poll_fails_a_task_that_may_be_billed(
    bfl: Bfl, harness: Harness, status: int, body: Any, reason: ErrorReason.ValueType
) -> None:
    bfl.polls = [(status, body, {"location": "/elsewhere"})] * 100
    failed = (await harness.run(task())).failed
    assert (failed.reason, failed.may_be_billed) == (reason, True)
    assert "secret" not in failed.message


async def test_seed_after_the_largest_is_0(bfl: Bfl, harness: Harness) -> None:
    await harness.run(task(n=2, seed=2**32 - 1))
    assert {sent.json["seed"] for sent in bfl.sent if sent.method == "POST"} == {2**32 - 1, 0}


async def test_seed_beyond_32_bits_is_left_out(bfl: Bfl, harness: Harness) -> None:
    result = {"sample": f"{bfl.base}/delivery/task-0", "seed": 1 << 40}
    bfl.polls = [(200, {"id": "task-0", "status": "Ready", "result": result}, {})]
    (artifact,) = (await harness.run(task())).done.artifacts
    assert not artifact.HasField("seed")


async def test_task_that_is_not_visible_yet_is_polled_again(bfl: Bfl, harness: Harness) -> None:
    bfl.script = ("Task not found", "Pending", "Ready")
    assert (await harness.run(task())).HasField("done")


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (400, {"detail": "no"}, ErrorReason.ERROR_REASON_INVALID_VALUE),
        (402, {"detail": "no credits"}, ErrorReason.ERROR_REASON_PROVIDER_BILLING),
        (403, {"detail": "Not authenticated"}, ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS),
        (404, {"detail": "Not Found"}, ErrorReason.ERROR_REASON_MODEL_RETIRED),
        (401, {"detail": "Not authenticated"}, ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS),
        (422, {"detail": [{"loc": ["body", "width"], "msg": "bad"}]}, ErrorReason.ERROR_REASON_INVALID_VALUE),
        (422, {"detail": [{"loc": None, "msg": 7}]}, ErrorReason.ERROR_REASON_INVALID_VALUE),
        (504, b"<html>", ErrorReason.ERROR_REASON_PROVIDER_TIMEOUT),
        (502, b"<html>", ErrorReason.ERROR_REASON_PROVIDER_ERROR),
        (200, b"<html>", ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE),
        (200, {"cost": 1}, ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE),
        (500, b"oops", ErrorReason.ERROR_REASON_PROVIDER_ERROR),
    ],
)
async def test_errors_are_final_after_one_call(
    bfl: Bfl, harness: Harness, status: int, body: Any, reason: ErrorReason.ValueType
) -> None:
    bfl.failures = [(status, body, {})]
    state = await harness.run(task())
    assert (state.failed.reason, len(bfl.sent)) == (reason, 1)
    assert state.failed.may_be_billed == (status == 200 or status >= 500)


@pytest.mark.parametrize(
    ("loc", "param"),
    [
        (["body", "width"], "size"),
        (["body", "input_image_2"], "image"),
        (["body", "safety_tolerance"], "moderation"),
        (["body", "prompt"], "prompt"),
        (["body", "steps", 0], "provider_options.steps.0"),
    ],
)
async def test_refusal_names_the_gateways_parameter(bfl: Bfl, harness: Harness, loc: list[Any], param: str) -> None:
    bfl.failures = [(422, {"detail": [{"loc": loc, "msg": "Input should be less", "type": "x", "ctx": {}}]}, {})]
    wanted = task("bfl/flux-2-flex")
    wanted.provider_options.update({"steps": 99})
    failed = (await harness.run(wanted)).failed
    assert (failed.param, failed.message) == (param, "Black Forest Labs refused the request: Input should be less")


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_server_error_that_may_be_billed_is_not_repeated(bfl: Bfl, harness: Harness, status: int) -> None:
    bfl.failures = [(status, b"<html>", {})]
    failed = (await harness.run(task())).failed
    assert (failed.reason, failed.may_be_billed) == (ErrorReason.ERROR_REASON_PROVIDER_ERROR, True)
    assert len(bfl.sent) == 1


async def test_retry_delay_is_read_from_the_body(bfl: Bfl, harness: Harness) -> None:
    bfl.failures = [(429, {"error": "rate_limited", "message": "slow", "retry_after": 9}, {})]
    assert (await harness.run(task())).HasField("done")
    assert 9 <= harness.slept[0] < 10


async def test_rate_limit_is_waited_out_by_retry_after(bfl: Bfl, harness: Harness) -> None:
    bfl.failures = [(429, {"detail": "slow"}, {"Retry-After": "7"})]
    assert (await harness.run(task())).HasField("done")
    assert 7 <= harness.slept[0] < 8


async def test_broken_connection_after_the_request_is_not_repeated(harness: Harness, bfl: Bfl) -> None:
    await bfl.stop()
    state = await harness.run(task())
    assert state.failed.reason == ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE
    assert not state.failed.may_be_billed


async def test_video_is_sent_with_aspect_ratio_tier_and_whole_seconds(bfl: Bfl, harness: Harness) -> None:
    state = await harness.run(task("bfl/flux-3-video", width=1080, height=1920, seconds=8, moderation="low"))
    assert (bfl.sent[0].path, bfl.sent[0].json) == (
        "/v1/flux-3-video",
        {
            "mode": "t2v",
            "prompt": "a fox",
            "aspect_ratio": "9:16",
            "resolution": "fhd",
            "duration": 8,
            "safety_tolerance": 4,
        },
    )
    (artifact,) = state.done.artifacts
    assert await harness.bytes_of(artifact) == MOVIE
    assert artifact.media.media_type == "video/mp4"


async def test_video_of_fractional_seconds_is_refused_before_the_call(bfl: Bfl, harness: Harness) -> None:
    state = await harness.run(task("bfl/flux-3-video", width=1280, height=720, seconds=7.5))
    assert (state.failed.reason, state.failed.param) == (ErrorReason.ERROR_REASON_INVALID_VALUE, "seconds")
    assert not bfl.sent
