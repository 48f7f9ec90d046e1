"""Parameters that OpenAI's Python SDK 3.57 brought: what the models that take them are sent, and what comes back."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.providers.openai import usage
from imagegateway.providers.openai.adapter import OpenAIAdapter
from imagegateway.providers.openai.catalog import MODELS
from imagegateway.v1.image_service_pb2 import Svg, SvgReasoning
from PIL import Image

from tests.emulators.base import image_bytes
from tests.emulators.openai import OpenAI
from tests.families.harness import Bench

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

NEWEST = "openai/gpt-image-2.6-flare"


@pytest.fixture
async def openai() -> AsyncIterator[OpenAI]:
    async with OpenAI() as emulator:
        assert isinstance(emulator, OpenAI)
        yield emulator


@pytest.fixture
async def bench(openai: OpenAI, tmp_path: Path) -> AsyncIterator[Bench]:
    values = {"IMAGEGATEWAY_OPENAI_BASE_URL": openai.base, "IMAGEGATEWAY_OPENAI_API_KEY": openai.key}
    bench = Bench.open(MODELS, [OpenAIAdapter()], tmp_path, values)
    yield bench
    await bench.family.close()


def task(**fields: Any) -> pb.ImageTask:
    return pb.ImageTask(route="openai", **{"model": NEWEST, "prompt": "a fox", "n": 1, **fields})


@pytest.mark.parametrize(
    ("model", "fields", "sent"),
    [
        (NEWEST, {"user": "u-1"}, {"user": "u-1"}),
        (NEWEST, {"user": "s-1", "safety_identifier": "s-1"}, {"safety_identifier": "s-1"}),
        ("openai/dall-e-3", {"user": "s-1", "safety_identifier": "s-1"}, {"user": "s-1"}),
    ],
)
async def test_safety_identifier_is_sent_in_place_of_user_to_models_that_take_it(
    openai: OpenAI, bench: Bench, model: str, fields: dict[str, str], sent: dict[str, str]
) -> None:
    state = await bench.run(task(model=model, **fields))
    assert state.WhichOneof("state") == "done"
    names = ("user", "safety_identifier")
    assert {name: openai.sent[0].json[name] for name in names if name in openai.sent[0].json} == sent


async def test_gif_is_asked_for_with_its_frames_and_kept_as_it_comes(openai: OpenAI, bench: Bench) -> None:
    state = await bench.run(task(output_format="gif", frame_count=4, frame_duration_ms=120, complexity="high"))
    (artifact,) = state.done.artifacts
    assert (artifact.media.media_type, artifact.media.width) == ("image/gif", 1024)
    assert await bench.bytes_of(artifact) == image_bytes(1024, 1024, "GIF", (0, 99, 199))
    sent = openai.sent[0].json
    assert {name: sent[name] for name in ("output_format", "frame_count", "frame_duration_ms", "complexity")} == {
        "output_format": "gif",
        "frame_count": 4,
        "frame_duration_ms": 120,
        "complexity": "high",
    }


async def test_svg_is_asked_for_with_its_author(openai: OpenAI, bench: Bench) -> None:
    author = Svg(model="gpt-5.5", reasoning=SvgReasoning(effort="low"))
    state = await bench.run(task(output_format="svg", svg=author))
    assert [found.media.media_type for found in state.done.artifacts] == ["image/svg+xml"]
    assert openai.sent[0].json["svg"] == {"model": "gpt-5.5", "reasoning": {"effort": "low"}}
    used = state.done.svg_usage
    assert (used.model, used.output_tokens, used.reasoning_tokens, used.total_tokens) == ("gpt-5.5", 4000, 1500, 4900)
    assert not state.done.HasField("cost"), "the author's tokens have no known price"


@pytest.mark.parametrize("counts", [None, "many", {"model": "gpt-5.5"}, {"model": 5, "total_tokens": 1}])
def test_svg_usage_that_is_not_whole_is_left_out(counts: Any) -> None:
    assert usage.author(counts) is None


async def test_edit_sends_the_author_in_brackets_and_the_markup_as_it_came(openai: OpenAI, bench: Bench) -> None:
    file = io.BytesIO()
    Image.new("RGBA", (64, 64), (255, 0, 0, 40)).save(file, "PNG")
    state = await bench.run(
        task(
            inputs=[await bench.keep(image_bytes())],
            markup=await bench.keep(file.getvalue()),
            output_format="svg",
            svg=Svg(model="gpt-5.5", reasoning=SvgReasoning(effort="low")),
        )
    )
    assert state.WhichOneof("state") == "done", state
    (sent,) = openai.sent
    assert sent.part("markup").data == file.getvalue()
    assert (sent.part("svg[model]").text, sent.part("svg[reasoning][effort]").text) == ("gpt-5.5", "low")
