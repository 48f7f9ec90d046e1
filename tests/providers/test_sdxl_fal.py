"""SDXL on fal, and fal's queue: requests as sent, states, failures and billed calls."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
from imagegateway.outbound.url_guard import UrlGuard, UrlRefusedError
from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.providers.stability.catalog import MODELS
from imagegateway.providers.stability.fal import SdxlFalAdapter
from imagegateway.v1.error_reason_pb2 import ErrorReason

from tests.emulators.base import image_bytes
from tests.emulators.fal import Fal, Request
from tests.providers.harness import Harness
from tests.providers.sdxl import LORA, corners, left_mask, task

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

R = ErrorReason


@pytest.fixture
async def fal() -> AsyncIterator[Fal]:
    async with Fal() as emulator:
        yield emulator


@pytest.fixture
async def harness(fal: Fal, tmp_path: Path) -> AsyncIterator[Harness]:
    values = {"IMAGEGATEWAY_FAL_BASE_URL": fal.base, "IMAGEGATEWAY_FAL_API_KEY": fal.key}
    async with Harness.open(MODELS, [SdxlFalAdapter()], tmp_path, values) as harness:
        yield harness


async def test_task_is_queued_polled_and_fetched_by_the_urls_of_the_response(fal: Fal, harness: Harness) -> None:
    state = await harness.run(task("fal", n=2, width=512, height=768, seed=5, negative_prompt="rain", quality="low"))
    submit = fal.sent[0]
    assert (submit.method, submit.path) == ("POST", "/fal-ai/fast-sdxl")
    assert submit.json == {
        "prompt": "a fox",
        "negative_prompt": "rain",
        "num_images": 2,
        "format": "png",
        "image_size": {"width": 512, "height": 768},
        "seed": 5,
        "num_inference_steps": 15,
    }
    root = "/fal-ai/fast-sdxl/requests/req-0"
    assert [sent.path for sent in fal.sent[1:5]] == [f"{root}/status"] * 3 + [root]
    keys = {sent.path.split("/")[1]: sent.headers.get("authorization") for sent in fal.sent}
    assert keys == {"fal-ai": "Key key-id:key-secret", "files": None}
    assert await harness.bytes_of(state.done.artifacts[1]) == image_bytes(512, 768)
    assert [artifact.seed for artifact in state.done.artifacts if artifact.HasField("seed")] == [5]
    assert fal.billed == 2


async def test_inputs_mask_and_loras_are_sent_to_their_apps(fal: Fal, harness: Harness) -> None:
    inputs = [await harness.keep(image_bytes(format_="JPEG"))]
    loras = [LORA, {"id": "owner/fox"}]
    await harness.run(task("fal", inputs=inputs, loras=loras, output_format="jpeg"))
    await harness.run(task("fal", inputs=inputs, mask=await left_mask(harness)))
    first, second = (sent for sent in fal.sent if sent.method == "POST")
    assert (first.path, second.path) == ("/fal-ai/fast-sdxl/image-to-image", "/fal-ai/fast-sdxl/inpainting")
    assert first.json["image_url"].startswith("data:image/jpeg;base64,")
    assert first.json["loras"] == [{"path": LORA["url"], "scale": 0.5}, {"path": "owner/fox", "scale": 1.0}]
    assert first.json["format"] == "jpeg"
    assert corners(second.json["mask_url"]) == (255, 0)


async def test_flagged_images_are_missing_and_all_flagged_is_a_failure(fal: Fal, harness: Harness) -> None:
    fal.flagged = (True, False)
    state = await harness.run(task("fal", n=3))
    assert len(state.done.artifacts) == 2
    assert [missing.reason for missing in state.done.missing] == [R.ERROR_REASON_MODERATION_BLOCKED]
    state = await harness.run(task("fal"))
    assert (state.failed.reason, state.failed.may_be_billed) == (R.ERROR_REASON_MODERATION_BLOCKED, True)


async def test_data_url_in_the_response_is_decoded(fal: Fal, harness: Harness) -> None:
    url = "data:image/png;base64," + base64.b64encode(image_bytes()).decode()
    fal.result = (200, {"images": [{"url": url}], "seed": 3}, {})
    state = await harness.run(task("fal"))
    assert await harness.bytes_of(state.done.artifacts[0]) == image_bytes()


def _detail(kind: str, *loc: str) -> dict[str, Any]:
    return {"detail": [{"loc": ["body", *loc], "msg": "words", "type": kind, "input": "secret"}]}


@pytest.mark.parametrize(
    ("result", "error", "reason"),
    [
        ((422, _detail("content_policy_violation", "prompt")), "", R.ERROR_REASON_MODERATION_BLOCKED),
        ((422, _detail("image_too_small", "image_url")), "", R.ERROR_REASON_INVALID_IMAGE),
        ((422, _detail("file_download_error", "loras")), "", R.ERROR_REASON_INVALID_VALUE),
        ((422, _detail("no_media_generated")), "", R.ERROR_REASON_PROVIDER_ERROR),
        ((422, _detail("feature_not_supported")), "", R.ERROR_REASON_UNSUPPORTED_PARAMETER),
        ((500, _detail("internal_server_error")), "", R.ERROR_REASON_PROVIDER_ERROR),
        ((500, {"detail": "x"}), "runner_server_error", R.ERROR_REASON_PROVIDER_ERROR),
        ((500, _detail("internal_error") | {"detail": [{"loc": None, "msg": 7}]}), "", R.ERROR_REASON_PROVIDER_ERROR),
        ((404, {"status": "NOT_FOUND"}), "runner_disconnected", R.ERROR_REASON_PROVIDER_ERROR),
        ((410, {}), "runner_disconnected", R.ERROR_REASON_PROVIDER_ERROR),
        ((200, {"images": []}), "", R.ERROR_REASON_PROVIDER_BAD_RESPONSE),
        ((200, {"images": [None]}), "", R.ERROR_REASON_PROVIDER_BAD_RESPONSE),
        ((200, {"images": [{"url": None}]}), "", R.ERROR_REASON_PROVIDER_BAD_RESPONSE),
        ((200, {"images": [{"url": "data:image/png;base64,!"}]}), "", R.ERROR_REASON_PROVIDER_BAD_RESPONSE),
        ((200, {"images": [{"url": "http://127.0.0.2/x"}]}), "", R.ERROR_REASON_PROVIDER_BAD_RESPONSE),
        ((200, []), "", R.ERROR_REASON_PROVIDER_BAD_RESPONSE),
        ((503, {"detail": "x"}), "runner_scheduling_failure", R.ERROR_REASON_PROVIDER_UNAVAILABLE),
        ((504, {"detail": "x"}), "generation_timeout", R.ERROR_REASON_PROVIDER_TIMEOUT),
        ((200, {}), "content_policy_violation", R.ERROR_REASON_MODERATION_BLOCKED),
    ],
)
async def test_failed_result_is_final(
    fal: Fal, harness: Harness, result: tuple[int, Any], error: str, reason: R.ValueType
) -> None:
    fal.result = (*result, {})
    fal.error = {"error": "it failed", "error_type": error} if error else {}
    state = await harness.run(task("fal"))
    assert (state.failed.reason, state.failed.may_be_billed) == (reason, True)
    assert "secret" not in state.failed.message
    assert len([sent for sent in fal.sent if sent.method == "POST"]) == 1


async def test_error_names_the_gateway_field(fal: Fal, harness: Harness) -> None:
    fal.result = (422, _detail("image_load_error", "image_url"), {})
    assert (await harness.run(task("fal"))).failed.param == "image"


async def test_ingress_error_at_a_poll_is_waited_out(fal: Fal, harness: Harness) -> None:
    asked = task("fal")
    fal.script = ("COMPLETED",)
    state = await harness.family.start(pb.StartRequest(job_id="job_test", task=asked))
    for status in (502, 200, 502, 429, 200):
        fal.failures = [(status, b"trouble", {})] if status != 200 else []
        state = await harness.family.poll(
            pb.PollRequest(job_id="job_test", task_ref=state.running.task_ref, task=asked)
        )
    assert state.HasField("done")
    assert fal.billed == 1


@pytest.mark.parametrize("script", [("IN_QUEUE", "DREAMING"), ("IN_QUEUE",)])
async def test_unknown_state_or_lost_request_fails_by_name(
    fal: Fal, harness: Harness, script: tuple[str, ...]
) -> None:
    fal.script = script
    asked = task("fal")
    state = await harness.family.start(pb.StartRequest(job_id="job_test", task=asked))
    if len(script) == 1:
        fal.requests.clear()
    for _ in range(60):
        if not state.HasField("running"):
            break
        harness.now += state.running.poll_after.ToTimedelta().total_seconds()
        state = await harness.family.poll(
            pb.PollRequest(job_id="job_test", task_ref=state.running.task_ref, task=asked)
        )
    assert (state.failed.reason, state.failed.may_be_billed) == (R.ERROR_REASON_PROVIDER_BAD_RESPONSE, True)
    assert ("DREAMING" if len(script) > 1 else "NOT_FOUND") in state.failed.message


_PATH = "loras[0].path"
_LOCKED = "User is locked. Reason: Exhausted balance. Top up your balance at fal.ai/dashboard/billing."


@pytest.mark.parametrize(
    ("answer", "reason", "param"),
    [
        ((400, {"detail": "no", "error_type": "bad_request"}), R.ERROR_REASON_INVALID_VALUE, ""),
        ((401, {"detail": "key"}), R.ERROR_REASON_PROVIDER_CREDENTIALS, ""),
        ((402, {"detail": "pay"}), R.ERROR_REASON_PROVIDER_BILLING, ""),
        ((403, {"detail": _LOCKED}), R.ERROR_REASON_PROVIDER_BILLING, ""),
        ((403, {"detail": "Admin lock"}), R.ERROR_REASON_PROVIDER_BILLING, ""),
        ((403, {"detail": "Access blocked"}), R.ERROR_REASON_PROVIDER_CREDENTIALS, ""),
        ((403, {"detail": "no access"}), R.ERROR_REASON_PROVIDER_CREDENTIALS, ""),
        ((404, {"detail": "Application not found"}), R.ERROR_REASON_MODEL_RETIRED, ""),
        ((422, _detail("missing", "image_url")), R.ERROR_REASON_INVALID_VALUE, "image"),
        ((422, {"detail": [{"loc": "prompt", "msg": "m"}]}), R.ERROR_REASON_INVALID_VALUE, ""),
        ((410, {"detail": "gone"}), R.ERROR_REASON_MODEL_RETIRED, ""),
        ((413, b"<html>"), R.ERROR_REASON_FILE_TOO_LARGE, ""),
        ((422, {"detail": [{"loc": ["body", "loras", 0, "path"], "msg": "m"}]}), R.ERROR_REASON_INVALID_VALUE, _PATH),
        ((504, b"<html>"), R.ERROR_REASON_PROVIDER_TIMEOUT, ""),
    ],
)
async def test_error_has_its_reason_and_field(
    fal: Fal, harness: Harness, answer: tuple[int, Any], reason: R.ValueType, param: str
) -> None:
    fal.failures = [(*answer, {})]
    state = await harness.run(task("fal"))
    assert (state.failed.reason, state.failed.param, len(fal.sent)) == (reason, param, 1)
    assert state.failed.may_be_billed == (answer[0] == 504)
    assert "balance" not in state.failed.message


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((500, {"detail": "x", "error_type": "internal_error"}, {}), R.ERROR_REASON_PROVIDER_ERROR),
        ((502, {"detail": "x"}, {"x-fal-error-type": "runner_incomplete_response"}), R.ERROR_REASON_PROVIDER_ERROR),
        ((503, {"detail": "x", "error_type": "runner_disconnected"}, {}), R.ERROR_REASON_PROVIDER_UNAVAILABLE),
        ((504, {"detail": "x", "error_type": "request_timeout"}, {}), R.ERROR_REASON_PROVIDER_TIMEOUT),
        ((500, b"<html>", {"x-fal-request-id": "r"}), R.ERROR_REASON_PROVIDER_ERROR),
    ],
)
async def test_own_server_error_is_not_billed_and_retried(
    fal: Fal, harness: Harness, answer: tuple[int, Any, dict[str, str]], reason: R.ValueType
) -> None:
    fal.failures = [answer]
    assert (await harness.run(task("fal"))).HasField("done")
    assert fal.billed == 1
    fal.failures = [answer] * 4
    state = await harness.run(task("fal"))
    assert (state.failed.reason, state.failed.may_be_billed) == (reason, False)
    assert len([sent for sent in fal.sent if sent.method == "POST"]) == 4, "once more each time"


async def test_urls_are_derived_for_a_response_without_them(fal: Fal, harness: Harness) -> None:
    fal.requests["abc"] = Request("fal-ai/fast-sdxl", {"prompt": "a fox"}, ["COMPLETED"])
    fal.failures = [(200, {"request_id": "abc"}, {})]
    assert (await harness.run(task("fal"))).HasField("done")
    assert [sent.path for sent in fal.sent[1:3]] == [
        "/fal-ai/fast-sdxl/requests/abc/status",
        "/fal-ai/fast-sdxl/requests/abc",
    ]


async def test_forbidden_url_ends_the_task(fal: Fal, harness: Harness) -> None:
    urls = {f"{name}_url": "https://127.0.0.2/x" for name in ("status", "response", "cancel")}
    fal.failures = [(200, {"request_id": "abc", **urls}, {})]
    state = await harness.run(task("fal"), polls=2)
    assert (state.failed.reason, state.failed.may_be_billed) == (R.ERROR_REASON_PROVIDER_BAD_RESPONSE, True)


async def test_foreign_host_of_a_response_is_called_at_the_guarded_address(
    fal: Fal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the guard's resolver knows this name: a second look-up would fail."""
    asked: list[str] = []

    async def addresses(_guard: UrlGuard, host: str, _port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    monkeypatch.setattr(UrlGuard, "addresses", addresses)
    values = {"IMAGEGATEWAY_FAL_BASE_URL": fal.base, "IMAGEGATEWAY_FAL_API_KEY": fal.key}
    harness = Harness.open(
        MODELS, [SdxlFalAdapter()], tmp_path, {**values, "IMAGEGATEWAY_ALLOW_HOSTS": "queue.internal"}
    )
    foreign = fal.base.replace("127.0.0.1", "queue.internal") + "/x"
    urls = {f"{name}_url": foreign for name in ("status", "response", "cancel")}
    fal.failures = [(200, {"request_id": "abc", **urls}, {})]
    state = await harness.family.start(pb.StartRequest(job_id="job_test", task=task("fal")))
    await harness.family.poll(pb.PollRequest(job_id="job_test", task_ref=state.running.task_ref, task=task("fal")))
    await harness.family.close()
    assert asked == ["queue.internal"]
    poll = fal.sent[-1]
    assert (poll.path, "authorization" in poll.headers) == ("/x", False)


async def test_failed_name_look_up_does_not_end_the_task(
    fal: Fal, harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = {f"{name}_url": "https://queue.example.com/x" for name in ("status", "response", "cancel")}
    fal.failures = [(200, {"request_id": "abc", **urls}, {})]
    asked = task("fal")
    state = await harness.family.start(pb.StartRequest(job_id="job_test", task=asked))

    async def addresses(_guard: UrlGuard, _host: str, _port: int) -> list[str]:
        raise UrlRefusedError("its host has no public address", transient=True)

    monkeypatch.setattr(UrlGuard, "addresses", addresses)
    state = await harness.family.poll(pb.PollRequest(job_id="job_test", task_ref=state.running.task_ref, task=asked))
    assert state.HasField("running")


async def test_rate_limit_at_a_poll_sets_the_poll_interval(fal: Fal, harness: Harness) -> None:
    asked = task("fal")
    state = await harness.family.start(pb.StartRequest(job_id="job_test", task=asked))
    fal.failures = [(429, {"detail": "busy"}, {"retry-after": "17"})]
    state = await harness.family.poll(pb.PollRequest(job_id="job_test", task_ref=state.running.task_ref, task=asked))
    assert state.running.poll_after.seconds == 17


async def test_seed_as_text_is_parsed_and_absent_flags_are_accepted(fal: Fal, harness: Harness) -> None:
    url = "data:image/png;base64," + base64.b64encode(image_bytes()).decode()
    fal.result = (200, {"images": [{"url": url, "width": "64"}], "seed": "3", "has_nsfw_concepts": None}, {})
    state = await harness.run(task("fal", moderation="low"))
    assert state.done.artifacts[0].seed == 3
    assert [warning.param for warning in state.done.warnings] == ["moderation"]


async def test_weights_in_options_are_refused(fal: Fal, harness: Harness) -> None:
    asked = task("fal")
    asked.provider_options.update({"loras": [{"path": "https://10.0.0.1/x"}]})
    state = await harness.run(asked)
    assert (state.failed.param, fal.sent) == ("provider_options.loras", [])


async def test_rate_limited_submit_is_retried_after_the_pause(fal: Fal, harness: Harness) -> None:
    busy = {"detail": "busy", "error_type": "concurrent_requests_limit"}
    fal.failures = [(429, busy, {"X-Fal-Needs-Retry": "1"})]
    assert (await harness.run(task("fal"))).HasField("done")
    assert fal.billed == 1


async def test_cancel_before_the_response_sends_no_request(fal: Fal, harness: Harness) -> None:
    assert not await harness.family.cancel(pb.CancelRequest(job_id="job_test", task=task("fal")))
    assert not fal.sent


async def test_cancel_is_sent_to_fal(fal: Fal, harness: Harness) -> None:
    asked = task("fal")
    state = await harness.family.start(pb.StartRequest(job_id="job_test", task=asked))
    stop = pb.CancelRequest(job_id="job_test", task_ref=state.running.task_ref, task=asked)
    assert await harness.family.cancel(stop)
    assert (fal.sent[-1].method, fal.sent[-1].path) == ("PUT", "/fal-ai/fast-sdxl/requests/req-0/cancel")
    assert fal.requests["req-0"].cancelled
