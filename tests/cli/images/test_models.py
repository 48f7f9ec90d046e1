"""Command `models`: list, search and details."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.cli.images.conftest import Run
    from tests.support.fake_gateway import FakeGateway

_PRO: dict[str, Any] = {
    "id": "bfl/flux-2-pro",
    "object": "model",
    "owned_by": "bfl",
    "description": "Fast and precise.",
    "modality": "image",
    "aliases": ["flux-pro"],
    "capabilities": ["text_to_image", "image_to_image", "seed"],
    "limits": {
        "max_prompt_length": 32000,
        "max_n": 10,
        "max_input_images": 8,
        "min_side": 64,
        "max_side": 2048,
        "side_step": 16,
        "output_formats": ["png", "jpeg"],
    },
    "routes": [{"name": "bfl", "mode": "async", "available": True}],
    "available": True,
    "pricing": {"currency": "USD", "unit": "megapixel", "amount": 0.03, "estimate": 0.04},
}
_OLD: dict[str, Any] = {
    "id": "openai/dall-e-3",
    "object": "model",
    "description": "Retired.",
    "modality": "image",
    "capabilities": ["text_to_image", "style"],
    "limits": {"sizes": ["1024x1024"]},
    "routes": [{"name": "openai", "mode": "inline", "missing_settings": ["IMAGEGATEWAY_OPENAI_API_KEY"]}],
    "unavailable_reason": "IMAGEGATEWAY_OPENAI_API_KEY is not set.",
    "retired_at": "2026-05-12",
    "successor": "openai/gpt-image-2",
}
_VIDEO: dict[str, Any] = {
    "id": "google/veo-3.1-fast",
    "object": "model",
    "modality": "video",
    "capabilities": ["text_to_video"],
    "available": True,
}


@pytest.fixture(autouse=True)
def catalog(gateway: FakeGateway) -> None:
    gateway.models = [_OLD, _PRO, _VIDEO]


def ids(run: Run, *arguments: str) -> list[str]:
    document = json.loads(run("models", *arguments, "--json").stdout)
    return [model["id"] for model in document["data"]]


def test_list_begins_with_the_ready_models(run: Run) -> None:
    assert [line.split() for line in run("models").stdout.splitlines()] == [
        ["MODEL", "READY", "COST", "MAKES", "FROM", "OPTIONS"],
        ["bfl/flux-2-pro", "yes", "0.04", "USD", "image", "text,", "image", "seed"],
        ["google/veo-3.1-fast", "yes", "-", "video", "text", "-"],
        ["openai/dall-e-3", "retired", "-", "image", "text", "style"],
    ]


@pytest.mark.parametrize("query", ["flux", "FLUX pro", "precise", "flux-pro bfl"])
def test_search_finds_words_of_names_and_descriptions(run: Run, query: str) -> None:
    assert ids(run, query) == ["bfl/flux-2-pro"]


def test_filters_narrow_the_list(run: Run, gateway: FakeGateway) -> None:
    assert ids(run, "--capability", "text_to_image", "--capability", "seed") == ["bfl/flux-2-pro"]
    assert ids(run, "--ready") == ["bfl/flux-2-pro", "google/veo-3.1-fast"]
    ids(run, "--provider", "fal", "--modality", "video")
    assert gateway.received[-1].query == {"provider": "fal", "modality": "video"}


@pytest.mark.parametrize("name", ["bfl/flux-2-pro", "flux-pro"])
def test_exact_name_shows_the_model(run: Run, name: str) -> None:
    shown = run("models", name).stdout
    for text in ("0.03 USD per MP", "64 to 2048 pixels in steps of 16", "async, ready", "png, jpeg", "flux-pro"):
        assert text in shown
    assert json.loads(run("models", name, "--json").stdout) == _PRO


def test_model_that_is_not_ready_says_why(run: Run) -> None:
    shown = run("models", "openai/dall-e-3").stdout
    for text in ("no: IMAGEGATEWAY_OPENAI_API_KEY is not set.", "2026-05-12", "openai/gpt-image-2", "unknown"):
        assert text in shown


def test_search_without_a_match_is_an_error(run: Run) -> None:
    done = run("models", "nothing-like-this")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "imagegateway: no model matches 'nothing-like-this': `imagegateway models` lists all\n"
