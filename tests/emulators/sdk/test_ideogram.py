"""Emulator of Ideogram's API v1, called by the only client, npm `ideogram-api` 1.1.0 of a third party."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.emulators.base import image_bytes
from tests.emulators.ideogram import Ideogram
from tests.emulators.sdk import node

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

PACKAGE: Final = "ideogram-api@1.1.0"

# The constructor requires https; the field that it sets does not.
SCRIPT: Final = """
import { IdeogramAPI } from 'ideogram-api';
const [base, key, work] = process.argv.slice(2);
const api = new IdeogramAPI(key, 'https://localhost', 'error');
api.baseUrl = base;
let answer;
try {
  answer = await api[work](JSON.parse(process.env.PARAMS));
} catch (error) {
  answer = { failed: error.message };
}
console.log(JSON.stringify(answer));
process.exit(0);  // its log would keep the process
"""


@pytest.fixture
async def emulator() -> AsyncIterator[Ideogram]:
    async with Ideogram() as running:
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create a folder for the package, with images to send."""
    path = tmp_path_factory.mktemp("ideogram-api")
    (path / "run.mjs").write_text(SCRIPT)
    for name, colour in (("image", (9, 99, 199)), ("grey", (100, 100, 100)), ("black", (0, 0, 0))):
        (path / f"{name}.png").write_bytes(image_bytes(64, 64, colour=colour))
    return path


async def call(folder: Path, emulator: Ideogram, work: str, params: dict[str, Any], key: str = "") -> dict[str, Any]:
    return await node.call(folder, PACKAGE, emulator.base, key or emulator.key, work, params=params)


async def test_image_is_generated(folder: Path, emulator: Ideogram) -> None:
    params = {
        "prompt": "a fox",
        "aspectRatio": "16x9",
        "renderingSpeed": "QUALITY",
        "numImages": 2,
        "seed": 5,
        "colorPalette": {"name": "EMBER"},
        "styleCodes": ["0a0a0a0a", "0b0b0b0b"],
    }
    made = await call(folder, emulator, "generate", params)
    assert [item["seed"] for item in made["data"]] == [5, 6]
    assert [item["is_image_safe"] for item in made["data"]] == [True, True]
    assert emulator.billed == 2


async def test_images_are_edited_remixed_reframed_and_given_a_background(folder: Path, emulator: Ideogram) -> None:
    image, grey, black = (str(folder / name) for name in ("image.png", "grey.png", "black.png"))
    refused = await call(folder, emulator, "edit", {"prompt": "a fox", "image": image, "mask": grey})
    assert refused["failed"].startswith("Invalid input")
    for work, params in (
        ("edit", {"prompt": "a fox", "mask": black}),
        ("remix", {"prompt": "a fox", "imageWeight": 70}),
        ("reframe", {"resolution": "1536x640"}),
        ("replaceBackground", {"prompt": "a beach"}),
    ):
        made = await call(folder, emulator, work, {**params, "image": image})
        assert made.get("data"), (work, made)
    assert emulator.billed == 4


async def test_errors_raise_in_the_client(folder: Path, emulator: Ideogram) -> None:
    assert "Authentication failed" in (await call(folder, emulator, "generate", {"prompt": "a fox"}, "x"))["failed"]
    refused = await call(folder, emulator, "generate", {"prompt": "a fox", "resolution": "7x7"})
    assert refused["failed"].startswith("Invalid input")
    emulator.failures = [(422, {"error": "Prompt failed the safety check"}, {})]
    assert "Validation failed" in (await call(folder, emulator, "generate", {"prompt": "a fox"}))["failed"]
    emulator.failures = [(429, {"error": "busy", "reject_reason": "inflight_limit"}, {})]
    assert "Rate limit" in (await call(folder, emulator, "generate", {"prompt": "a fox"}))["failed"]
    assert emulator.billed == 0
