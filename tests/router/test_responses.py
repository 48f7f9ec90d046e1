"""Responses from job records: OpenAI's fields have values that its types accept, or are unset."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.json_format import MessageToDict
from imagegateway.job.v1.job_record_pb2 import JobRecord
from imagegateway.jobs import states, transitions
from imagegateway.keys.root_secret import RootSecret
from imagegateway.media.signed_links import LinkSigner
from imagegateway.platform.setting_source import Source
from imagegateway.provider.v1 import provider_service_pb2 as provider
from imagegateway.router import call_context, event_streams, job_errors, responses
from imagegateway.router.call_context import Preferences
from imagegateway.router.catalog import Catalog
from imagegateway.router.responses import ImagesResult, PartialImage, ResponseBuilder
from imagegateway.router.validation.request import validate_request
from imagegateway.v1 import image_service_pb2 as pb
from imagegateway.v1 import job_pb2
from imagegateway.v1.error_reason_pb2 import ErrorReason
from openai.types import (
    ImageEditCompletedEvent,
    ImageEditPartialImageEvent,
    ImageGenCompletedEvent,
    ImageGenPartialImageEvent,
    ImagesResponse,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


NOW = 1_790_000_000
CATALOG = Catalog.load(Source({"IMAGEGATEWAY_OPENAI_API_KEY": "k", "IMAGEGATEWAY_RECRAFT_API_KEY": "k"}))
USAGE = job_pb2.Usage(
    input_tokens=1,
    output_tokens=2,
    total_tokens=3,
    input_tokens_details=job_pb2.TokenDetails(text_tokens=1, image_tokens=0),
)


def record(media_type: str, width: int, height: int, **task: Any) -> JobRecord:
    key = f"results/2026-11-28/{'ab' * 32}"
    media = provider.MediaRef(key=key, media_type=media_type, width=width, height=height)
    return JobRecord(
        id="job_1",
        state=states.COMPLETED,
        completed_at=NOW * 1000,
        task=provider.ImageTask(**task),
        done=provider.Done(artifacts=[provider.Artifact(media=media)]),
    )


def response_builder() -> ResponseBuilder:
    signer = LinkSigner(RootSecret("root secret of the tests"), "https://a.example", lambda: NOW)
    unused: Any = None  # links need neither store nor memory
    return ResponseBuilder(unused, signer, lambda: NOW, unused)


async def rendered(record: JobRecord) -> dict[str, Any]:
    call = call_context.begin("Generate", {}, rest=True)
    result = await response_builder().images(record, call, b64_json=False)
    return MessageToDict(result.message, preserving_proto_field_name=True)


@pytest.mark.parametrize(
    ("media_type", "expected"),
    [
        ("image/png", "png"),
        ("image/jpeg", "jpeg"),
        ("image/webp", "webp"),
        ("image/gif", "gif"),
        ("image/svg+xml", "svg"),
        ("video/mp4", None),
    ],
)
async def test_output_format_is_set_only_to_values_of_the_types(media_type: str, expected: str | None) -> None:
    found = await rendered(record(media_type, 64, 48))
    assert found.get("output_format") == expected
    assert found["data"][0]["media_type"] == media_type
    ImagesResponse.model_validate_json(json.dumps(found))


@pytest.mark.parametrize("quality", ["low", "medium", "high", "xhigh", "max", "standard", "hd", "ultra", ""])
async def test_quality_is_set_only_to_values_of_the_types(quality: str) -> None:
    found = await rendered(record("image/png", 64, 48, quality=quality))
    assert found.get("quality") == (quality if quality in {"low", "medium", "high", "xhigh", "max"} else None)


@pytest.mark.parametrize("background", ["transparent", "opaque", "auto", ""])
async def test_background_is_set_only_to_values_of_the_types(background: str) -> None:
    found = await rendered(record("image/png", 64, 48, background=background))
    assert found.get("background") == (background if background in {"transparent", "opaque"} else None)


async def test_result_without_known_sides_has_no_size() -> None:
    plan = record("video/mp4", 0, 0)
    found = await rendered(plan)
    assert "size" not in found
    (item,) = found["data"]
    assert not {"width", "height"} & set(item)
    job = MessageToDict(response_builder().job(plan), preserving_proto_field_name=True)
    assert not {"width", "height"} & set(job["result"]["data"][0])


async def test_end_user_id_and_svg_usage_are_in_the_response() -> None:
    plan = record("image/png", 64, 48, user="u-1")
    plan.done.svg_usage.CopyFrom(
        job_pb2.SvgUsage(model="gpt-5.5", input_tokens=1, output_tokens=2, reasoning_tokens=0, total_tokens=3)
    )
    found = ImagesResponse.model_validate(await rendered(plan))
    assert found.safety_identifier == "u-1"
    assert found.svg_usage is not None
    assert found.svg_usage.total_tokens == 3


class _Streamed:
    """Image operations that yield these steps."""

    def __init__(self, steps: list[PartialImage | ImagesResult]) -> None:
        self._steps = steps

    async def stream(self, *_: object) -> AsyncGenerator[PartialImage | ImagesResult, None]:
        for step in self._steps:
            yield step


@pytest.mark.parametrize(
    ("model", "fields", "media_type"),
    [
        ("openai/gpt-image-2", {}, "image/png"),
        ("openai/gpt-image-2", {"quality": "hd", "background": "opaque", "output_format": "webp"}, "image/webp"),
        ("openai/gpt-image-2.6-flare", {"quality": "max", "size": "1024x1024"}, "image/png"),
        ("recraft/recraft-v3", {}, "image/jpeg"),
        ("local/sketch", {"quality": "standard", "safety_identifier": "s-1"}, "image/png"),
    ],
)
@pytest.mark.parametrize("edit", [False, True])
async def test_events_match_the_sdks_types(
    model: str, fields: dict[str, Any], media_type: str, *, edit: bool
) -> None:
    kind = pb.EditRequest if edit else pb.GenerateRequest
    plan = validate_request(kind(model=model, prompt="a fox", stream=True, **fields), CATALOG, "", Preferences())
    image = job_pb2.Image(width=64, height=48, media_type=media_type)
    response = pb.ImagesResponse(data=[image], usage=USAGE, safety_identifier=fields.get("safety_identifier"))
    images: Any = _Streamed([PartialImage(b"bytes", 0), ImagesResult(response, [b"bytes"])])
    call: Any = None
    events = [event async for event in event_streams.image_events(images, plan, call)]
    partial, completed = (json.loads(event.partition(b"data: ")[2]) for event in events)
    partial_type, completed_type = (
        (ImageEditPartialImageEvent, ImageEditCompletedEvent)
        if edit
        else (ImageGenPartialImageEvent, ImageGenCompletedEvent)
    )
    partial_type.model_validate(partial, strict=True)
    expected = completed_type.model_validate(completed, strict=True)
    assert (expected.size, expected.output_format) == ("64x48", media_type.removeprefix("image/"))
    assert expected.safety_identifier == fields.get("safety_identifier")


def test_moderation_error_has_openais_sentence() -> None:
    refused = JobRecord(
        id="job_1",
        state=states.FAILED,
        failed=provider.Failed(
            reason=ErrorReason.ERROR_REASON_MODERATION_BLOCKED,
            message="The content policy of Recraft refused the prompt.",
            param="prompt",
        ),
    )
    text = (
        "The content policy of Recraft refused the prompt."
        " Your request was rejected as a result of the safety system."
    )
    assert job_errors.job_failure(refused).message == text
    assert responses.job_error(refused.failed).message == text


def described(record: JobRecord) -> dict[str, Any]:
    return MessageToDict(response_builder().job(record), preserving_proto_field_name=True)


def test_job_shows_its_request_without_images_and_keys() -> None:
    made = record("image/png", 8, 8, prompt="a fox", n=2, seed=0, user="u-1", quality="high")
    made.task.width, made.task.height = 64, 32
    made.task.inputs.add(key="uploads/x")
    made.sealed_credential = b"sealed"
    assert described(made)["request"] == {
        "prompt": "a fox",
        "n": 2,
        "size": "64x32",
        "seed": 0,
        "user": "u-1",
        "quality": "high",
    }


def test_job_shows_no_prompt_that_is_not_kept() -> None:
    made = record("image/png", 8, 8, prompt="a fox", negative_prompt="dogs", n=1)
    made.drop_prompts = True
    assert described(made)["request"] == {"n": 1}
    made.state = states.RUNNING
    transitions.mark_completed(made, made.done, None)
    assert (made.task.prompt, made.task.negative_prompt) == ("", "")


def test_erased_job_shows_neither_request_nor_result() -> None:
    made = record("image/png", 8, 8, prompt="a fox", n=1)
    transitions.erase(made)
    job = described(made)
    assert job["status"] == "completed"
    assert job["erased_at"]
    assert not {"request", "result", "result_url", "metadata", "expires_at"} & job.keys()


@pytest.mark.parametrize(("media_days", "days"), [(0, 7), (1, 1), (90, 90)])
def test_media_expire_by_the_jobs_retention(media_days: int, days: int) -> None:
    made = record("image/png", 8, 8, media_days=media_days)
    assert described(made)["expires_at"] == NOW + days * 86_400
    made.completed_at = (NOW - days * 86_400 - 1) * 1000
    assert "result" not in described(made)
