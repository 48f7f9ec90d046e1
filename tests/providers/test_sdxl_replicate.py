"""SDXL on Replicate: requests as sent, states, failures and billed calls."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.providers.stability.catalog import MODELS
from imagegateway.providers.stability.replicate import ReplicateAdapter
from imagegateway.v1.error_reason_pb2 import ErrorReason

from tests.emulators.base import image_bytes
from tests.emulators.replicate import VERSION, Replicate
from tests.providers.harness import Harness
from tests.providers.sdxl import LORA, corners, left_mask, task

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

R = ErrorReason


@pytest.fixture
async def replicate() -> AsyncIterator[Replicate]:
    async with Replicate() as emulator:
        yield emulator


@pytest.fixture
async def harness(replicate: Replicate, tmp_path: Path) -> AsyncIterator[Harness]:
    values = {"IMAGEGATEWAY_REPLICATE_BASE_URL": replicate.base, "IMAGEGATEWAY_REPLICATE_API_KEY": replicate.key}
    async with Harness.open(MODELS, [ReplicateAdapter()], tmp_path, values) as harness:
        yield harness


async def test_prediction_is_made_and_the_key_is_sent_to_the_api_only(replicate: Replicate, harness: Harness) -> None:
    state = await harness.run(
        task("replicate", n=2, width=512, height=768, seed=5, negative_prompt="rain", quality="max")
    )
    submit = replicate.sent[0]
    assert (submit.method, submit.path) == ("POST", "/v1/predictions")
    assert submit.json == {
        "version": VERSION,
        "input": {
            "prompt": "a fox",
            "negative_prompt": "rain",
            "num_outputs": 2,
            "width": 512,
            "height": 768,
            "seed": 5,
            "refine": "expert_ensemble_refiner",
        },
    }
    keys = {sent.path.split("/")[1]: sent.headers.get("authorization") for sent in replicate.sent}
    assert keys == {"v1": "Bearer r8_test", "delivery": None}
    assert [artifact.seed for artifact in state.done.artifacts if artifact.HasField("seed")] == [5]
    assert await harness.bytes_of(state.done.artifacts[1]) == image_bytes(512, 768)
    assert replicate.billed == 2


async def test_inputs_mask_and_one_lora_are_sent(replicate: Replicate, harness: Harness) -> None:
    inputs = [await harness.keep(image_bytes())]
    asked = task("replicate", inputs=inputs, mask=await left_mask(harness), loras=[LORA])
    asked.provider_options.update({"prompt_strength": 0.5, "num_inference_steps": 30})
    state = await harness.run(asked)
    assert state.HasField("done"), state
    made = replicate.sent[0].json["input"]
    assert made["image"] == "data:image/png;base64," + base64.b64encode(image_bytes()).decode()
    assert corners(made["mask"]) == (255, 0)
    assert (made["replicate_weights"], made["lora_scale"]) == (LORA["url"], 0.5)
    assert (made["prompt_strength"], made["num_inference_steps"]) == (0.5, 30)


@pytest.mark.parametrize(
    ("loras", "param"),
    [
        ([LORA, LORA], "loras"),
        ([{"id": "x", "scale": 2}], "loras[0].scale"),
    ],
)
async def test_unsupported_loras_are_refused(replicate: Replicate, harness: Harness, loras: Any, param: str) -> None:
    state = await harness.run(task("replicate", loras=loras))
    assert (state.failed.param, replicate.sent) == (param, [])


async def test_large_n_is_several_predictions_and_flagged_images_are_missing(
    replicate: Replicate, harness: Harness
) -> None:
    replicate.flagged = 1
    state = await harness.run(task("replicate", n=6, seed=10))
    submits = [sent.json["input"] for sent in replicate.sent if sent.path == "/v1/predictions"]
    assert sorted((made["num_outputs"], made["seed"]) for made in submits) == [(2, 14), (4, 10)]
    assert len(state.done.artifacts) == replicate.billed == 4
    assert {missing.reason for missing in state.done.missing} == {R.ERROR_REASON_MODERATION_BLOCKED}
    assert len(state.done.missing) == 2


@pytest.mark.parametrize(
    ("last", "error", "reason"),
    [
        ("failed", "NSFW content detected. Try again", R.ERROR_REASON_MODERATION_BLOCKED),
        ("failed", "The input was flagged as sensitive (E005)", R.ERROR_REASON_MODERATION_BLOCKED),
        ("failed", "CUDA out of memory", R.ERROR_REASON_PROVIDER_ERROR),
        ("canceled", "", R.ERROR_REASON_CANCELLED),
        ("aborted", "", R.ERROR_REASON_PROVIDER_TIMEOUT),
        ("daydreaming", "", R.ERROR_REASON_PROVIDER_BAD_RESPONSE),
    ],
)
async def test_final_state_has_its_reason(
    replicate: Replicate, harness: Harness, last: str, error: str, reason: R.ValueType
) -> None:
    replicate.script, replicate.error = ("starting", last), error
    state = await harness.run(task("replicate"))
    assert state.failed.reason == reason
    assert state.failed.may_be_billed == (last != "aborted")  # did not begin, so not billed
    assert "CUDA" not in state.failed.message
    assert len([sent for sent in replicate.sent if sent.method == "POST"]) == 1


async def test_lost_output_is_a_failure(replicate: Replicate, harness: Harness) -> None:
    lost = {"id": "x", "status": "succeeded", "output": None, "data_removed": True}
    replicate.failures = [(201, lost, {})]
    assert (await harness.run(task("replicate"))).failed.reason == R.ERROR_REASON_PROVIDER_BAD_RESPONSE


@pytest.mark.parametrize(
    ("output", "made", "missing"),
    [
        ("data:image/png;base64," + base64.b64encode(image_bytes()).decode(), 1, 1),
        (["data:image/png;base64," + base64.b64encode(image_bytes()).decode(), None], 1, 1),
        ([], 0, 0),
        ({"x": "y"}, 0, 0),
        (["data:image/png;base64,!"], 0, 0),
        (["https://127.0.0.2/x.png"], 0, 0),
    ],
)
async def test_output_of_any_type_is_parsed(
    replicate: Replicate, harness: Harness, output: Any, made: int, missing: int
) -> None:
    replicate.failures = [(201, {"id": "x", "status": "succeeded", "output": output}, {})]
    state = await harness.run(task("replicate", n=2))
    assert (len(state.done.artifacts), len(state.done.missing)) == (made, missing)
    if not made:
        assert (state.failed.reason, state.failed.may_be_billed) == (R.ERROR_REASON_PROVIDER_BAD_RESPONSE, True)


async def test_rate_limit_at_a_poll_is_waited_out(replicate: Replicate, harness: Harness) -> None:
    asked = task("replicate")
    state = await harness.family.start(pb.StartRequest(job_id="job_test", task=asked))
    replicate.failures = [(429, {"detail": "Request was throttled. Your rate limit resets in ~30s."}, {})]
    state = await harness.family.poll(pb.PollRequest(job_id="job_test", task_ref=state.running.task_ref, task=asked))
    assert state.running.poll_after.seconds == 30


async def test_weights_in_options_are_refused(replicate: Replicate, harness: Harness) -> None:
    asked = task("replicate", moderation="low")
    asked.provider_options.update({"replicate_weights": "https://10.0.0.1/x.tar"})
    state = await harness.run(asked)
    assert (state.failed.reason, state.failed.param, replicate.sent) == (
        R.ERROR_REASON_UNSUPPORTED_PARAMETER,
        "provider_options.replicate_weights",
        [],
    )
    state = await harness.run(task("replicate", moderation="low"))
    assert [warning.param for warning in state.done.warnings] == ["moderation"]


_NAMED = {"field": "input", "description": "prompt is required"}
_FIELD = {"type": "invalid", "field": "input.width", "description": "Must be a multiple of 8"}


@pytest.mark.parametrize(
    ("answer", "reason", "param"),
    [
        ((400, {"detail": "no JSON"}), R.ERROR_REASON_INVALID_VALUE, ""),
        ((401, {"title": "Unauthenticated"}), R.ERROR_REASON_PROVIDER_CREDENTIALS, ""),
        ((402, {"title": "Insufficient credit"}), R.ERROR_REASON_PROVIDER_BILLING, ""),
        ((403, {"detail": "no"}), R.ERROR_REASON_PROVIDER_CREDENTIALS, ""),
        ((404, {"detail": "not found"}), R.ERROR_REASON_MODEL_RETIRED, ""),
        ((422, {"title": "Invalid version or not permitted"}), R.ERROR_REASON_MODEL_RETIRED, ""),
        (
            (422, {"title": "Input validation failed", "detail": "x", "invalid_fields": [_FIELD]}),
            R.ERROR_REASON_INVALID_VALUE,
            "size",
        ),
        (
            (
                422,
                {"title": "Input validation failed", "invalid_fields": [_NAMED]},
            ),
            R.ERROR_REASON_INVALID_VALUE,
            "prompt",
        ),
        (
            (422, {"title": "Input validation failed", "detail": "- input.lora_scale: Must be less\n- input: x"}),
            R.ERROR_REASON_INVALID_VALUE,
            "loras",
        ),
        ((422, {"title": None, "detail": ["x"], "invalid_fields": ["x"]}), R.ERROR_REASON_INVALID_VALUE, ""),
        ((410, b"gone"), R.ERROR_REASON_MODEL_RETIRED, ""),
        ((413, b"<html>"), R.ERROR_REASON_FILE_TOO_LARGE, ""),
        ((504, b"<html>"), R.ERROR_REASON_PROVIDER_ERROR, ""),
    ],
)
async def test_error_has_its_reason_and_field(
    replicate: Replicate, harness: Harness, answer: tuple[int, Any], reason: R.ValueType, param: str
) -> None:
    replicate.failures = [(*answer, {})]
    state = await harness.run(task("replicate"))
    assert (state.failed.reason, state.failed.param, len(replicate.sent)) == (reason, param, 1)
    assert state.failed.may_be_billed == (answer[0] == 504)


@pytest.mark.parametrize("answer", [(500, {"detail": "x"}, {}), (502, b"<html>", {}), (503, b"", {})])
async def test_server_error_without_id_is_retried(
    replicate: Replicate, harness: Harness, answer: tuple[int, Any, dict[str, str]]
) -> None:
    replicate.failures = [answer]
    assert (await harness.run(task("replicate"))).HasField("done")
    assert replicate.billed == 1
    replicate.failures = [answer] * 4
    state = await harness.run(task("replicate"))
    assert not state.failed.may_be_billed
    assert len([sent for sent in replicate.sent if sent.path == "/v1/predictions"]) == 4, "once more each time"


async def test_server_error_with_id_is_not_retried(replicate: Replicate, harness: Harness) -> None:
    replicate.failures = [(500, {"id": "x", "status": "starting"}, {})]
    state = await harness.run(task("replicate"))
    assert (state.failed.reason, state.failed.may_be_billed) == (R.ERROR_REASON_PROVIDER_ERROR, True)
    assert len(replicate.sent) == 1


async def test_rate_limit_pause_is_parsed_from_the_message(replicate: Replicate, harness: Harness) -> None:
    replicate.failures = [(429, {"detail": "Request was throttled. Your rate limit resets in ~6s."}, {})]
    assert (await harness.run(task("replicate"))).HasField("done")
    assert 6 <= harness.slept[0] < 7


async def test_cancel_is_sent_to_replicate(replicate: Replicate, harness: Harness) -> None:
    asked = task("replicate")
    state = await harness.family.start(pb.StartRequest(job_id="job_test", task=asked))
    stop = pb.CancelRequest(job_id="job_test", task_ref=state.running.task_ref, task=asked)
    assert await harness.family.cancel(stop)
    assert (replicate.sent[-1].method, replicate.sent[-1].path.rpartition("/")[2]) == ("POST", "cancel")
    assert [prediction.states for prediction in replicate.predictions.values()] == [["canceled"]]


async def test_cancel_of_two_calls_is_confirmed_only_when_replicate_stops_both(
    replicate: Replicate, harness: Harness
) -> None:
    asked = task("replicate", n=5)
    state = await harness.family.start(pb.StartRequest(job_id="job_test", task=asked))
    assert len(replicate.predictions) == 2
    stop = pb.CancelRequest(job_id="job_test", task_ref=state.running.task_ref, task=asked)
    replicate.failures = [(500, {"detail": "Internal error"}, {})]
    assert not await harness.family.cancel(stop)
    assert await harness.family.cancel(stop)
