"""Parameters of OpenAI's Python SDK 3.57: fields as sent to models that accept them, and results."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
from imagegateway.providers.openai import usage
from imagegateway.v1.image_service_pb2 import Svg, SvgReasoning
from PIL import Image

from tests.emulators.base import image_bytes
from tests.providers.harness import dollars
from tests.providers.tasks import task_of

if TYPE_CHECKING:
    from tests.emulators.openai import OpenAI
    from tests.providers.harness import Harness

NEWEST = "openai/gpt-image-2.6-flare"


task = task_of("openai", NEWEST)


@pytest.mark.parametrize(
    ("model", "fields", "sent"),
    [
        (NEWEST, {"user": "u-1"}, {"user": "u-1"}),
        (NEWEST, {"user": "s-1", "safety_identifier": "s-1"}, {"safety_identifier": "s-1"}),
        ("openai/dall-e-3", {"user": "s-1", "safety_identifier": "s-1"}, {"user": "s-1"}),
    ],
)
async def test_safety_identifier_replaces_user_for_models_that_support_it(
    openai: OpenAI, openai_harness: Harness, model: str, fields: dict[str, str], sent: dict[str, str]
) -> None:
    state = await openai_harness.run(task(model=model, **fields))
    assert state.WhichOneof("state") == "done"
    names = ("user", "safety_identifier")
    assert {name: openai.sent[0].json[name] for name in names if name in openai.sent[0].json} == sent


async def test_gif_is_requested_with_frames_and_stored_unchanged(openai: OpenAI, openai_harness: Harness) -> None:
    state = await openai_harness.run(
        task(output_format="gif", frame_count=4, frame_duration_ms=120, complexity="high")
    )
    (artifact,) = state.done.artifacts
    assert (artifact.media.media_type, artifact.media.width) == ("image/gif", 1024)
    assert await openai_harness.bytes_of(artifact) == image_bytes(1024, 1024, "GIF", (0, 99, 199))
    sent = openai.sent[0].json
    assert {name: sent[name] for name in ("output_format", "frame_count", "frame_duration_ms", "complexity")} == {
        "output_format": "gif",
        "frame_count": 4,
        "frame_duration_ms": 120,
        "complexity": "high",
    }


async def test_svg_is_requested_with_author_and_reports_its_usage(openai: OpenAI, openai_harness: Harness) -> None:
    author = Svg(model="gpt-5.5", reasoning=SvgReasoning(effort="low"))
    state = await openai_harness.run(task(output_format="svg", svg=author))
    assert [found.media.media_type for found in state.done.artifacts] == ["image/svg+xml"]
    assert openai.sent[0].json["svg"] == {"model": "gpt-5.5", "reasoning": {"effort": "low"}}
    used = state.done.svg_usage
    assert (used.model, used.output_tokens, used.reasoning_tokens, used.total_tokens) == ("gpt-5.5", 4000, 1500, 4900)
    assert dollars(task(), state.done) is None, "the author's tokens have no known price"


@pytest.mark.parametrize("counts", [None, "many", {"model": "gpt-5.5"}, {"model": 5, "total_tokens": 1}])
def test_incomplete_svg_usage_is_omitted(counts: Any) -> None:
    assert usage.parse_svg_usage(counts) is None


async def test_edit_sends_author_in_brackets_and_markup_unchanged(openai: OpenAI, openai_harness: Harness) -> None:
    file = io.BytesIO()
    Image.new("RGBA", (64, 64), (255, 0, 0, 40)).save(file, "PNG")
    state = await openai_harness.run(
        task(
            inputs=[await openai_harness.keep(image_bytes())],
            markup=await openai_harness.keep(file.getvalue()),
            output_format="svg",
            svg=Svg(model="gpt-5.5", reasoning=SvgReasoning(effort="low")),
        )
    )
    assert state.WhichOneof("state") == "done", state
    (sent,) = openai.sent
    assert sent.part("markup").data == file.getvalue()
    assert (sent.part("svg[model]").text, sent.part("svg[reasoning][effort]").text) == ("gpt-5.5", "low")
