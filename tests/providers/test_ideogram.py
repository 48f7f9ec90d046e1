"""The ideogram family against its emulator: requests, responses, errors and billing."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
from imagegateway.media import images
from imagegateway.providers.catalog import Capability
from imagegateway.providers.ideogram.adapter import IdeogramAdapter
from imagegateway.providers.ideogram.catalog import MODELS
from imagegateway.v1.error_reason_pb2 import ErrorReason
from PIL import Image

from tests.emulators.base import image_bytes
from tests.emulators.ideogram import CALLS, Ideogram
from tests.providers.harness import Harness, dollars, left_half
from tests.providers.tasks import task_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def harness(ideogram_harness: Harness) -> Harness:
    return ideogram_harness


task = task_of("ideogram", "ideogram/ideogram-v3")


def texts(emulator: Ideogram, index: int = 0) -> dict[str, str]:
    """Return the text parts of a request."""
    return {part.name: part.text for part in emulator.sent[index].parts if part.filename is None}


async def test_generation_is_multipart_and_stored_unchanged(ideogram: Ideogram, harness: Harness) -> None:
    state = await harness.run(
        task(width=1248, height=832, seed=5, quality="high", negative_prompt="text", style="REALISTIC")
    )
    (artifact,) = state.done.artifacts
    sent = ideogram.sent[0]
    assert (sent.method, sent.path) == ("POST", "/v1/ideogram-v3/generate")
    assert sent.headers["content-type"].startswith("multipart/form-data")
    assert texts(ideogram) == {
        "prompt": "a fox",
        "seed": "5",
        "resolution": "1248x832",
        "rendering_speed": "QUALITY",
        "negative_prompt": "text",
        "style_type": "REALISTIC",
    }
    assert await harness.bytes_of(artifact) == ideogram.images["0.png"]
    assert (artifact.media.media_type, artifact.media.width, artifact.seed) == ("image/png", 1248, 5)
    assert artifact.revised_prompt == "a fox, in soft light"
    assert ideogram.billed == 1


async def test_key_goes_to_the_api_and_not_to_the_result_host(ideogram: Ideogram, harness: Harness) -> None:
    await harness.run(task())
    keys = {sent.path: sent.headers.get("Api-Key") for sent in ideogram.sent}
    assert keys == {"/v1/ideogram-v3/generate": ideogram.key, "/result/0.png": None}


@pytest.mark.parametrize("version", ["/v1", "/v2", "/v1/"])
async def test_version_in_the_base_url_is_not_doubled(ideogram: Ideogram, tmp_path: Path, version: str) -> None:
    values = {
        "IMAGEGATEWAY_IDEOGRAM_BASE_URL": ideogram.base + version,
        "IMAGEGATEWAY_IDEOGRAM_API_KEY": ideogram.key,
    }
    harness = Harness.open(MODELS, [IdeogramAdapter()], tmp_path, values)
    for model in ("ideogram/ideogram-v3", "ideogram/ideogram-v4.5"):
        assert (await harness.run(task(model))).HasField("done")
    await harness.family.close()


async def test_ten_images_are_two_requests(ideogram: Ideogram, harness: Harness) -> None:
    state = await harness.run(task(n=10, seed=9))
    sent = [{part.name: part.text for part in one.parts} for one in ideogram.sent if one.method == "POST"]
    assert sorted((one["num_images"], one["seed"]) for one in sent) == [("2", "17"), ("8", "9")]
    assert [artifact.seed for artifact in state.done.artifacts] == list(range(9, 19))
    assert ideogram.billed == 10


async def test_aspect_ratio_has_a_letter_and_excludes_a_resolution(ideogram: Ideogram, harness: Harness) -> None:
    await harness.run(task(aspect_ratio="16:9", width=1344, height=768))
    assert texts(ideogram) == {"prompt": "a fox", "aspect_ratio": "16x9"}
    await harness.run(task(aspect_ratio="7:5", width=1152, height=832))
    assert ideogram.sent[2].part("resolution").text == "1152x832"


async def test_transparent_background_is_a_separate_endpoint(ideogram: Ideogram, harness: Harness) -> None:
    request = task(background="transparent", width=1024, height=1024, quality="low")
    state = await harness.run(request)
    assert ideogram.sent[0].path == "/v1/ideogram-v3/generate-transparent"
    assert texts(ideogram) == {"prompt": "a fox", "aspect_ratio": "1x1", "rendering_speed": "TURBO"}
    assert dollars(request, state.done) == 0.04


async def test_image_without_mask_is_remixed(ideogram: Ideogram, harness: Harness) -> None:
    image = image_bytes(96, 64, "JPEG")
    codes = ["0a0a0a0a", "0b0b0b0b"]
    wanted = task(inputs=[await harness.keep(image)], width=1248, height=832)
    wanted.provider_options.update({"image_weight": 70, "color_palette": {"name": "EMBER"}, "style_codes": codes})
    assert (await harness.run(wanted)).HasField("done")
    sent = ideogram.sent[0]
    assert sent.path == "/v1/ideogram-v3/remix"
    part = sent.part("image")
    assert (part.filename, part.content_type, part.data) == ("image.jpg", "image/jpeg", image)
    assert sent.part("image_weight").text == "70"
    assert sent.part("color_palette").text == '{"name": "EMBER"}'
    assert [part.text for part in sent.parts if part.name == "style_codes"] == codes


@pytest.mark.parametrize("model", ["ideogram/ideogram-v3", "ideogram/ideogram-v3/edit"])
async def test_mask_is_inverted_and_black_and_white(ideogram: Ideogram, harness: Harness, model: str) -> None:
    inputs = [await harness.keep(image_bytes(64, 32))]
    wanted = task(model, inputs=inputs, mask=await harness.keep(left_half(64, 32)), width=1408, height=704)
    assert (await harness.run(wanted)).HasField("done")
    sent = ideogram.sent[0]
    assert sent.path == "/v1/ideogram-v3/inpaint"
    assert "resolution" not in texts(ideogram)
    drawn = Image.open(io.BytesIO(sent.part("mask").data))
    assert (drawn.mode, drawn.size) == ("L", (64, 32))
    assert [drawn.getpixel((x, 9)) for x in (0, 31, 32, 63)] == [0, 0, 255, 255]


async def test_instruction_alone_edits_several_images(ideogram: Ideogram, harness: Harness) -> None:
    inputs = [await harness.keep(image_bytes(32, 32)), await harness.keep(image_bytes(32, 32, colour=(1, 2, 3)))]
    state = await harness.run(task("ideogram/ideogram-v3/edit", inputs=inputs, quality="low", seed=3))
    assert ideogram.sent[0].path == "/v1/edit"
    assert len([part for part in ideogram.sent[0].parts if part.name == "images"]) == 2
    assert texts(ideogram) == {"prompt": "a fox"}
    assert [warning.param for warning in state.done.warnings] == ["quality", "seed"]


@pytest.mark.parametrize("model", ["ideogram/ideogram-v4.5", "ideogram/ideogram-v4.6"])
async def test_api_v2_takes_json_without_images_and_size_source_with_them(
    ideogram: Ideogram, harness: Harness, model: str
) -> None:
    state = await harness.run(task(model, width=2048, height=2048, quality="medium", n=2, seed=1))
    assert ideogram.sent[0].json == {
        "prompt": "a fox",
        "size": "2048x2048",
        "quality": "medium",
        "num_images": 2,
        "seed": 1,
    }
    assert [artifact.media.width for artifact in state.done.artifacts] == [2048, 2048]
    ideogram.sent.clear()
    ref = await harness.keep(image_bytes(640, 480))
    fitted = next(known for known in MODELS if known.id == model).sizes_for(edit=True).nearest(640, 480)
    edit = task(model, inputs=[ref], width=fitted[0], height=fitted[1])
    assert (await harness.run(edit)).HasField("done")
    assert texts(ideogram) == {"prompt": "a fox", "size": "source"}
    ideogram.sent.clear()
    edit.mask.CopyFrom(await harness.keep(left_half(640, 480)))
    assert (await harness.run(edit)).HasField("done")
    assert texts(ideogram) == {"prompt": "a fox"}
    assert ideogram.sent[0].part("mask").content_type == "image/png"


async def test_edit_of_another_size_sends_the_size(ideogram: Ideogram, harness: Harness) -> None:
    inputs = [await harness.keep(image_bytes(640, 480))] * 2
    state = await harness.run(task("ideogram/ideogram-v4.5", inputs=inputs, width=1536, height=1024))
    assert state.HasField("done"), state
    assert texts(ideogram) == {"prompt": "a fox", "size": "1536x1024"}


@pytest.mark.parametrize(
    ("last", "reason"),
    [
        ("completed", None),
        ("failed", ErrorReason.ERROR_REASON_PROVIDER_ERROR),
        ("dreaming", ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE),
    ],
)
async def test_asynchronous_generation_is_polled_to_its_end(
    ideogram: Ideogram, harness: Harness, last: str, reason: ErrorReason.ValueType | None
) -> None:
    ideogram.script = ("pending", last)
    wanted = task("ideogram/ideogram-v4.5", width=1024, height=1024)
    wanted.provider_options.update({"async": True})
    state = await harness.run(wanted)
    assert state.HasField("done") if reason is None else state.failed.reason == reason


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("ideogram/ideogram-v4", "/v1/ideogram-v4/remix"),
        ("ideogram/ideogram-v3/remix", "/v1/ideogram-v3/remix"),
        ("ideogram/ideogram-v3/reframe", "/v1/ideogram-v3/reframe"),
        ("ideogram/ideogram-v3/replace-background", "/v1/ideogram-v3/replace-background"),
        ("ideogram/remove-background", "/v1/remove-background"),
    ],
)
async def test_every_other_edit_has_a_path(ideogram: Ideogram, harness: Harness, model: str, path: str) -> None:
    known = next(known for known in MODELS if known.id == model)
    width, height = known.sizes.nearest(64, 48)
    state = await harness.run(
        task(model, inputs=[await harness.keep(image_bytes(64, 48))], width=width, height=height)
    )
    assert state.HasField("done"), state
    assert ideogram.sent[0].path == path
    assert path in CALLS


async def test_prompt_of_4_0_is_sent_as_text_prompt(ideogram: Ideogram, harness: Harness) -> None:
    await harness.run(task("ideogram/ideogram-v4", width=1664, height=2496))
    assert texts(ideogram) == {"text_prompt": "a fox", "resolution": "1664x2496"}


@pytest.mark.parametrize(("model", "prompt", "sent"), [("v3/edit", "a fox", "true"), ("remove-background", "", None)])
async def test_transparent_background_of_an_edit_is_sent_where_the_endpoint_has_it(
    ideogram: Ideogram, harness: Harness, *, model: str, prompt: str, sent: str | None
) -> None:
    known = next(known for known in MODELS if f"ideogram/{model}" in {known.id, *known.aliases})
    inputs = [await harness.keep(image_bytes(64, 64))]
    state = await harness.run(task(known.id, inputs=inputs, background="transparent", prompt=prompt))
    assert texts(ideogram).get("transparent_background") == sent
    assert not state.done.warnings
    assert Capability.TRANSPARENT in known.capabilities


@pytest.mark.parametrize(("model", "masked"), [("ideogram/ideogram-v3", False), ("ideogram/ideogram-v3/edit", True)])
async def test_transparent_background_that_an_edit_lacks_is_refused(
    ideogram: Ideogram, harness: Harness, model: str, masked: bool
) -> None:
    wanted = task(model, inputs=[await harness.keep(image_bytes(64, 64))], background="transparent")
    if masked:
        wanted.mask.CopyFrom(await harness.keep(left_half(64, 64)))
    failed = (await harness.run(wanted)).failed
    assert (failed.reason, failed.param) == (ErrorReason.ERROR_REASON_UNSUPPORTED_PARAMETER, "background")
    assert not ideogram.sent


async def test_options_that_an_endpoint_lacks_are_warnings(ideogram: Ideogram, harness: Harness) -> None:
    inputs = [await harness.keep(image_bytes(64, 64))]
    wanted = task("ideogram/ideogram-v3/reframe", inputs=inputs, width=1024, height=1024, moderation="low")
    wanted.input_fidelity = "high"
    state = await harness.run(wanted)
    assert sorted(warning.param for warning in state.done.warnings) == ["input_fidelity", "moderation", "prompt"]
    clear = await harness.run(task(background="transparent", width=1216, height=832))
    assert texts(ideogram, -2)["aspect_ratio"] == "3x2"
    assert [(warning.code, warning.param) for warning in clear.done.warnings] == [("size_adjusted", "size")]


@pytest.mark.parametrize("shade", [0, 255])
async def test_mask_of_one_colour_is_refused_where_ideogram_requires_two(
    ideogram: Ideogram, harness: Harness, shade: int
) -> None:
    inputs, mask = (
        [await harness.keep(image_bytes(64, 64))],
        await harness.keep(image_bytes(64, 64, colour=(shade,) * 3)),
    )
    state = await harness.run(task("ideogram/ideogram-v4.5", inputs=inputs, mask=mask))
    assert (state.failed.reason, state.failed.param) == (ErrorReason.ERROR_REASON_INVALID_IMAGE, "mask")
    assert not ideogram.sent


async def test_images_over_the_limit_of_one_or_of_all_are_refused(ideogram: Ideogram, harness: Harness) -> None:
    eleven = await harness.keep(image_bytes() + bytes(11_000_000))
    for wanted in (task(inputs=[eleven]), task("ideogram/ideogram-v4.5", inputs=[eleven] * 5)):
        state = await harness.run(wanted)
        assert (state.failed.reason, state.failed.param) == (ErrorReason.ERROR_REASON_INVALID_IMAGE, "image")
    assert not ideogram.sent


@pytest.mark.parametrize(
    "body", [{"detail": "words"}, {"error": "words"}, {"error": {"message": "words"}}, {"message": "words"}]
)
async def test_refusal_message_holds_ideograms_text(ideogram: Ideogram, harness: Harness, body: Any) -> None:
    ideogram.failures = [(400, body, {}), (422, body, {})]
    assert (await harness.run(task())).failed.message == "Ideogram refused the request: words"
    failed = (await harness.run(task())).failed
    assert failed.message == "The content policy of Ideogram refused the prompt."
    assert (failed.param, failed.may_be_billed) == ("prompt", False)


async def test_server_error_of_ideogram_is_retried_once(ideogram: Ideogram, harness: Harness) -> None:
    ideogram.failures = [(500, b"oops", {})]
    assert (len((await harness.run(task())).done.artifacts), ideogram.billed) == (1, 1)
    ideogram.sent.clear()
    ideogram.failures = [(500, b"oops", {}), (500, b"oops", {})]
    failed = (await harness.run(task())).failed
    assert (failed.reason, failed.may_be_billed) == (ErrorReason.ERROR_REASON_PROVIDER_ERROR, False)
    assert (failed.message, len(ideogram.sent)) == ("Ideogram failed.", 2)


def test_binary_mask_has_both_polarities() -> None:
    for inverted, edit, keep in ((False, 255, 0), (True, 0, 255)):
        drawn = Image.open(io.BytesIO(images.binary_mask(left_half(8, 8), inverted=inverted)))
        assert [drawn.getpixel((x, 0)) for x in (0, 7)] == [edit, keep]
