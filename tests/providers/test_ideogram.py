"""The ideogram family against its emulator: what is sent, what becomes of every answer, what is billed."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
from imagegateway.media import images
from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.providers.catalog import Capability
from imagegateway.providers.ideogram.adapter import IdeogramAdapter
from imagegateway.providers.ideogram.catalog import MODELS
from imagegateway.v1.error_reason_pb2 import ErrorReason
from PIL import Image

from tests.emulators.base import image_bytes
from tests.emulators.ideogram import CALLS, Ideogram
from tests.providers.harness import Bench, left_half

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def ideogram() -> AsyncIterator[Ideogram]:
    async with Ideogram() as emulator:
        assert isinstance(emulator, Ideogram)
        yield emulator


@pytest.fixture
async def bench(ideogram: Ideogram, tmp_path: Path) -> AsyncIterator[Bench]:
    values = {"IMAGEGATEWAY_IDEOGRAM_BASE_URL": ideogram.base, "IMAGEGATEWAY_IDEOGRAM_API_KEY": ideogram.key}
    bench = Bench.open(MODELS, [IdeogramAdapter()], tmp_path, values)
    yield bench
    await bench.family.close()


def task(model: str = "ideogram/ideogram-v3", **fields: Any) -> pb.ImageTask:
    return pb.ImageTask(model=model, route="ideogram", **{"prompt": "a fox", "n": 1, **fields})


def texts(emulator: Ideogram, index: int = 0) -> dict[str, str]:
    """The text parts of a request."""
    return {part.name: part.text for part in emulator.sent[index].parts if part.filename is None}


async def test_generation_is_multipart_and_kept_byte_for_byte(ideogram: Ideogram, bench: Bench) -> None:
    state = await bench.run(
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
    assert await bench.bytes_of(artifact) == ideogram.images["0.png"]
    assert (artifact.media.media_type, artifact.media.width, artifact.seed) == ("image/png", 1248, 5)
    assert artifact.revised_prompt == "a fox, in soft light"
    assert (state.done.cost.amount, state.done.cost.estimated, ideogram.billed) == (0.09, True, 1)


async def test_key_goes_to_the_api_and_not_to_the_result_host(ideogram: Ideogram, bench: Bench) -> None:
    await bench.run(task())
    keys = {sent.path: sent.headers.get("Api-Key") for sent in ideogram.sent}
    assert keys == {"/v1/ideogram-v3/generate": ideogram.key, "/result/0.png": None}


@pytest.mark.parametrize("version", ["/v1", "/v2", "/v1/"])
async def test_version_in_the_base_url_is_not_doubled(ideogram: Ideogram, tmp_path: Path, version: str) -> None:
    values = {
        "IMAGEGATEWAY_IDEOGRAM_BASE_URL": ideogram.base + version,
        "IMAGEGATEWAY_IDEOGRAM_API_KEY": ideogram.key,
    }
    bench = Bench.open(MODELS, [IdeogramAdapter()], tmp_path, values)
    for model in ("ideogram/ideogram-v3", "ideogram/ideogram-v4.5"):
        assert (await bench.run(task(model))).HasField("done")
    await bench.family.close()


async def test_ten_pictures_are_two_requests(ideogram: Ideogram, bench: Bench) -> None:
    state = await bench.run(task(n=10, seed=9))
    sent = [{part.name: part.text for part in one.parts} for one in ideogram.sent if one.method == "POST"]
    assert sorted((one["num_images"], one["seed"]) for one in sent) == [("2", "17"), ("8", "9")]
    assert [artifact.seed for artifact in state.done.artifacts] == list(range(9, 19))
    assert ideogram.billed == 10


async def test_aspect_ratio_has_a_letter_between_and_no_resolution_beside(ideogram: Ideogram, bench: Bench) -> None:
    await bench.run(task(aspect_ratio="16:9", width=1344, height=768))
    assert texts(ideogram) == {"prompt": "a fox", "aspect_ratio": "16x9"}
    await bench.run(task(aspect_ratio="7:5", width=1152, height=832))
    assert ideogram.sent[2].part("resolution").text == "1152x832"


async def test_transparent_ground_is_a_call_of_its_own(ideogram: Ideogram, bench: Bench) -> None:
    state = await bench.run(task(background="transparent", width=1024, height=1024, quality="low"))
    assert ideogram.sent[0].path == "/v1/ideogram-v3/generate-transparent"
    assert texts(ideogram) == {"prompt": "a fox", "aspect_ratio": "1x1", "rendering_speed": "TURBO"}
    assert state.done.cost.amount == 0.04


async def test_picture_without_mask_is_remixed(ideogram: Ideogram, bench: Bench) -> None:
    image = image_bytes(96, 64, "JPEG")
    codes = ["0a0a0a0a", "0b0b0b0b"]
    wanted = task(inputs=[await bench.keep(image)], width=1248, height=832)
    wanted.provider_options.update({"image_weight": 70, "color_palette": {"name": "EMBER"}, "style_codes": codes})
    assert (await bench.run(wanted)).HasField("done")
    sent = ideogram.sent[0]
    assert sent.path == "/v1/ideogram-v3/remix"
    part = sent.part("image")
    assert (part.filename, part.content_type, part.data) == ("image.jpg", "image/jpeg", image)
    assert sent.part("image_weight").text == "70"
    assert sent.part("color_palette").text == '{"name": "EMBER"}'
    assert [part.text for part in sent.parts if part.name == "style_codes"] == codes


@pytest.mark.parametrize("model", ["ideogram/ideogram-v3", "ideogram/ideogram-v3/edit"])
async def test_mask_is_inverted_and_pure(ideogram: Ideogram, bench: Bench, model: str) -> None:
    inputs = [await bench.keep(image_bytes(64, 32))]
    wanted = task(model, inputs=inputs, mask=await bench.keep(left_half(64, 32)), width=1408, height=704)
    assert (await bench.run(wanted)).HasField("done")
    sent = ideogram.sent[0]
    assert sent.path == "/v1/ideogram-v3/inpaint"
    assert "resolution" not in texts(ideogram)
    drawn = Image.open(io.BytesIO(sent.part("mask").data))
    assert (drawn.mode, drawn.size) == ("L", (64, 32))
    assert [drawn.getpixel((x, 9)) for x in (0, 31, 32, 63)] == [0, 0, 255, 255]


async def test_instruction_alone_edits_several_pictures(ideogram: Ideogram, bench: Bench) -> None:
    inputs = [await bench.keep(image_bytes(32, 32)), await bench.keep(image_bytes(32, 32, colour=(1, 2, 3)))]
    state = await bench.run(task("ideogram/ideogram-v3/edit", inputs=inputs, quality="low", seed=3))
    assert ideogram.sent[0].path == "/v1/edit"
    assert len([part for part in ideogram.sent[0].parts if part.name == "images"]) == 2
    assert texts(ideogram) == {"prompt": "a fox"}
    assert [warning.param for warning in state.done.warnings] == ["quality", "seed"]


@pytest.mark.parametrize("model", ["ideogram/ideogram-v4.5", "ideogram/ideogram-v4.6"])
async def test_second_api_takes_json_without_pictures_and_source_size_with(
    ideogram: Ideogram, bench: Bench, model: str
) -> None:
    state = await bench.run(task(model, width=2048, height=2048, quality="medium", n=2, seed=1))
    assert ideogram.sent[0].json == {
        "prompt": "a fox",
        "size": "2048x2048",
        "quality": "medium",
        "num_images": 2,
        "seed": 1,
    }
    assert [artifact.media.width for artifact in state.done.artifacts] == [2048, 2048]
    ideogram.sent.clear()
    ref = await bench.keep(image_bytes(640, 480))
    fitted = next(known for known in MODELS if known.id == model).sizes_for(edit=True).nearest(640, 480)
    edit = task(model, inputs=[ref], width=fitted[0], height=fitted[1])
    assert (await bench.run(edit)).HasField("done")
    assert texts(ideogram) == {"prompt": "a fox", "size": "source"}
    ideogram.sent.clear()
    edit.mask.CopyFrom(await bench.keep(left_half(640, 480)))
    assert (await bench.run(edit)).HasField("done")
    assert texts(ideogram) == {"prompt": "a fox"}
    assert ideogram.sent[0].part("mask").content_type == "image/png"


async def test_edit_of_another_size_says_which(ideogram: Ideogram, bench: Bench) -> None:
    inputs = [await bench.keep(image_bytes(640, 480))] * 2
    state = await bench.run(task("ideogram/ideogram-v4.5", inputs=inputs, width=1536, height=1024))
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
    ideogram: Ideogram, bench: Bench, last: str, reason: ErrorReason.ValueType | None
) -> None:
    ideogram.script = ("pending", last)
    wanted = task("ideogram/ideogram-v4.5", width=1024, height=1024)
    wanted.provider_options.update({"async": True})
    state = await bench.run(wanted)
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
async def test_every_other_edit_has_its_path(ideogram: Ideogram, bench: Bench, model: str, path: str) -> None:
    known = next(known for known in MODELS if known.id == model)
    width, height = known.sizes.nearest(64, 48)
    state = await bench.run(task(model, inputs=[await bench.keep(image_bytes(64, 48))], width=width, height=height))
    assert state.HasField("done"), state
    assert ideogram.sent[0].path == path
    assert path in CALLS


async def test_text_of_the_fourth_model_has_another_name(ideogram: Ideogram, bench: Bench) -> None:
    await bench.run(task("ideogram/ideogram-v4", width=1664, height=2496))
    assert texts(ideogram) == {"text_prompt": "a fox", "resolution": "1664x2496"}


async def test_unsafe_pictures_are_missing_and_the_others_delivered(ideogram: Ideogram, bench: Bench) -> None:
    ideogram.unsafe = frozenset({1})
    state = await bench.run(task(n=3))
    assert len(state.done.artifacts) == 2
    (missing,) = state.done.missing
    assert (missing.reason, missing.may_be_billed) == (ErrorReason.ERROR_REASON_MODERATION_BLOCKED, True)
    assert (state.done.cost.amount, ideogram.billed) == (0.18, 3)


async def test_all_unsafe_is_a_moderation_error_behind_status_200(ideogram: Ideogram, bench: Bench) -> None:
    ideogram.unsafe = frozenset({0, 1})
    state = await bench.run(task(n=2))
    assert (state.failed.reason, state.failed.may_be_billed) == (ErrorReason.ERROR_REASON_MODERATION_BLOCKED, True)
    assert len(ideogram.sent) == 1


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (400, {"detail": "'prompt' is a required property"}, ErrorReason.ERROR_REASON_INVALID_VALUE),
        (401, {"detail": "No authorization token provided"}, ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS),
        (402, {"reject_reason": "insufficient_funds"}, ErrorReason.ERROR_REASON_PROVIDER_BILLING),
        (402, {"reject_reason": "daily_limit"}, ErrorReason.ERROR_REASON_PROVIDER_BILLING),
        (403, b"", ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS),
        (404, b"", ErrorReason.ERROR_REASON_MODEL_RETIRED),
        (413, b"", ErrorReason.ERROR_REASON_INVALID_IMAGE),
        (415, {"detail": "no"}, ErrorReason.ERROR_REASON_PROVIDER_ERROR),
        (422, {"error": "Prompt failed the safety check"}, ErrorReason.ERROR_REASON_MODERATION_BLOCKED),
        (502, b"<html>oops</html>", ErrorReason.ERROR_REASON_PROVIDER_ERROR),
    ],
)
async def test_errors_are_final_after_one_call(
    ideogram: Ideogram, bench: Bench, status: int, body: Any, reason: ErrorReason.ValueType
) -> None:
    ideogram.failures = [(status, body, {})]
    state = await bench.run(task())
    assert (state.failed.reason, len(ideogram.sent), ideogram.billed) == (reason, 1, 0)
    assert state.failed.may_be_billed == (status >= 500)
    assert "oops" not in state.failed.message


@pytest.mark.parametrize("status", [429, 503])
async def test_busy_provider_is_asked_again(ideogram: Ideogram, bench: Bench, status: int) -> None:
    ideogram.failures = [(status, {"error": "busy", "reject_reason": "inflight_limit"}, {})]
    state = await bench.run(task())
    assert (len(state.done.artifacts), ideogram.billed) == (1, 1)


async def test_limit_counts_pictures_and_not_calls(ideogram: Ideogram, bench: Bench) -> None:
    ideogram.limit = 2
    state = await bench.run(task(n=3))
    assert (state.failed.reason, state.failed.may_be_billed) == (
        ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED,
        False,
    )
    assert (len(ideogram.sent), ideogram.billed) == (4, 0)


async def test_what_ideogram_cannot_take_is_refused_before_the_call(ideogram: Ideogram, bench: Bench) -> None:
    state = await bench.run(task(seed=1 << 31))
    assert (state.failed.reason, state.failed.param) == (ErrorReason.ERROR_REASON_INVALID_VALUE, "seed")
    assert not ideogram.sent


async def test_result_that_cannot_be_fetched_leaves_the_others(ideogram: Ideogram, bench: Bench) -> None:
    ideogram.images = {"a.png": image_bytes(), "b.png": b"<html>sorry</html>", "c.png": image_bytes(32, 32)}
    urls = [f"{ideogram.base}/result/{name}?exp=1" for name in ideogram.images]
    ideogram.failures = [(200, {"data": [{"url": url, "is_image_safe": True} for url in urls]}, {})]
    state = await bench.run(task(n=3))
    assert [artifact.media.width for artifact in state.done.artifacts] == [64, 32]
    (missing,) = state.done.missing
    assert (missing.reason, missing.may_be_billed) == (ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE, True)


BAD = ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE
BLOCKED = ErrorReason.ERROR_REASON_MODERATION_BLOCKED


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"data": [{"url": "", "is_image_safe": False}]}, BLOCKED),
        ({"data": [{"url": None}]}, BLOCKED),
        ({"data": [{"url": None, "is_image_safe": True}]}, BAD),
        ({"data": [{"url": 42, "is_image_safe": True}]}, BAD),
        ({"data": ["a picture"]}, BAD),
        ({"data": []}, BAD),
        ({"data": None}, BAD),
        ({"created": "2026-11-22T10:00:00Z"}, BAD),
        ([], BAD),
        (b"<html>bad gateway</html>", BAD),
        (b'{"data": [{"url": "htt', BAD),
    ],
)
async def test_answers_without_a_picture_end_the_task(
    ideogram: Ideogram, bench: Bench, body: Any, reason: ErrorReason.ValueType
) -> None:
    ideogram.failures = [(200, body, {})]
    state = await bench.run(task())
    assert (state.failed.reason, state.failed.may_be_billed, len(ideogram.sent)) == (reason, True, 1)


async def test_numbers_as_text_and_structured_prompts_are_read(ideogram: Ideogram, bench: Bench) -> None:
    ideogram.images = {"a.png": image_bytes()}
    entry = {"url": f"{ideogram.base}/result/a.png", "seed": "77", "prompt": {"scene": "a fox"}, "new": 1}
    ideogram.failures = [(200, {"data": [entry]}, {})]
    (artifact,) = (await bench.run(task())).done.artifacts
    assert (artifact.seed, artifact.revised_prompt) == (77, "")


async def asynchronous(bench: Bench) -> pb.TaskState:
    wanted = task("ideogram/ideogram-v4.5", width=1024, height=1024)
    wanted.provider_options.update({"async": True})
    return await bench.run(wanted)


async def test_generation_in_capitals_and_with_an_empty_list_is_polled(ideogram: Ideogram, bench: Bench) -> None:
    ideogram.images = {"a.png": image_bytes()}
    ideogram.failures = [
        (200, {"generation_id": "a/../b?c", "status": "PENDING", "data": []}, {}),
        (200, {"status": "Pending"}, {}),
        (200, {"status": "COMPLETED", "data": [{"url": f"{ideogram.base}/result/a.png"}]}, {}),
    ]
    assert (await asynchronous(bench)).HasField("done")
    assert ideogram.sent[1].target == "/v2/generations/a%2F..%2Fb%3Fc"


@pytest.mark.parametrize(
    ("status", "reason"), [(401, ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS), (404, BAD), (400, BAD)]
)
async def test_generation_that_cannot_be_asked_for_has_been_accepted_all_the_same(
    ideogram: Ideogram, bench: Bench, status: int, reason: ErrorReason.ValueType
) -> None:
    ideogram.failures = [(200, {"generation_id": "g"}, {}), *[(status, {"detail": "secret"}, {})] * 40]
    state = await asynchronous(bench)
    assert (state.failed.reason, state.failed.may_be_billed) == (reason, True)
    assert [sent.method for sent in ideogram.sent].count("POST") == 1
    assert "secret" not in state.failed.message


async def test_generation_is_asked_for_again_when_ideogram_says(ideogram: Ideogram, bench: Bench) -> None:
    ideogram.failures = [
        (200, {"generation_id": "g"}, {}),
        (429, b"", {"Retry-After": "17"}),
        (503, b"", {}),
        (200, {"status": "failed"}, {}),
    ]
    began = bench.now
    state = await asynchronous(bench)
    assert state.failed.reason == ErrorReason.ERROR_REASON_PROVIDER_ERROR
    assert bench.now - began == 2 + 17 + 5


@pytest.mark.parametrize(("model", "prompt", "sent"), [("v3/edit", "a fox", "true"), ("remove-background", "", None)])
async def test_transparent_ground_of_an_edit_is_asked_for_where_there_is_one(
    ideogram: Ideogram, bench: Bench, *, model: str, prompt: str, sent: str | None
) -> None:
    known = next(known for known in MODELS if f"ideogram/{model}" in {known.id, *known.aliases})
    inputs = [await bench.keep(image_bytes(64, 64))]
    state = await bench.run(task(known.id, inputs=inputs, background="transparent", prompt=prompt))
    assert texts(ideogram).get("transparent_background") == sent
    assert not state.done.warnings
    assert Capability.TRANSPARENT in known.capabilities


@pytest.mark.parametrize(("model", "masked"), [("ideogram/ideogram-v3", False), ("ideogram/ideogram-v3/edit", True)])
async def test_transparent_ground_that_an_edit_has_not_is_refused(
    ideogram: Ideogram, bench: Bench, model: str, masked: bool
) -> None:
    wanted = task(model, inputs=[await bench.keep(image_bytes(64, 64))], background="transparent")
    if masked:
        wanted.mask.CopyFrom(await bench.keep(left_half(64, 64)))
    failed = (await bench.run(wanted)).failed
    assert (failed.reason, failed.param) == (ErrorReason.ERROR_REASON_UNSUPPORTED_PARAMETER, "background")
    assert not ideogram.sent


async def test_what_a_call_has_not_is_warned_of(ideogram: Ideogram, bench: Bench) -> None:
    inputs = [await bench.keep(image_bytes(64, 64))]
    wanted = task("ideogram/ideogram-v3/reframe", inputs=inputs, width=1024, height=1024, moderation="low")
    wanted.input_fidelity = "high"
    state = await bench.run(wanted)
    assert sorted(warning.param for warning in state.done.warnings) == ["input_fidelity", "moderation", "prompt"]
    clear = await bench.run(task(background="transparent", width=1216, height=832))
    assert texts(ideogram, -2)["aspect_ratio"] == "3x2"
    assert [(warning.code, warning.param) for warning in clear.done.warnings] == [("size_adjusted", "size")]


@pytest.mark.parametrize("shade", [0, 255])
async def test_mask_of_one_colour_is_refused_where_ideogram_wants_two(
    ideogram: Ideogram, bench: Bench, shade: int
) -> None:
    inputs, mask = [await bench.keep(image_bytes(64, 64))], await bench.keep(image_bytes(64, 64, colour=(shade,) * 3))
    state = await bench.run(task("ideogram/ideogram-v4.5", inputs=inputs, mask=mask))
    assert (state.failed.reason, state.failed.param) == (ErrorReason.ERROR_REASON_INVALID_IMAGE, "mask")
    assert not ideogram.sent


async def test_pictures_over_the_limit_of_one_or_of_all_are_refused(ideogram: Ideogram, bench: Bench) -> None:
    eleven = await bench.keep(image_bytes() + bytes(11_000_000))
    for wanted in (task(inputs=[eleven]), task("ideogram/ideogram-v4.5", inputs=[eleven] * 5)):
        state = await bench.run(wanted)
        assert (state.failed.reason, state.failed.param) == (ErrorReason.ERROR_REASON_INVALID_IMAGE, "image")
    assert not ideogram.sent


@pytest.mark.parametrize(
    "body", [{"detail": "words"}, {"error": "words"}, {"error": {"message": "words"}}, {"message": "words"}]
)
async def test_refusals_say_why_and_name_the_field(ideogram: Ideogram, bench: Bench, body: Any) -> None:
    ideogram.failures = [(400, body, {}), (422, body, {})]
    assert (await bench.run(task())).failed.message == "Ideogram refused the request: words"
    failed = (await bench.run(task())).failed
    assert failed.message == "The content policy of Ideogram refused the prompt."
    assert (failed.param, failed.may_be_billed) == ("prompt", False)


async def test_fault_of_ideograms_is_asked_again_once(ideogram: Ideogram, bench: Bench) -> None:
    ideogram.failures = [(500, b"oops", {})]
    assert (len((await bench.run(task())).done.artifacts), ideogram.billed) == (1, 1)
    ideogram.sent.clear()
    ideogram.failures = [(500, b"oops", {}), (500, b"oops", {})]
    failed = (await bench.run(task())).failed
    assert (failed.reason, failed.may_be_billed) == (ErrorReason.ERROR_REASON_PROVIDER_ERROR, False)
    assert (failed.message, len(ideogram.sent)) == ("Ideogram failed.", 2)


def test_stark_mask_has_both_polarities() -> None:
    for inverted, edit, keep in ((False, 255, 0), (True, 0, 255)):
        drawn = Image.open(io.BytesIO(images.binary_mask(left_half(8, 8), inverted=inverted)))
        assert [drawn.getpixel((x, 0)) for x in (0, 7)] == [edit, keep]
