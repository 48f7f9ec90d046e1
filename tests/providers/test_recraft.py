"""The recraft family against its emulator: requests as sent, results, failures and billed calls."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

import pytest
from imagegateway.media import svg
from imagegateway.providers.recraft.adapter import RecraftAdapter
from imagegateway.providers.recraft.catalog import MODELS
from imagegateway.v1.error_reason_pb2 import ErrorReason
from PIL import Image

from tests.emulators.base import image_bytes
from tests.emulators.recraft import Recraft, drawing
from tests.providers.harness import Harness, left_half
from tests.providers.tasks import task_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def recraft() -> AsyncIterator[Recraft]:
    async with Recraft() as emulator:
        yield emulator


@pytest.fixture(params=["", "/v1"])
async def harness(recraft: Recraft, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Harness]:
    values = {
        "IMAGEGATEWAY_RECRAFT_BASE_URL": recraft.base + request.param,
        "IMAGEGATEWAY_RECRAFT_API_KEY": recraft.key,
    }
    async with Harness.open(MODELS, [RecraftAdapter()], tmp_path, values) as harness:
        yield harness


task = task_of("recraft", "recraft/recraft-v3")


async def test_generation_is_sent_in_openai_format_and_stored_byte_for_byte(
    recraft: Recraft, harness: Harness
) -> None:
    request = task(width=1536, height=1024, seed=5, negative_prompt="text", output_format="png", style="icon")
    request.provider_options.update({"controls": {"artistic_level": 3}, "substyle": "doodle"})
    state = await harness.run(request)
    (artifact,) = state.done.artifacts
    assert (recraft.sent[0].method, recraft.sent[0].path) == ("POST", "/v1/images/generations")
    assert recraft.sent[0].json == {
        "prompt": "a fox",
        "model": "recraftv3",
        "n": 1,
        "size": "1536x1024",
        "style": "icon",
        "substyle": "doodle",
        "negative_prompt": "text",
        "random_seed": 5,
        "response_format": "url",
        "image_format": "png",
        "controls": {"artistic_level": 3},
    }
    assert await harness.bytes_of(artifact) == recraft.results["0"][0]
    assert (artifact.media.media_type, artifact.media.width, artifact.seed) == ("image/png", 1536, 5)
    assert (state.done.cost.amount, state.done.cost.estimated, recraft.billed) == (0.04, False, 1)


async def test_key_goes_to_the_api_and_not_to_the_result_host(recraft: Recraft, harness: Harness) -> None:
    await harness.run(task())
    keys = {sent.path: sent.headers.get("Authorization") for sent in recraft.sent}
    assert keys == {"/v1/images/generations": f"Bearer {recraft.key}", "/result/0": None}


async def test_ten_images_are_two_requests(recraft: Recraft, harness: Harness) -> None:
    state = await harness.run(task("recraft/recraft-v4", n=10, seed=9))
    sent = [(one.json["n"], one.json["random_seed"]) for one in recraft.sent if one.method == "POST"]
    assert sorted(sent) == [(4, 15), (6, 9)]
    assert (len(state.done.artifacts), state.done.cost.amount, recraft.billed) == (10, 0.4, 10)


async def test_images_absent_from_the_response_are_missing(recraft: Recraft, harness: Harness) -> None:
    recraft.short = 1
    state = await harness.run(task(n=3))
    assert (len(state.done.artifacts), len(state.done.missing), recraft.billed) == (2, 1, 2)


@pytest.mark.parametrize(
    ("model", "requested", "size"),
    [
        ("recraft/recraft-v3", (1792, 1024), "1820x1024"),
        ("recraft/recraft-v4", (1536, 1024), "1280x832"),
        ("recraft/recraft-v4", (1792, 1024), "1344x768"),
        ("recraft/recraft-v4-pro", (1024, 1024), "2048x2048"),
        ("recraft/recraft-v4-pro", (1792, 1024), "2688x1536"),
    ],
)
async def test_size_is_the_nearest_listed_one(
    recraft: Recraft, harness: Harness, model: str, requested: tuple[int, int], size: str
) -> None:
    width, height = next(known for known in MODELS if known.id == model).sizes.nearest(*requested)
    assert (await harness.run(task(model, width=width, height=height))).HasField("done")
    assert recraft.sent[0].json["size"] == size


async def test_aspect_ratio_is_sent_if_recraft_lists_it(recraft: Recraft, harness: Harness) -> None:
    await harness.run(task(aspect_ratio="16:9", width=1820, height=1024))
    await harness.run(task(aspect_ratio="21:9", width=2048, height=1024))
    assert [sent.json["size"] for sent in recraft.sent if sent.method == "POST"] == ["16:9", "2048x1024"]


@pytest.mark.parametrize("fields", [{}, {"output_format": "svg"}])
async def test_drawing_is_stored_byte_for_byte(recraft: Recraft, harness: Harness, fields: dict[str, str]) -> None:
    model = "recraft/recraft-v4" if fields else "recraft/recraft-v4-svg"
    state = await harness.run(task(model, width=1344, height=768, **fields))
    (artifact,) = state.done.artifacts
    assert recraft.sent[0].json["model"] == "recraftv4_vector"
    assert "image_format" not in recraft.sent[0].json
    assert await harness.bytes_of(artifact) == drawing(1344, 768)
    media = artifact.media
    assert (media.media_type, media.width, media.height) == ("image/svg+xml", 1344, 768)


async def test_drawing_in_another_format_is_refused_before_the_call(recraft: Recraft, harness: Harness) -> None:
    state = await harness.run(task("recraft/recraft-v3-svg", output_format="png"))
    assert state.failed.reason == ErrorReason.ERROR_REASON_UNSUPPORTED_PARAMETER
    assert not recraft.sent


async def test_jpeg_is_converted_from_lossless_png(recraft: Recraft, harness: Harness) -> None:
    state = await harness.run(task(output_format="jpeg"))
    assert recraft.sent[0].json["image_format"] == "png"
    assert state.done.artifacts[0].media.media_type == "image/jpeg"


async def test_input_is_sent_to_image_to_image_with_strength(recraft: Recraft, harness: Harness) -> None:
    image = image_bytes(96, 64, "JPEG")
    request = task("recraft/recraft-v4", inputs=[await harness.keep(image)], seed=1)
    assert (await harness.run(request)).HasField("done")
    sent = recraft.sent[0]
    assert (sent.path, sent.part("strength").text) == ("/v1/images/imageToImage", "0.5")
    part = sent.part("image")
    assert (part.filename, part.content_type, part.data) == ("image.jpg", "image/jpeg", image)
    assert {part.name for part in sent.parts} == {
        *("prompt", "model", "n", "random_seed", "response_format", "strength", "image"),
    }
    request.provider_options.update({"strength": 0.2})
    await harness.run(request)
    assert recraft.sent[2].part("strength").text == "0.2"


async def test_strength_is_sent_except_beside_a_mask(recraft: Recraft, harness: Harness) -> None:
    source = await harness.keep(image_bytes(96, 64))
    assert (await harness.run(task("recraft/recraft-v3", inputs=[source], strength=0.9))).HasField("done")
    assert recraft.sent[0].part("strength").text == "0.9"
    mask = await harness.keep(left_half(96, 64))
    state = await harness.run(task("recraft/recraft-v3", inputs=[source], mask=mask, strength=0.9))
    assert [warning.param for warning in state.done.warnings] == ["strength"]
    assert "strength" not in {part.name for part in recraft.sent[2].parts}


async def test_mask_is_sent_white_for_edit_without_greys(recraft: Recraft, harness: Harness) -> None:
    inputs, mask = [await harness.keep(image_bytes(64, 32))], await harness.keep(left_half(64, 32))
    assert (await harness.run(task(inputs=inputs, mask=mask, width=2048, height=1024))).HasField("done")
    assert recraft.sent[0].path == "/v1/images/inpaint"
    drawn = Image.open(io.BytesIO(recraft.sent[0].part("mask").data))
    assert (drawn.mode, drawn.size) == ("L", (64, 32))
    assert [drawn.getpixel((x, 9)) for x in (0, 31, 32, 63)] == [255, 255, 0, 0]


async def test_mask_is_omitted_for_a_model_without_masks(recraft: Recraft, harness: Harness) -> None:
    inputs, mask = [await harness.keep(image_bytes(64, 32))], await harness.keep(left_half(64, 32))
    assert (await harness.run(task("recraft/recraft-v4", inputs=inputs, mask=mask))).HasField("done")
    assert recraft.sent[0].path == "/v1/images/imageToImage"


async def test_edit_has_the_size_of_its_input(recraft: Recraft, harness: Harness) -> None:
    state = await harness.run(task(inputs=[await harness.keep(image_bytes(64, 64))], width=2048, height=1024))
    assert [warning.code for warning in state.done.warnings] == ["size_adjusted"]
    assert state.done.artifacts[0].media.width == 64


@pytest.mark.parametrize(
    ("path", "media_type", "cost"),
    [
        ("removeBackground", "image/webp", 0.01),
        ("vectorize", "image/svg+xml", 0.01),
        ("crispUpscale", "image/webp", 0.004),
        ("creativeUpscale", "image/webp", 0.25),
    ],
)
async def test_tool_receives_an_image_and_returns_one(
    recraft: Recraft, harness: Harness, path: str, media_type: str, cost: float
) -> None:
    model = next(known.id for known in MODELS if known.routes[0].native_id == path)
    state = await harness.run(
        task(model, prompt="", inputs=[await harness.keep(image_bytes(64, 48))], width=64, height=48)
    )
    assert recraft.sent[0].path == f"/v1/images/{path}"
    assert [part.name for part in recraft.sent[0].parts] == ["image"]
    assert (state.done.artifacts[0].media.media_type, state.done.cost.amount) == (media_type, cost)


async def test_base64_result_is_decoded(recraft: Recraft, harness: Harness) -> None:
    encoded = base64.b64encode(drawing(1024, 1024)).decode()
    recraft.failures = [(200, {"data": [{"b64_json": encoded}]}, {})]
    state = await harness.run(task("recraft/recraft-v4-svg"))
    assert await harness.bytes_of(state.done.artifacts[0]) == drawing(1024, 1024)
    assert len(recraft.sent) == 1


async def test_refused_content_is_a_moderation_failure(recraft: Recraft, harness: Harness) -> None:
    state = await harness.run(task(prompt="an nsfw fox"))
    assert (state.failed.reason, recraft.billed) == (ErrorReason.ERROR_REASON_MODERATION_BLOCKED, 0)


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (400, b"size not for this model", ErrorReason.ERROR_REASON_INVALID_VALUE),
        (400, {"code": "bad", "message": "style not for this model"}, ErrorReason.ERROR_REASON_INVALID_VALUE),
        (400, b"not enough credits", ErrorReason.ERROR_REASON_PROVIDER_BILLING),
        (401, b"request unauthorized", ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS),
        (402, b"", ErrorReason.ERROR_REASON_PROVIDER_BILLING),
        (404, b"404 page not found", ErrorReason.ERROR_REASON_MODEL_RETIRED),
        (413, b"", ErrorReason.ERROR_REASON_INVALID_IMAGE),
        (500, b"oops", ErrorReason.ERROR_REASON_PROVIDER_ERROR),
    ],
)
async def test_error_is_final_after_one_call(
    recraft: Recraft, harness: Harness, status: int, body: Any, reason: ErrorReason.ValueType
) -> None:
    recraft.failures = [(status, body, {})]
    state = await harness.run(task())
    assert (state.failed.reason, len(recraft.sent), recraft.billed) == (reason, 1, 0)
    assert "oops" not in state.failed.message
    assert "unauthorized" not in state.failed.message


async def test_rate_limited_call_is_repeated_after_the_pause(recraft: Recraft, harness: Harness) -> None:
    recraft.failures = [(429, b"", {"Retry-After": "3"})]
    assert len((await harness.run(task())).done.artifacts) == recraft.billed == 1
    assert 3 <= harness.slept[0] < 4


async def test_server_error_may_be_billed_and_is_not_repeated(recraft: Recraft, harness: Harness) -> None:
    recraft.failures = [(503, b"", {})]
    failed = (await harness.run(task())).failed
    assert (failed.reason, failed.may_be_billed) == (ErrorReason.ERROR_REASON_PROVIDER_ERROR, True)
    assert len(recraft.sent) == 1


BAD = ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE


@pytest.mark.parametrize(
    "body",
    [
        {"data": []},
        {"data": None},
        {"data": [{"image_id": "i"}]},
        {"data": [{"image_id": "i", "url": None}]},
        {"data": [{"b64_json": "not base64!"}]},
        {"data": ["an image"]},
        {"image": None},
        {"created": 1},
        [],
        b"<html>bad gateway</html>",
    ],
)
async def test_response_without_an_image_fails_the_task(recraft: Recraft, harness: Harness, body: Any) -> None:
    recraft.failures = [(200, body, {})]
    state = await harness.run(task())
    assert (state.failed.reason, state.failed.may_be_billed, len(recraft.sent)) == (BAD, True, 1)


async def test_invalid_images_do_not_lose_the_others_or_the_exact_cost(recraft: Recraft, harness: Harness) -> None:
    wrapped = base64.encodebytes(image_bytes(32, 32)).decode()
    recraft.results = {"a": (image_bytes(), "image/png"), "b": (b"<html>sorry</html>", "image/png")}
    urls = [{"url": f"{recraft.base}/result/{name}", "features": {"nsfw_score": 0}} for name in recraft.results]
    entries = [*urls, {"b64_json": wrapped, "revised_prompt": None}, {"image_id": "i"}]
    recraft.failures = [(200, {"credits": "160", "data": entries}, {})]
    state = await harness.run(task(n=4))
    assert [artifact.media.width for artifact in state.done.artifacts] == [64, 32]
    assert [missing.reason for missing in state.done.missing] == [BAD, BAD]
    assert state.done.cost.amount == 0.16


async def test_requested_compression_is_converted_from_lossless_png(recraft: Recraft, harness: Harness) -> None:
    state = await harness.run(task(output_format="webp", output_compression=10))
    assert recraft.sent[0].json["image_format"] == "png"
    assert state.done.artifacts[0].media.media_type == "image/webp"
    await harness.run(task(output_format="webp"))
    assert recraft.sent[2].json["image_format"] == "webp"


async def test_edit_with_the_input_size_or_ratio_has_no_warning(recraft: Recraft, harness: Harness) -> None:
    inputs = [await harness.keep(image_bytes(64, 32))]
    for fields in ({"width": 64, "height": 32}, {"width": 1448, "height": 724, "aspect_ratio": "2:1"}):
        assert not (await harness.run(task(inputs=inputs, **fields))).done.warnings
    for param, fields in (
        ("size", {"width": 1024, "height": 1024}),
        ("aspect_ratio", {"width": 1024, "height": 1024, "aspect_ratio": "1:1"}),
    ):
        state = await harness.run(task(inputs=inputs, **fields))
        assert [(warning.code, warning.param) for warning in state.done.warnings] == [("size_adjusted", param)]


async def test_unsupported_options_are_warned_about(recraft: Recraft, harness: Harness) -> None:
    inputs = [await harness.keep(image_bytes(64, 64))]
    state = await harness.run(task("recraft/vectorize", inputs=inputs, moderation="low", input_fidelity="high"))
    assert [warning.param for warning in state.done.warnings] == ["moderation", "input_fidelity", "prompt"]


BLOCKED = ErrorReason.ERROR_REASON_MODERATION_BLOCKED
BILLING = ErrorReason.ERROR_REASON_PROVIDER_BILLING
INVALID = ErrorReason.ERROR_REASON_INVALID_VALUE


@pytest.mark.parametrize(
    ("status", "body", "reason", "message"),
    [
        (
            400,
            {"code": "nsfw_content", "message": "rejected"},
            BLOCKED,
            "The content policy of Recraft refused the prompt.",
        ),
        (422, b"Content moderation: refused", BLOCKED, "The content policy of Recraft refused the prompt."),
        (400, {"code": "not_enough_credits", "message": "top up"}, BILLING, "Recraft refused for lack of credit."),
        (400, {"error": {"code": 7, "message": "bad size"}}, INVALID, "Recraft refused the request: bad size"),
        (400, {"error": "bad size"}, INVALID, "Recraft refused the request: bad size"),
        (400, b"<html>nothing</html>", INVALID, "Recraft refused the request."),
        (502, b"<html>nginx nsfw</html>", ErrorReason.ERROR_REASON_PROVIDER_ERROR, "Recraft failed."),
        (500, {"message": "moderation is down"}, ErrorReason.ERROR_REASON_PROVIDER_ERROR, "Recraft failed."),
    ],
)
async def test_error_of_every_form_is_recognized_by_its_words(
    recraft: Recraft, harness: Harness, *, status: int, body: Any, reason: ErrorReason.ValueType, message: str
) -> None:
    recraft.failures = [(status, body, {})]
    failed = (await harness.run(task())).failed
    assert failed.reason == reason
    assert failed.message.endswith(message)
    assert failed.param == ("prompt" if reason == BLOCKED else "")


async def test_large_input_is_refused_before_the_call(recraft: Recraft, harness: Harness) -> None:
    image = image_bytes(4097, 8)
    state = await harness.run(task(inputs=[await harness.keep(image)]))
    assert state.failed.reason == ErrorReason.ERROR_REASON_INVALID_IMAGE
    assert not recraft.sent


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ('<svg xmlns="http://www.w3.org/2000/svg" width="12" height="7.6px"/>', (12, 8)),
        ('\ufeff<?xml version="1.0"?><!-- a --><svg xmlns="http://www.w3.org/2000/svg" viewBox="0,0 9 5"/>', (9, 5)),
        ('<svg xmlns="http://www.w3.org/2000/svg" width="100%" height="100%" viewBox="0 0 64 32"/>', (64, 32)),
        ('<s:svg xmlns:s="http://www.w3.org/2000/svg" width="1in" height="72pt"/>', (96, 96)),
        ('<svg xmlns="http://www.w3.org/2000/svg"/>', (300, 150)),
        ('<svg xmlns="http://www.w3.org/2000/svg" width="100%" height="100%"/>', (300, 150)),
        ('<svg width="9" height="9"/>', None),
        ('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9">', None),
        ('<html xmlns="http://www.w3.org/1999/xhtml"><svg width="9" height="9"/></html>', None),
        ('<!DOCTYPE svg [<!ENTITY a "b">]><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', None),
        ("fox", None),
        ("", None),
    ],
)
def test_svg_is_recognized_by_its_whole_document(text: str, size: tuple[int, int] | None) -> None:
    facts = svg.inspect(text.encode())
    assert (facts and (facts.width, facts.height)) == size
