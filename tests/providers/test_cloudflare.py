"""FLUX by Cloudflare Workers AI against its emulator: requests, responses, errors and billing."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
from imagegateway.providers.bfl.catalog import MODELS
from imagegateway.providers.bfl.cloudflare import CloudflareAdapter
from imagegateway.providers.kit.call import Call
from imagegateway.providers.kit.http_messages import HttpResponse
from imagegateway.providers.kit.outcomes import Finished
from imagegateway.v1.error_reason_pb2 import ErrorReason
from PIL import Image

from tests.emulators.base import image_bytes
from tests.emulators.cloudflare import Cloudflare
from tests.providers.harness import Harness
from tests.providers.tasks import task_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

KLEIN = "@cf/black-forest-labs/flux-2-klein-9b"


@pytest.fixture
async def cloudflare() -> AsyncIterator[Cloudflare]:
    async with Cloudflare() as emulator:
        yield emulator


def opened(cloudflare: Cloudflare, tmp_path: Path, **values: str) -> Harness:
    settings = {
        "CLOUDFLARE_BASE_URL": cloudflare.base,
        "CLOUDFLARE_API_KEY": cloudflare.key,
        "CLOUDFLARE_ACCOUNT_ID": cloudflare.account,
        **values,
    }
    environment = {f"IMAGEGATEWAY_{name}": value for name, value in settings.items()}
    return Harness.open(MODELS, [CloudflareAdapter()], tmp_path, environment)


@pytest.fixture
async def harness(cloudflare: Cloudflare, tmp_path: Path) -> AsyncIterator[Harness]:
    async with opened(cloudflare, tmp_path) as harness:
        yield harness


task = task_of("cloudflare", "bfl/flux-2-klein-9b")


async def test_text_alone_is_multipart_and_the_image_is_stored_unchanged(
    cloudflare: Cloudflare, harness: Harness
) -> None:
    wanted = task(width=1536, height=1024, seed=5)
    wanted.provider_options.update({"guidance": 3})
    state = await harness.run(wanted)
    (artifact,) = state.done.artifacts
    (sent,) = cloudflare.sent
    assert (sent.method, sent.path) == ("POST", f"/client/v4/accounts/{cloudflare.account}/ai/run/{KLEIN}")
    assert sent.headers["authorization"] == f"Bearer {cloudflare.key}"
    assert {part.name: (part.filename, part.text) for part in sent.parts} == {
        "prompt": (None, "a fox"),
        "seed": (None, "5"),
        "width": (None, "1536"),
        "height": (None, "1024"),
        "guidance": (None, "3"),
    }
    assert await harness.bytes_of(artifact) == image_bytes(1536, 1024, "JPEG")
    assert (artifact.media.media_type, artifact.media.width, artifact.seed) == ("image/jpeg", 1536, 5)
    assert (state.done.cost.amount, state.done.cost.estimated, cloudflare.billed) == (0.01500004, True, 1)


async def test_other_format_is_converted_by_the_gateway(cloudflare: Cloudflare, harness: Harness) -> None:
    state = await harness.run(task(output_format="png"))
    assert state.done.artifacts[0].media.media_type == "image/png"
    assert "output_format" not in {part.name for part in cloudflare.sent[0].parts}


async def test_missing_size_is_the_models_default_and_not_cloudflares(
    cloudflare: Cloudflare, harness: Harness
) -> None:
    (artifact,) = (await harness.run(task())).done.artifacts
    assert (artifact.media.width, artifact.media.height) == (1024, 1024)


@pytest.mark.parametrize(("wanted", "warned"), [("jpeg", True), ("webp", False)])
async def test_compression_is_applied_to_converted_formats_and_else_a_warning(
    harness: Harness, wanted: str, *, warned: bool
) -> None:
    done = (await harness.run(task(output_format=wanted, output_compression=30))).done
    assert [warning.param for warning in done.warnings] == ["output_compression"] * warned
    assert done.artifacts[0].media.media_type == f"image/{wanted}"


async def test_options_without_a_cloudflare_field_are_warnings(harness: Harness) -> None:
    inputs = [await harness.keep(image_bytes(64, 64))]
    done = (await harness.run(task(inputs=inputs, moderation="low", input_fidelity="high"))).done
    assert [warning.param for warning in done.warnings] == ["moderation", "input_fidelity"]


async def test_n_images_are_n_calls_with_consecutive_seeds(cloudflare: Cloudflare, harness: Harness) -> None:
    state = await harness.run(task(n=3, seed=9))
    assert sorted(sent.part("seed").text for sent in cloudflare.sent) == ["10", "11", "9"]
    assert [artifact.seed for artifact in state.done.artifacts] == [9, 10, 11]
    assert cloudflare.billed == 3


async def test_large_references_are_scaled_down_and_small_ones_sent_unchanged(
    cloudflare: Cloudflare, harness: Harness
) -> None:
    small, large = image_bytes(511, 400, "JPEG"), image_bytes(1024, 512)
    inputs = [await harness.keep(small), await harness.keep(large)]
    state = await harness.run(task(inputs=inputs, width=1024, height=512))
    first, second = (cloudflare.sent[0].part(f"input_image_{index}") for index in range(2))
    assert (first.filename, first.content_type, first.data) == ("image.jpg", "image/jpeg", small)
    shrunk = Image.open(io.BytesIO(second.data))
    assert (second.content_type, shrunk.size, shrunk.getpixel((9, 9))) == ("image/png", (511, 256), (9, 99, 199))
    assert [warning.code for warning in state.done.warnings] == ["image_adjusted"]


async def test_schnell_takes_json_and_nothing_else(cloudflare: Cloudflare, harness: Harness) -> None:
    wanted = task("bfl/flux-1-schnell", width=1024, height=1024)
    wanted.provider_options.update({"steps": 8})
    assert (await harness.run(wanted)).HasField("done")
    assert cloudflare.sent[0].json == {"prompt": "a fox", "steps": 8}


@pytest.mark.parametrize("model", ["bfl/flux-2-klein-4b", "bfl/flux-2-dev"])
async def test_other_models_are_served(cloudflare: Cloudflare, harness: Harness, model: str) -> None:
    assert (await harness.run(task(model, width=1024, height=1024))).HasField("done")
    assert cloudflare.sent[0].path.endswith(model.replace("bfl/", "@cf/black-forest-labs/"))


@pytest.mark.parametrize("suffix", ["", "/", "/client/v4", "/client/v4/accounts/0123456789abcdef0123456789abcdef"])
async def test_base_url_may_hold_the_version_and_the_account(
    cloudflare: Cloudflare, tmp_path: Path, suffix: str
) -> None:
    account = "" if "accounts" in suffix else cloudflare.account
    harness = opened(
        cloudflare, tmp_path, CLOUDFLARE_BASE_URL=cloudflare.base + suffix, CLOUDFLARE_ACCOUNT_ID=account
    )
    assert (await harness.run(task())).HasField("done")
    await harness.family.close()


async def test_missing_account_is_named(cloudflare: Cloudflare, tmp_path: Path) -> None:
    harness = opened(cloudflare, tmp_path, CLOUDFLARE_ACCOUNT_ID="")
    state = await harness.run(task())
    assert state.failed.reason == ErrorReason.ERROR_REASON_PROVIDER_NOT_CONFIGURED
    assert "IMAGEGATEWAY_CLOUDFLARE_ACCOUNT_ID" in state.failed.message
    assert not cloudflare.sent
    await harness.family.close()


@pytest.mark.parametrize(
    ("prompt", "reason", "accepted"),
    [
        ("wrong-token", ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS, False),
        ("bad-token-form", ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS, False),
        ("wrong-account", ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS, False),
        ("no-such-model", ErrorReason.ERROR_REASON_MODEL_RETIRED, False),
        ("model-gone", ErrorReason.ERROR_REASON_MODEL_RETIRED, False),
        ("invalid-data", ErrorReason.ERROR_REASON_INVALID_VALUE, False),
        ("bad-schema", ErrorReason.ERROR_REASON_INVALID_VALUE, False),
        ("incomplete", ErrorReason.ERROR_REASON_INVALID_VALUE, False),
        ("no-access", ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS, False),
        ("no-licence", ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS, False),
        ("blocked", ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS, False),
        ("private", ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS, False),
        ("bad-task", ErrorReason.ERROR_REASON_INVALID_VALUE, False),
        ("bad-method", ErrorReason.ERROR_REASON_INVALID_VALUE, False),
        ("too-large", ErrorReason.ERROR_REASON_INVALID_IMAGE, False),
        ("used-up", ErrorReason.ERROR_REASON_PROVIDER_BILLING, False),
        ("used-up-live", ErrorReason.ERROR_REASON_PROVIDER_BILLING, False),
        ("finetune", ErrorReason.ERROR_REASON_INVALID_VALUE, False),
        ("flagged", ErrorReason.ERROR_REASON_MODERATION_BLOCKED, True),
        ("flagged-elsewhere", ErrorReason.ERROR_REASON_MODERATION_BLOCKED, True),
        ("nsfw", ErrorReason.ERROR_REASON_MODERATION_BLOCKED, True),
        ("bad-image", ErrorReason.ERROR_REASON_INVALID_IMAGE, False),
        ("model-trouble", ErrorReason.ERROR_REASON_PROVIDER_ERROR, True),
        ("no-route", ErrorReason.ERROR_REASON_PROVIDER_ERROR, False),
        ("edge-502", ErrorReason.ERROR_REASON_PROVIDER_ERROR, True),
        ("edge-520", ErrorReason.ERROR_REASON_PROVIDER_ERROR, True),
        ("edge-522", ErrorReason.ERROR_REASON_PROVIDER_TIMEOUT, True),
        ("edge-524", ErrorReason.ERROR_REASON_PROVIDER_TIMEOUT, True),
    ],
)
async def test_errors_are_mapped_by_code_and_final(
    cloudflare: Cloudflare, harness: Harness, prompt: str, reason: ErrorReason.ValueType, *, accepted: bool
) -> None:
    state = await harness.run(task(prompt=prompt))
    assert (state.failed.reason, state.failed.may_be_billed) == (reason, accepted)
    assert (len(cloudflare.sent), cloudflare.billed) == (1, 0)
    for internal in ("CUDA", "10.0.0.1", "AiError", "e900ad1a", cloudflare.account):
        assert internal not in state.failed.message


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        ("no-capacity", ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED),
        ("rate-971", ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED),
        ("rate-10429", ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED),
        ("rate-html", ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED),
    ],
)
async def test_unbilled_refusal_is_retried_and_then_fails(
    cloudflare: Cloudflare, harness: Harness, prompt: str, reason: ErrorReason.ValueType
) -> None:
    state = await harness.run(task(prompt=prompt))
    assert (state.failed.reason, state.failed.may_be_billed) == (reason, False)
    assert (len(cloudflare.sent), cloudflare.billed) == (4, 0)


async def test_unavailable_edge_is_retried_once(cloudflare: Cloudflare, harness: Harness) -> None:
    state = await harness.run(task(prompt="edge-503"))
    unavailable = ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE
    assert (state.failed.reason, state.failed.may_be_billed) == (unavailable, False)
    assert (len(cloudflare.sent), cloudflare.billed) == (2, 0)


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        ("timed-out", ErrorReason.ERROR_REASON_PROVIDER_TIMEOUT),
        ("aborted", ErrorReason.ERROR_REASON_PROVIDER_TIMEOUT),
        ("empty", ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE),
    ],
)
async def test_call_that_made_no_image_by_cloudflares_statement_is_retried_once(
    cloudflare: Cloudflare, harness: Harness, prompt: str, reason: ErrorReason.ValueType
) -> None:
    state = await harness.run(task(prompt=prompt))
    assert (state.failed.reason, state.failed.may_be_billed) == (reason, True)
    assert (len(cloudflare.sent), cloudflare.billed) == (2, 0)


@pytest.mark.parametrize(("code", "accepted"), [(3036, False), (3030, True), (3999, True)])
async def test_refusal_with_status_200_is_mapped_by_its_code(
    cloudflare: Cloudflare, harness: Harness, code: int, *, accepted: bool
) -> None:
    body = {"success": False, "errors": [{"code": code, "message": "AiError: no"}], "result": None}
    cloudflare.failures = [(200, body, {})]
    state = await harness.run(task())
    assert (state.failed.may_be_billed, len(cloudflare.sent)) == (accepted, 1)


@pytest.mark.parametrize(
    "answer", [b"<html>10.0.0.1</html>", b'{"res', {"result": {"image": "%"}}, {"result": {"image": "aGVsbG8="}}]
)
async def test_response_without_a_valid_image_is_final(cloudflare: Cloudflare, harness: Harness, answer: Any) -> None:
    cloudflare.failures = [(200, answer, {})]
    state = await harness.run(task())
    assert (state.failed.reason, state.failed.may_be_billed) == (ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE, True)
    assert len(cloudflare.sent) == 1


async def test_other_images_are_kept_when_one_is_refused(cloudflare: Cloudflare, harness: Harness) -> None:
    cloudflare.failures = [(400, {"success": False, "errors": [{"code": 3030, "message": "NSFW"}]}, {})]
    done = (await harness.run(task(n=3, seed=4))).done
    assert [missing.reason for missing in done.missing] == [ErrorReason.ERROR_REASON_MODERATION_BLOCKED]
    assert (len(done.artifacts), cloudflare.billed) == (2, 2)


async def test_wrong_account_and_wrong_token_are_refused(cloudflare: Cloudflare, tmp_path: Path) -> None:
    for values in ({"CLOUDFLARE_ACCOUNT_ID": "f" * 32}, {"CLOUDFLARE_API_KEY": "other"}):
        harness = opened(cloudflare, tmp_path, **values)
        state = await harness.run(task())
        assert state.failed.reason == ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS
        await harness.family.close()


def test_raw_image_is_recognised_by_its_content_type() -> None:
    model = next(model for model in MODELS if model.id == "bfl/flux-1-schnell")
    call = Call(task(model.id), model, model.routes[0], "job_test", 0, 1)
    outcome = CloudflareAdapter().read_submit(call, HttpResponse(200, {"content-type": "image/jpeg"}, b"\xff\xd8"))
    assert isinstance(outcome, Finished)
    assert outcome.results[0].data == b"\xff\xd8"
