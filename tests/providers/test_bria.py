"""The bria family's route to Bria's own API against its emulator: requests, states, errors and billing."""

from __future__ import annotations

import base64
from io import BytesIO
from typing import TYPE_CHECKING

import pytest
from imagegateway.providers.bria.catalog import MODELS
from imagegateway.v1.error_reason_pb2 import ErrorReason
from PIL import Image

from tests.emulators.base import image_bytes
from tests.emulators.bria import FIELDS
from tests.providers.bria import edit, submits, task

if TYPE_CHECKING:
    from tests.emulators.bria import Bria
    from tests.providers.harness import Harness

BLOCKED = ErrorReason.ERROR_REASON_MODERATION_BLOCKED
IDS = [model.id for model in MODELS]


@pytest.fixture
def harness(bria_harness: Harness) -> Harness:
    return bria_harness


async def test_edit_is_submitted_polled_fetched_and_stored_unchanged(bria: Bria, harness: Harness) -> None:
    state = await edit(harness, seed=5, negative_prompt="fog", output_format="jpeg", quality="high")
    (artifact,) = state.done.artifacts
    submit = bria.sent[0]
    assert (submit.method, submit.path, submit.headers["api_token"]) == ("POST", "/v2/image/edit", bria.key)
    assert "authorization" not in submit.headers
    assert submit.json == {
        "instruction": "a fox",
        "images": [base64.b64encode(image_bytes(80, 60)).decode()],
        "negative_prompt": "fog",
        "seed": 5,
        "steps_num": 50,
        "output_type": "jpeg",
    }
    assert [sent.path for sent in bria.sent[1:4]] == ["/v2/status/request-0"] * 3
    assert await harness.bytes_of(artifact) == image_bytes(80, 60, "JPEG")
    assert (artifact.media.media_type, artifact.seed, bria.billed) == ("image/jpeg", 5, 1)


async def test_key_and_status_polls_go_only_to_the_configured_origin(bria: Bria, harness: Harness) -> None:
    bria.elsewhere = "https://attacker.example"
    assert (await edit(harness)).HasField("done")
    keys = {sent.path.rsplit("/", 1)[0]: sent.headers.get("api_token") for sent in bria.sent}
    assert keys == {"/v2/image": bria.key, "/v2/status": bria.key, "/results": None}


async def test_callers_key_takes_precedence_over_the_operators(bria: Bria, harness: Harness) -> None:
    bria.key = "caller-key"
    assert (await edit(harness)).failed.reason == ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS
    state = await harness.run(task("bria/fibo/generate"), credential="caller-key")
    assert state.HasField("done")


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("bria/fibo-edit/edit", "/v2/image/edit"),
        ("bria/eraser", "/v2/image/edit/erase"),
        ("bria/genfill", "/v2/image/edit/gen_fill"),
    ],
)
async def test_mask_is_black_and_white_with_white_to_edit(
    bria: Bria, harness: Harness, model: str, path: str
) -> None:
    prompt = "" if model == "bria/eraser" else "a fox"
    state = await edit(harness, model, masked=True, prompt=prompt)
    assert state.HasField("done"), state
    sent = bria.sent[0]
    mask = Image.open(BytesIO(base64.b64decode(sent.json["mask"])))
    assert (sent.path, mask.format, mask.mode, mask.size) == (path, "PNG", "L", (80, 60))
    assert [mask.getpixel((column, 30)) for column in range(5)] == [255, 255, 255, 0, 0]
    assert ("prompt" in sent.json) == (model == "bria/genfill")
    assert not state.done.warnings


@pytest.mark.parametrize("model", ["bria/eraser", "bria/genfill"])
async def test_missing_mask_is_refused_before_the_call(bria: Bria, harness: Harness, model: str) -> None:
    state = await edit(harness, model)
    assert (state.failed.reason, state.failed.param) == (ErrorReason.ERROR_REASON_MISSING_PARAMETER, "mask")
    assert not bria.sent


async def test_generate_sends_aspect_ratio_and_resolution(bria: Bria, harness: Harness) -> None:
    sizes = {
        (1024, 1024): ("1:1", "1MP"),
        (1254, 836): ("3:2", "1MP"),
        (836, 1254): ("2:3", "1MP"),
        (1365, 768): ("16:9", "1MP"),
        (2730, 1536): ("16:9", "4MP"),
        (2048, 2048): ("1:1", "4MP"),
    }
    for width, height in sizes:
        await harness.run(task("bria/fibo/generate", width=width, height=height))
    assert [(body["aspect_ratio"], body["resolution"]) for body in submits(bria)] == list(sizes.values())


@pytest.mark.parametrize(
    ("asked", "made"),
    [
        ((1536, 1024), (1254, 836)),
        ((1792, 1024), (1365, 768)),
        ((1024, 1792), (768, 1365)),
        ((1920, 1080), (2730, 1536)),
        ((512, 512), (1024, 1024)),
    ],
)
def test_size_becomes_the_nearest_ratio_and_4mp_above_2_mp(asked: tuple[int, int], made: tuple[int, int]) -> None:
    model = next(model for model in MODELS if model.id == "bria/fibo/generate")
    assert model.sizes.nearest(*asked) == made


async def test_reference_is_sent_to_generate(bria: Bria, harness: Harness) -> None:
    await edit(harness, "bria/fibo/generate", width=1183, height=887)
    (body,) = submits(bria)
    assert body["images"] == [base64.b64encode(image_bytes(80, 60)).decode()]
    assert body["prompt"] == "a fox"


async def test_refined_prompt_is_returned(harness: Harness) -> None:
    state = await edit(harness, "bria/genfill", masked=True)
    assert state.done.artifacts[0].revised_prompt == "a fox, refined"


async def test_unsupported_options_are_warnings(harness: Harness) -> None:
    state = await edit(harness, "bria/remove-background", width=640, height=640, moderation="low")
    assert [(warning.code, warning.param) for warning in state.done.warnings] == [
        ("unsupported_parameter", "moderation"),
        ("unsupported_parameter", "prompt"),
        ("size_adjusted", "size"),
    ]
    assert not (await edit(harness, width=80, height=60)).done.warnings
    assert not (await edit(harness, width=1182, height=887, aspect_ratio="4:3")).done.warnings


@pytest.mark.parametrize("model", IDS)
async def test_every_model_is_served(bria: Bria, harness: Harness, model: str) -> None:
    masked = model in {"bria/eraser", "bria/genfill"}
    state = await edit(harness, model, masked=masked)
    assert state.HasField("done"), state
    assert (bria.sent[0].path.removeprefix("/v2/") in FIELDS, bria.billed) == (True, 1)


@pytest.mark.parametrize(
    ("wanted", "compression", "sent"), [("png", None, "png"), ("webp", None, "png"), ("jpeg", 40, "png")]
)
async def test_formats_that_bria_lacks_are_converted_from_png(
    bria: Bria, harness: Harness, wanted: str, compression: int | None, sent: str
) -> None:
    state = await harness.run(task("bria/fibo/generate", output_format=wanted, output_compression=compression))
    assert submits(bria)[0]["output_type"] == sent
    assert state.done.artifacts[0].media.media_type == f"image/{wanted}"


async def test_n_images_are_n_tasks_with_consecutive_seeds(bria: Bria, harness: Harness) -> None:
    state = await harness.run(task("bria/fibo/generate", n=3, seed=9))
    assert sorted(body["seed"] for body in submits(bria)) == [9, 10, 11]
    assert [artifact.seed for artifact in state.done.artifacts] == [9, 10, 11]
    assert bria.billed == 3


async def test_failed_images_of_n_are_missing(bria: Bria, harness: Harness) -> None:
    bria.failures = [(422, {"error": {"code": 422, "message": "Content moderation", "details": ""}}, {})]
    state = await harness.run(task("bria/fibo/generate", n=3))
    assert (len(state.done.artifacts), bria.billed) == (2, 2)
    assert [missing.reason for missing in state.done.missing] == [BLOCKED]


async def test_options_are_merged_and_a_synchronous_response_is_read(bria: Bria, harness: Harness) -> None:
    state = await edit(harness, provider_options={"sync": True, "guidance_scale": 3})
    assert submits(bria)[0]["guidance_scale"] == 3
    assert state.HasField("done")
    assert [sent.path for sent in bria.sent] == ["/v2/image/edit", "/results/request-0"]


@pytest.mark.parametrize("model", ["bria/fibo-edit/edit", "bria/fibo/generate"])
@pytest.mark.parametrize(
    ("quality", "steps"),
    [("medium", None), ("standard", None), ("high", 50), ("hd", 50), ("xhigh", 50), ("max", 50)],
)
async def test_every_quality_has_a_number_of_steps(
    bria: Bria, harness: Harness, *, model: str, quality: str, steps: int | None
) -> None:
    assert quality in next(known for known in MODELS if known.id == model).qualities
    await edit(harness, model, quality=quality)
    assert submits(bria)[0].get("steps_num") == steps


async def test_image_over_12_mb_is_refused_before_the_call(bria: Bria, harness: Harness) -> None:
    large = await harness.keep(image_bytes() + bytes(12_000_000))
    state = await harness.run(task(inputs=[large]))
    assert (state.failed.reason, state.failed.param) == (ErrorReason.ERROR_REASON_INVALID_IMAGE, "image")
    assert not bria.sent
