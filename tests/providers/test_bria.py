"""The bria family against Bria's own API: what is sent, what becomes of every state and error, what is billed."""

from __future__ import annotations

import base64
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pytest
from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.providers.bria.adapter import BriaAdapter
from imagegateway.providers.bria.catalog import MODELS
from imagegateway.providers.bria.fal import BriaFalAdapter
from imagegateway.v1.error_reason_pb2 import ErrorReason
from PIL import Image

from tests.emulators.base import image_bytes
from tests.emulators.bria import FIELDS, Bria
from tests.providers.harness import Bench

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

BLOCKED = ErrorReason.ERROR_REASON_MODERATION_BLOCKED
IDS = [model.id for model in MODELS]


@pytest.fixture
async def bria() -> AsyncIterator[Bria]:
    async with Bria() as emulator:
        assert isinstance(emulator, Bria)
        yield emulator


@pytest.fixture
async def bench(bria: Bria, tmp_path: Path) -> AsyncIterator[Bench]:
    values = {"IMAGEGATEWAY_BRIA_BASE_URL": bria.base, "IMAGEGATEWAY_BRIA_API_KEY": bria.key}
    bench = Bench.open(MODELS, [BriaAdapter(), BriaFalAdapter()], tmp_path, values)
    yield bench
    await bench.family.close()


def task(model: str = "bria/fibo-edit/edit", **fields: Any) -> pb.ImageTask:
    return pb.ImageTask(model=model, route="bria", **{"prompt": "a fox", "n": 1, **fields})


async def edit(bench: Bench, model: str = "bria/fibo-edit/edit", **fields: Any) -> pb.TaskState:
    """An edit of a picture, with a mask whose left half is grey on both sides of the middle."""
    first = await bench.keep(image_bytes(80, 60))
    if fields.pop("masked", False):
        mask = Image.new("L", (80, 60), 0)
        for column, shade in enumerate((255, 200, 128, 127)):
            mask.paste(shade, (column, 0, column + 1, 60))
        file = BytesIO()
        mask.save(file, "PNG")
        fields["mask"] = await bench.keep(file.getvalue())
    return await bench.run(task(model, inputs=[first], **fields))


def submits(bria: Bria) -> list[Any]:
    return [sent.json for sent in bria.sent if sent.method == "POST"]


async def test_edit_is_submitted_polled_fetched_and_kept_byte_for_byte(bria: Bria, bench: Bench) -> None:
    state = await edit(bench, seed=5, negative_prompt="fog", output_format="jpeg", quality="high")
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
    assert await bench.bytes_of(artifact) == image_bytes(80, 60, "JPEG")
    assert (artifact.media.media_type, artifact.seed, bria.billed) == ("image/jpeg", 5, 1)


async def test_key_goes_to_the_api_alone_and_status_is_asked_there(bria: Bria, bench: Bench) -> None:
    bria.elsewhere = "https://attacker.example"
    assert (await edit(bench)).HasField("done")
    keys = {sent.path.rsplit("/", 1)[0]: sent.headers.get("api_token") for sent in bria.sent}
    assert keys == {"/v2/image": bria.key, "/v2/status": bria.key, "/results": None}


async def test_own_key_of_the_caller_goes_before_the_operators(bria: Bria, bench: Bench) -> None:
    bria.key = "caller-key"
    assert (await edit(bench)).failed.reason == ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS
    state = await bench.run(task("bria/fibo/generate"), credential="caller-key")
    assert state.HasField("done")


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("bria/fibo-edit/edit", "/v2/image/edit"),
        ("bria/eraser", "/v2/image/edit/erase"),
        ("bria/genfill", "/v2/image/edit/gen_fill"),
    ],
)
async def test_mask_is_black_and_white_with_white_to_edit(bria: Bria, bench: Bench, model: str, path: str) -> None:
    prompt = "" if model == "bria/eraser" else "a fox"
    state = await edit(bench, model, masked=True, prompt=prompt)
    assert state.HasField("done"), state
    sent = bria.sent[0]
    mask = Image.open(BytesIO(base64.b64decode(sent.json["mask"])))
    assert (sent.path, mask.format, mask.mode, mask.size) == (path, "PNG", "L", (80, 60))
    assert [mask.getpixel((column, 30)) for column in range(5)] == [255, 255, 255, 0, 0]
    assert ("prompt" in sent.json) == (model == "bria/genfill")
    assert not state.done.warnings


@pytest.mark.parametrize("model", ["bria/eraser", "bria/genfill"])
async def test_mask_is_asked_for_before_anything_is_sent(bria: Bria, bench: Bench, model: str) -> None:
    state = await edit(bench, model)
    assert (state.failed.reason, state.failed.param) == (ErrorReason.ERROR_REASON_MISSING_PARAMETER, "mask")
    assert not bria.sent


async def test_generate_takes_shapes_and_resolutions(bria: Bria, bench: Bench) -> None:
    sizes = {
        (1024, 1024): ("1:1", "1MP"),
        (1254, 836): ("3:2", "1MP"),
        (836, 1254): ("2:3", "1MP"),
        (1365, 768): ("16:9", "1MP"),
        (2730, 1536): ("16:9", "4MP"),
        (2048, 2048): ("1:1", "4MP"),
    }
    for width, height in sizes:
        await bench.run(task("bria/fibo/generate", width=width, height=height))
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
def test_sizes_come_to_the_nearest_shape_and_4mp_from_2_mp_on(asked: tuple[int, int], made: tuple[int, int]) -> None:
    model = next(model for model in MODELS if model.id == "bria/fibo/generate")
    assert model.sizes.nearest(*asked) == made


async def test_reference_goes_to_generate(bria: Bria, bench: Bench) -> None:
    await edit(bench, "bria/fibo/generate", width=1183, height=887)
    (body,) = submits(bria)
    assert body["images"] == [base64.b64encode(image_bytes(80, 60)).decode()]
    assert body["prompt"] == "a fox"


async def test_refined_prompt_is_told(bench: Bench) -> None:
    state = await edit(bench, "bria/genfill", masked=True)
    assert state.done.artifacts[0].revised_prompt == "a fox, refined"


async def test_unmet_wishes_are_warned_of(bench: Bench) -> None:
    state = await edit(bench, "bria/remove-background", width=640, height=640, moderation="low")
    assert [(warning.code, warning.param) for warning in state.done.warnings] == [
        ("unsupported_parameter", "moderation"),
        ("unsupported_parameter", "prompt"),
        ("size_adjusted", "size"),
    ]
    assert not (await edit(bench, width=80, height=60)).done.warnings
    assert not (await edit(bench, width=1182, height=887, aspect_ratio="4:3")).done.warnings


@pytest.mark.parametrize("model", IDS)
async def test_every_model_is_served(bria: Bria, bench: Bench, model: str) -> None:
    masked = model in {"bria/eraser", "bria/genfill"}
    state = await edit(bench, model, masked=masked)
    assert state.HasField("done"), state
    assert (bria.sent[0].path.removeprefix("/v2/") in FIELDS, bria.billed) == (True, 1)


@pytest.mark.parametrize(
    ("wanted", "compression", "sent"), [("png", None, "png"), ("webp", None, "png"), ("jpeg", 40, "png")]
)
async def test_formats_that_bria_has_not_are_made_from_png(
    bria: Bria, bench: Bench, wanted: str, compression: int | None, sent: str
) -> None:
    state = await bench.run(task("bria/fibo/generate", output_format=wanted, output_compression=compression))
    assert submits(bria)[0]["output_type"] == sent
    assert state.done.artifacts[0].media.media_type == f"image/{wanted}"


async def test_n_pictures_are_n_tasks_with_seeds_that_follow(bria: Bria, bench: Bench) -> None:
    state = await bench.run(task("bria/fibo/generate", n=3, seed=9))
    assert sorted(body["seed"] for body in submits(bria)) == [9, 10, 11]
    assert [artifact.seed for artifact in state.done.artifacts] == [9, 10, 11]
    assert bria.billed == 3


async def test_some_of_n_may_fail(bria: Bria, bench: Bench) -> None:
    bria.failures = [(422, {"error": {"code": 422, "message": "Content moderation", "details": ""}}, {})]
    state = await bench.run(task("bria/fibo/generate", n=3))
    assert (len(state.done.artifacts), bria.billed) == (2, 2)
    assert [missing.reason for missing in state.done.missing] == [BLOCKED]


async def test_options_go_beside_the_gateways_fields_and_a_whole_answer_is_read(bria: Bria, bench: Bench) -> None:
    state = await edit(bench, provider_options={"sync": True, "guidance_scale": 3})
    assert submits(bria)[0]["guidance_scale"] == 3
    assert state.HasField("done")
    assert [sent.path for sent in bria.sent] == ["/v2/image/edit", "/results/request-0"]


@pytest.mark.parametrize(
    ("last", "reason"),
    [
        ({"code": 422, "message": "Unprocessable", "details": "prompt_content_moderation failed"}, BLOCKED),
        ({"code": 422, "message": "Moderated", "details": "visual_output_content_moderation"}, BLOCKED),
        ({"code": "VALIDATION_ERROR", "message": "bad", "details": "x"}, ErrorReason.ERROR_REASON_INVALID_VALUE),
        ({"code": 460, "message": "not loaded", "details": "x"}, ErrorReason.ERROR_REASON_INVALID_IMAGE),
        ({"code": 500, "message": "secret", "details": "host"}, ErrorReason.ERROR_REASON_PROVIDER_ERROR),
        ({"code": "SOMETHING", "message": "secret"}, ErrorReason.ERROR_REASON_PROVIDER_ERROR),
        ("UNKNOWN", ErrorReason.ERROR_REASON_PROVIDER_ERROR),
        ("FAILED", ErrorReason.ERROR_REASON_PROVIDER_ERROR),
        ("NOT_FOUND", ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE),
        ("DREAMING", ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE),
    ],
)
async def test_terminal_and_unknown_states_end(bria: Bria, bench: Bench, last: Any, reason: Any) -> None:
    bria.script = ("IN_PROGRESS", last)
    state = await edit(bench)
    assert (state.failed.reason, state.failed.may_be_billed) == (reason, True)
    assert "secret" not in state.failed.message
    assert (len(submits(bria)), bria.billed) == (1, 0)


async def test_moderation_says_of_what(bria: Bria, bench: Bench) -> None:
    bria.script = ({"code": 422, "message": "Moderated", "details": "visual_output_content_moderation"},)
    assert (await edit(bench)).failed.message == "The content policy of Bria refused the result."
    bria.failures = [(422, {"error": {"code": 422, "message": "Prompt moderation", "details": "x"}}, {})]
    failed = (await edit(bench)).failed
    assert failed.message == "The content policy of Bria refused the prompt."
    assert (failed.param, failed.may_be_billed) == ("prompt", False)
    bria.failures = [(422, {"error": {"code": 422, "details": "visual_input_content_moderation"}}, {})]
    failed = (await edit(bench)).failed
    assert (failed.message, failed.param) == ("The content policy of Bria refused the input image.", "image")
    bria.failures = [(422, {"error": {"code": 422, "message": "Content moderation"}}, {})]
    failed = (await edit(bench)).failed
    assert failed.message == "The content policy of Bria refused the prompt or an input image."


async def test_task_not_yet_visible_is_waited_for(bria: Bria, bench: Bench) -> None:
    bria.script = ("NOT_FOUND", "IN_PROGRESS", "COMPLETED")
    assert (await edit(bench)).HasField("done")


@pytest.mark.parametrize(
    ("status", "reason", "accepted"),
    [
        (400, ErrorReason.ERROR_REASON_INVALID_VALUE, False),
        (401, ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS, False),
        (403, ErrorReason.ERROR_REASON_PROVIDER_BILLING, False),
        (404, ErrorReason.ERROR_REASON_MODEL_RETIRED, False),
        (405, ErrorReason.ERROR_REASON_PROVIDER_ERROR, False),
        (413, ErrorReason.ERROR_REASON_INVALID_IMAGE, False),
        (415, ErrorReason.ERROR_REASON_INVALID_IMAGE, False),
        (422, ErrorReason.ERROR_REASON_INVALID_VALUE, False),
        (460, ErrorReason.ERROR_REASON_INVALID_IMAGE, False),
        (500, ErrorReason.ERROR_REASON_PROVIDER_ERROR, True),
        (506, ErrorReason.ERROR_REASON_PROVIDER_ERROR, True),
    ],
)
async def test_errors_are_final_after_one_call(
    bria: Bria, bench: Bench, status: int, reason: Any, accepted: bool
) -> None:
    bria.failures = [(status, {"error": {"code": status, "message": "the words", "details": "of Bria"}}, {})]
    state = await edit(bench)
    assert (state.failed.reason, state.failed.may_be_billed, len(bria.sent)) == (reason, accepted, 1)
    blamed = reason in {ErrorReason.ERROR_REASON_INVALID_VALUE, ErrorReason.ERROR_REASON_INVALID_IMAGE}
    assert ("the words: of Bria" in state.failed.message) == blamed


async def test_rate_limits_are_waited_out_at_submit_and_poll(bria: Bria, bench: Bench) -> None:
    bria.failures = [(429, {"error": {"code": 429, "message": "slow", "details": ""}}, {"Retry-After": "7"})]
    assert (await edit(bench)).HasField("done")
    assert 7 <= bench.slept[0] < 8
    assert bria.billed == 1


async def test_status_that_fails_is_asked_again_and_a_refused_key_is_not(bria: Bria, bench: Bench) -> None:
    accepted: Any = (202, {"request_id": "request-0", "status_url": "x"}, {})
    bria.failures = [accepted, (429, {}, {}), (500, b"oops", {}), (401, {"error": {"code": 401}}, {})]
    failed = (await edit(bench)).failed
    assert (failed.reason, failed.may_be_billed) == (ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS, True)
    assert len(bria.sent) == 4


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (429, ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED),
        (403, ErrorReason.ERROR_REASON_PROVIDER_BILLING),
        (500, ErrorReason.ERROR_REASON_PROVIDER_ERROR),
    ],
)
async def test_words_of_moderation_count_only_where_the_request_is_refused(
    bria: Bria, bench: Bench, status: int, reason: Any
) -> None:
    body = {"error": {"code": status, "message": "moderate your rate; moderation is part of no plan"}}
    bria.failures = [(status, body, {"Retry-After": "60"})]
    failed = (await edit(bench)).failed
    assert (failed.reason, len(bria.sent)) == (reason, 1)
    assert "moderat" not in failed.message
    bria.script = ({"code": 500, "message": "moderation is down"},)
    assert (await edit(bench)).failed.reason == ErrorReason.ERROR_REASON_PROVIDER_ERROR


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            {"error": {"code": 422, "message": "the words", "details": [{"loc": ["body", "seed"], "msg": "bad"}]}},
            True,
        ),
        ({"error": "the words"}, True),
        ({"detail": "the words"}, True),
        ({"detail": [{"loc": ["body", "seed"], "msg": "the words", "input": "secret"}]}, True),
        ({"message": "the words"}, True),
        ([], False),
        (b"<html>secret</html>", False),
    ],
)
async def test_errors_of_every_form_are_read(bria: Bria, bench: Bench, body: Any, words: bool) -> None:
    bria.failures = [(422, body, {})]
    failed = (await edit(bench)).failed
    assert (failed.reason, failed.may_be_billed) == (ErrorReason.ERROR_REASON_INVALID_VALUE, False)
    assert ("the words" in failed.message) == words
    assert "secret" not in failed.message


async def test_server_error_is_not_repeated_as_each_post_is_a_billed_job(bria: Bria, bench: Bench) -> None:
    bria.failures = [(503, b"<html>down</html>", {})]
    failed = (await edit(bench)).failed
    assert (failed.reason, failed.may_be_billed) == (ErrorReason.ERROR_REASON_PROVIDER_ERROR, True)
    assert len(bria.sent) == 1


@pytest.mark.parametrize(
    "result",
    [
        None,
        {},
        [],
        {"image_url": None},
        {"image_url": ""},
        {"image_url": 7},
        {"image_url": "https://127.0.0.2/x.png"},
    ],
)
@pytest.mark.parametrize("sync", [False, True])
async def test_answers_without_a_picture_end_the_task(bria: Bria, bench: Bench, result: Any, sync: bool) -> None:
    done: Any = (200, {"request_id": "r", "status": "COMPLETED", "result": result}, {})
    accepted: Any = (202, {"request_id": "r", "status_url": "x"}, {})
    bria.failures = [done] if sync else [accepted, done]
    state = await edit(bench)
    assert (state.failed.reason, state.failed.may_be_billed) == (ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE, True)
    assert len(submits(bria)) == 1


@pytest.mark.parametrize("body", [{}, [], b"<html>hello</html>", {"request_id": None}, {"status": "IN_PROGRESS"}])
async def test_submits_that_answer_without_a_reference_end_the_task(bria: Bria, bench: Bench, body: Any) -> None:
    bria.failures = [(202, body, {})]
    state = await edit(bench)
    assert (state.failed.reason, state.failed.may_be_billed) == (ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE, True)
    assert len(bria.sent) == 1


async def test_words_in_another_case_missing_seeds_and_warnings_are_read(bria: Bria, bench: Bench) -> None:
    result = {"image_url": f"{bria.base}/results/request-0", "seed": None, "refined_prompt": {"a": 1}, "new": 1}
    assert (await edit(bench)).HasField("done")
    bria.failures = [
        (202, {"request_id": "r", "status_url": "x", "warning": "may hold a brand"}, {}),
        (200, {"status": "in_progress"}, {}),
        (200, {"status": "Completed", "result": result}, {}),
    ]
    state = await edit(bench, seed=9, provider_options={"ip_signal": True})
    (artifact,) = state.done.artifacts
    assert (artifact.seed, artifact.revised_prompt) == (9, "")
    assert [(warning.code, warning.message) for warning in state.done.warnings] == [
        ("provider_warning", "Bria: may hold a brand")
    ]


@pytest.mark.parametrize("status", [400, 404, 422])
async def test_status_that_cannot_be_asked_for_never_blames_the_caller(bria: Bria, bench: Bench, status: int) -> None:
    accepted: Any = (202, {"request_id": "request-0", "status_url": "x"}, {})
    bria.failures = [accepted, *[(status, {"error": {"message": "prompt moderation: secret"}}, {})] * 40]
    failed = (await edit(bench)).failed
    assert (failed.reason, failed.may_be_billed) == (ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE, True)
    assert "secret" not in failed.message
    assert len(submits(bria)) == 1


async def test_status_is_asked_again_when_bria_says(bria: Bria, bench: Bench) -> None:
    accepted: Any = (202, {"request_id": "request-0", "status_url": "x"}, {})
    bria.failures = [accepted, (429, {}, {"Retry-After": "17"}), (200, {"status": "FAILED", "error": None}, {})]
    began = bench.now
    assert (await edit(bench)).failed.reason == ErrorReason.ERROR_REASON_PROVIDER_ERROR
    assert bench.now - began == 2 + 17


@pytest.mark.parametrize("model", ["bria/fibo-edit/edit", "bria/fibo/generate"])
@pytest.mark.parametrize(
    ("quality", "steps"),
    [("medium", None), ("standard", None), ("high", 50), ("hd", 50), ("xhigh", 50), ("max", 50)],
)
async def test_every_quality_has_its_steps(
    bria: Bria, bench: Bench, *, model: str, quality: str, steps: int | None
) -> None:
    assert quality in next(known for known in MODELS if known.id == model).qualities
    await edit(bench, model, quality=quality)
    assert submits(bria)[0].get("steps_num") == steps


async def test_picture_over_12_mb_is_refused_here(bria: Bria, bench: Bench) -> None:
    large = await bench.keep(image_bytes() + bytes(12_000_000))
    state = await bench.run(task(inputs=[large]))
    assert (state.failed.reason, state.failed.param) == (ErrorReason.ERROR_REASON_INVALID_IMAGE, "image")
    assert not bria.sent
