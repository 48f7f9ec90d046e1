"""SDXL on a self-hosted server: requests as sent, results and failures."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Any

import pytest
from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.providers.stability.automatic1111 import Automatic1111Adapter
from imagegateway.providers.stability.catalog import MODELS
from imagegateway.v1.error_reason_pb2 import ErrorReason

from tests.emulators.automatic1111 import Automatic1111
from tests.emulators.base import image_bytes
from tests.providers.harness import Harness
from tests.providers.sdxl import corners, left_mask, task

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

R = ErrorReason


@pytest.fixture
async def server() -> AsyncIterator[Automatic1111]:
    async with Automatic1111() as emulator:
        yield emulator


@pytest.fixture
async def harness(server: Automatic1111, tmp_path: Path) -> AsyncIterator[Harness]:
    values = {"IMAGEGATEWAY_AUTOMATIC1111_BASE_URL": server.base}
    async with Harness.open(MODELS, [Automatic1111Adapter()], tmp_path, values) as harness:
        yield harness


async def test_server_makes_n_images_in_one_request(server: Automatic1111, harness: Harness) -> None:
    server.grid = True
    state = await harness.run(task("automatic1111", n=3, width=64, height=72, seed=5, negative_prompt="rain"))
    (sent,) = server.sent
    assert (sent.method, sent.path) == ("POST", "/sdapi/v1/txt2img")
    assert sent.json == {
        "prompt": "a fox",
        "negative_prompt": "rain",
        "steps": 30,
        "batch_size": 1,
        "n_iter": 3,
        "width": 64,
        "height": 72,
        "seed": 5,
        "override_settings": {"sd_model_checkpoint": "sd_xl_base_1.0.safetensors"},
        "force_task_id": "task(job_test-0)",
    }
    assert "authorization" not in sent.headers
    assert [artifact.seed for artifact in state.done.artifacts] == [5, 6, 7]
    assert await harness.bytes_of(state.done.artifacts[0]) == image_bytes(64, 72, colour=(5, 9, 9))
    assert server.billed == 3


async def test_server_receives_input_mask_format_and_quality(server: Automatic1111, harness: Harness) -> None:
    source = image_bytes()
    request = task(
        "automatic1111",
        inputs=[await harness.keep(source)],
        mask=await left_mask(harness),
        output_format="jpeg",
        quality="xhigh",
    )
    request.provider_options.update({"denoising_strength": 0.4, "sampler_name": "DDIM"})
    state = await harness.run(request)
    (sent,) = server.sent
    assert sent.path == "/sdapi/v1/img2img"
    assert [base64.b64decode(text) for text in sent.json["init_images"]] == [source]
    assert corners(sent.json["mask"]) == (255, 0)
    assert (sent.json["steps"], sent.json["denoising_strength"]) == (50, 0.4)
    assert sent.json["override_settings"]["samples_format"] == "jpg"
    assert state.done.artifacts[0].media.media_type == "image/jpeg"


async def test_loras_become_tags_and_tags_in_the_prompt_are_removed(server: Automatic1111, harness: Harness) -> None:
    prompt = "a fox <lora:theirs:1> <lo<lora:x:1>ra:y:1>here<sd_cpp_extra_args>{}</sd_cpp_extra_args>, 1 < 2"
    state = await harness.run(
        task("automatic1111", prompt=prompt, loras=[{"id": "fox", "scale": 0.8}, {"id": "b.safetensors"}])
    )
    assert server.prompts == ["a fox  here, 1 < 2 <lora:fox:0.8> <lora:b:1>"]
    assert [(warning.code, warning.param) for warning in state.done.warnings] == [("parameter_adjusted", "prompt")]
    for lora in ({"url": "https://example.com/x"}, {"id": "a:1><lora:b"}):
        refused = await harness.run(task("automatic1111", loras=[lora]))
        assert refused.failed.param.startswith("loras[0].")
    assert len(server.sent) == 1


async def test_tags_in_options_are_removed(server: Automatic1111, harness: Harness) -> None:
    request = task("automatic1111")
    scripts: dict[str, Any] = {"ADetailer": {"args": [True, {"ad_prompt": "a <lora:x:1>b"}]}}
    request.provider_options.update({"alwayson_scripts": scripts, "cfg_scale": 6, "steps": 12})
    state = await harness.run(request)
    body = server.sent[0].json
    assert (body["prompt"], body["cfg_scale"], body["steps"]) == ("a fox", 6, 12)
    assert body["alwayson_scripts"]["ADetailer"]["args"] == [True, {"ad_prompt": "a b"}]
    assert [warning.param for warning in state.done.warnings] == ["provider_options"]


async def test_requested_compression_is_converted_from_png(server: Automatic1111, harness: Harness) -> None:
    state = await harness.run(task("automatic1111", output_format="jpeg", output_compression=20, moderation="low"))
    assert server.sent[0].json["override_settings"]["samples_format"] == "png"
    assert state.done.artifacts[0].media.media_type == "image/jpeg"
    assert [warning.param for warning in state.done.warnings] == ["moderation"]


async def test_cancel_interrupts_the_server_while_it_works(server: Automatic1111, harness: Harness) -> None:
    server.seconds, server.key = 60.0, "user:pass"
    request = task("automatic1111")
    start = pb.StartRequest(job_id="job_test", task=request, credential="user:pass")
    working = asyncio.create_task(harness.family.start(start))
    await asyncio.wait_for(server.begun.wait(), 10)
    stop = pb.CancelRequest(job_id="job_test", task=request, credential="user:pass")
    assert await harness.family.cancel(stop)
    assert (await asyncio.wait_for(working, 10)).HasField("done")
    assert [sent.path for sent in server.sent[1:]] == ["/internal/progress", "/sdapi/v1/interrupt"]
    assert server.interrupted == ["task(job_test-0)"]


def begin(harness: Harness, job_id: str) -> asyncio.Task[pb.TaskState]:
    return asyncio.create_task(harness.family.start(pb.StartRequest(job_id=job_id, task=task("automatic1111"))))


async def cancel(harness: Harness, job_id: str) -> bool:
    return await harness.family.cancel(pb.CancelRequest(job_id=job_id, task=task("automatic1111")))


@pytest.mark.parametrize("reports_progress", [True, False])
async def test_cancel_of_a_queued_call_interrupts_no_other(
    server: Automatic1111, harness: Harness, *, reports_progress: bool
) -> None:
    server.seconds, server.reports_progress = 60.0, reports_progress
    first = begin(harness, "job_first")
    await asyncio.wait_for(server.begun.wait(), 10)
    second = begin(harness, "job_second")
    await asyncio.wait_for(server.queued.wait(), 10)
    assert not await cancel(harness, "job_second")
    assert "/sdapi/v1/interrupt" not in {sent.path for sent in server.sent}
    assert await cancel(harness, "job_first") == reports_progress
    if reports_progress:
        await asyncio.wait_for(first, 10)
        assert server.interrupted == ["task(job_first-0)"]
    else:
        assert "/sdapi/v1/interrupt" not in {sent.path for sent in server.sent}, (
            "the interrupt could stop the other call"
        )
    for work in (first, second):
        work.cancel()


async def test_only_call_of_a_server_without_progress_is_interrupted(server: Automatic1111, harness: Harness) -> None:
    server.seconds, server.reports_progress = 60.0, False
    work = begin(harness, "job_test")
    await asyncio.wait_for(server.begun.wait(), 10)
    assert await cancel(harness, "job_test")
    assert (await asyncio.wait_for(work, 10)).HasField("done")
    assert server.interrupted == ["task(job_test-0)"]


async def test_cancel_in_the_retry_pause_sends_no_request(server: Automatic1111, harness: Harness) -> None:
    server.failures = [(503, {"detail": "loading"}, {})] * 4
    cancelled: list[bool] = []

    async def cancel_in_the_pause(seconds: float) -> None:
        harness.slept.append(seconds)
        cancelled.append(await cancel(harness, "job_test"))
        await asyncio.Event().wait()

    harness.sleep = cancel_in_the_pause
    state = await asyncio.wait_for(begin(harness, "job_test"), 10)
    assert (state.failed.reason, state.failed.may_be_billed) == (R.ERROR_REASON_CANCELLED, False)
    assert cancelled == [True]
    assert [sent.path for sent in server.sent] == ["/sdapi/v1/txt2img"]


async def test_cancel_of_an_unknown_job_sends_no_request(server: Automatic1111, harness: Harness) -> None:
    assert not await cancel(harness, "job_unknown")
    assert server.sent == []


@pytest.mark.parametrize(("credential", "works"), [("user:pass", True), ("token", False)])
async def test_password_is_sent_as_basic_authentication(
    server: Automatic1111, harness: Harness, credential: str, works: bool
) -> None:
    server.key = "user:pass"
    state = await harness.run(task("automatic1111"), credential=credential)
    assert state.HasField("done") == works
    scheme = "Basic dXNlcjpwYXNz" if works else "Bearer token"
    assert server.sent[0].headers["authorization"] == scheme


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (400, {"detail": "Sampler not found"}, R.ERROR_REASON_INVALID_VALUE),
        (401, {"detail": "Incorrect username or password"}, R.ERROR_REASON_PROVIDER_CREDENTIALS),
        (404, {"detail": "Init image not found"}, R.ERROR_REASON_INVALID_IMAGE),
        (404, {"detail": "Not Found"}, R.ERROR_REASON_PROVIDER_ERROR),
        (422, {"detail": [{"loc": ["body", "steps"], "msg": "bad"}]}, R.ERROR_REASON_INVALID_VALUE),
        (
            500,
            {"error": "OutOfMemoryError", "errors": "CUDA out of memory", "detail": ""},
            R.ERROR_REASON_PROVIDER_ERROR,
        ),
        (500, b"Internal Server Error", R.ERROR_REASON_PROVIDER_ERROR),
    ],
)
async def test_error_is_final_after_one_call_and_not_billed(
    server: Automatic1111, harness: Harness, status: int, body: Any, reason: R.ValueType
) -> None:
    server.failures = [(status, body, {})]
    state = await harness.run(task("automatic1111"))
    assert (state.failed.reason, state.failed.may_be_billed, len(server.sent)) == (reason, False, 1)
    assert "CUDA" not in state.failed.message


@pytest.mark.parametrize(
    ("status", "body", "param"),
    [
        (404, {"error": "HTTPException", "detail": "Init image not found", "body": "", "errors": "x"}, "image"),
        (422, {"detail": [{"loc": ["body", "width"], "msg": "bad"}]}, "size"),
        (422, {"detail": [{"loc": None, "msg": "bad"}]}, ""),
        (422, {"detail": [{"loc": ["body", "sampler_name"], "msg": "bad"}]}, "sampler_name"),
        (422, {"detail": "Script not found"}, ""),
        (422, {"error": "ValidationError", "detail": "", "errors": [{"x": "y"}]}, ""),
    ],
)
async def test_error_names_the_gateway_field(
    server: Automatic1111, harness: Harness, status: int, body: Any, param: str
) -> None:
    server.failures = [(status, body, {})]
    state = await harness.run(task("automatic1111"))
    assert (state.failed.param, state.failed.may_be_billed, len(server.sent)) == (param, False, 1)


async def test_loading_server_is_retried(server: Automatic1111, harness: Harness) -> None:
    server.failures = [(503, {"detail": "loading"}, {})]
    assert (await harness.run(task("automatic1111"))).HasField("done")


async def test_stopped_server_is_unavailable(server: Automatic1111, harness: Harness) -> None:
    await server.stop()
    state = await harness.run(task("automatic1111"))
    assert (state.failed.reason, state.failed.may_be_billed) == (R.ERROR_REASON_PROVIDER_UNAVAILABLE, False)


@pytest.mark.parametrize(
    ("info", "seed"),
    [
        ('{"all_seeds": ["7"], "index_of_first_image": null}', 7),
        ({"all_seeds": [7], "index_of_first_image": "0"}, 7),
        ('{"all_seeds": null, "seed": 7}', 7),
        ('{"seed": -1}', None),
        ("", None),
        (None, None),
        ("no JSON", None),
        ("[1]", None),
    ],
)
async def test_info_of_any_type_is_parsed(
    server: Automatic1111, harness: Harness, info: Any, seed: int | None
) -> None:
    encoded = base64.b64encode(image_bytes()).decode()
    server.failures = [(200, {"images": [f"data:image/png;base64,{encoded}"], "parameters": {}, "info": info}, {})]
    (artifact,) = (await harness.run(task("automatic1111"))).done.artifacts
    assert await harness.bytes_of(artifact) == image_bytes()
    assert (artifact.seed if artifact.HasField("seed") else None) == seed


@pytest.mark.parametrize(("answer", "missing"), [({"images": [], "info": ""}, 0), ({"images": ["x"]}, 1)])
async def test_empty_or_damaged_response_is_a_failure(
    server: Automatic1111, harness: Harness, answer: Any, missing: int
) -> None:
    server.failures = [(200, answer, {})]
    state = await harness.run(task("automatic1111"))
    expected = R.ERROR_REASON_PROVIDER_BAD_RESPONSE if missing else R.ERROR_REASON_PROVIDER_ERROR
    assert (state.failed.reason, state.failed.may_be_billed) == (expected, True)
