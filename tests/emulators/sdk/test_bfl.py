"""BFL's emulator, called by npm `@ai-sdk/black-forest-labs` 2.0.41, the only client that knows FLUX.2."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.emulators.base import image_bytes
from tests.emulators.bfl import Bfl
from tests.emulators.sdk import node

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

PACKAGE: Final = "@ai-sdk/black-forest-labs@2.0.41"
SCRIPT: Final = """
import { createBlackForestLabs } from '@ai-sdk/black-forest-labs';
const [base, key, model] = process.argv.slice(2);
const { files, mask, ...params } = JSON.parse(process.env.PARAMS);
const bytes = (data) => ({ type: 'file', mediaType: 'image/png', data });
const polls = { pollIntervalMillis: 5, pollTimeoutMillis: 50 };
const bfl = createBlackForestLabs({ apiKey: key, baseURL: `${base}/v1`, ...polls });
let answer;
try {
  const made = await bfl.image(model).doGenerate({
    n: 1, providerOptions: {}, ...params, files: files?.map(bytes), mask: mask && bytes(mask),
  });
  const [metadata] = made.providerMetadata.blackForestLabs.images;
  answer = { image: Buffer.from(made.images[0]).toString('base64'), ...metadata };
} catch (error) {
  answer = { failed: error.message, status: error.statusCode };
}
console.log(JSON.stringify(answer));
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ai-sdk-bfl")
    (path / "run.mjs").write_text(SCRIPT)
    return path


@pytest.fixture
async def emulator() -> AsyncIterator[Bfl]:
    async with Bfl() as running:
        yield running


async def call(folder: Path, emulator: Bfl, model: str, key: str = "", **params: Any) -> dict[str, Any]:
    return await node.call(folder, PACKAGE, emulator.base, key or emulator.key, model, params=params)


async def test_task_is_submitted_polled_and_downloaded(folder: Path, emulator: Bfl) -> None:
    answer = await call(folder, emulator, "flux-2-pro", prompt="a fox", size="512x768", seed=5)
    assert base64.b64decode(answer["image"]) == image_bytes(512, 768, "JPEG")
    assert (answer["seed"], answer["cost"], answer["outputMegapixels"]) == (5, 4.5, 1.05)
    assert (emulator.ignored, emulator.billed) == (["aspect_ratio"], 1)


async def test_kontext_and_fill_edit_images(folder: Path, emulator: Bfl) -> None:
    image = base64.b64encode(image_bytes(64, 64)).decode()
    made = await call(folder, emulator, "flux-kontext-pro", prompt="a fox", files=[image], aspectRatio="16:9")
    assert "image" in made
    made = await call(folder, emulator, "flux-pro-1.0-fill", prompt="a fox", files=[image], mask=image)
    assert "image" in made
    assert (emulator.ignored, emulator.billed) == ([], 2)


async def test_errors_have_the_text_of_the_service(folder: Path, emulator: Bfl) -> None:
    refused = await call(folder, emulator, "flux-2-pro", "wrong-key", prompt="a fox")
    assert (refused["status"], refused["failed"]) == (403, "Not authenticated - Invalid Authentication")
    refused = await call(folder, emulator, "flux-dev", prompt="a fox", size="100x100")
    assert (refused["status"], "valid size" in refused["failed"]) == (422, True)
    emulator.script = ("Error",)
    assert "failed" in (await call(folder, emulator, "flux-2-pro", prompt="a fox"))["failed"]
    emulator.limit = 0
    assert (await call(folder, emulator, "flux-2-pro", prompt="a fox"))["status"] == 429
