"""Media extractor: JSON with long base64 texts, in pieces of any size, yields the same values and bytes."""

from __future__ import annotations

import base64
import json
import random
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from imagegateway.providers.kit.media_extractor import MediaExtractor
from imagegateway.providers.kit.spooled_content import SpooledContent, SpoolMemory

if TYPE_CHECKING:
    from pathlib import Path

IMAGE = random.Random(1).randbytes(50_000)  # noqa: S311  a fixed sequence
BASE64 = base64.b64encode(IMAGE).decode()
PIECES = [1_000_000, 20_000, 4093, 1000, 7]


async def extract(folder: Path, body: bytes, piece: int) -> tuple[bytes, dict[bytes, bytes]]:
    """Return what remains of a body that arrives in pieces, and its media by marker."""
    extractor = MediaExtractor(partial(SpooledContent, folder, SpoolMemory(1 << 30)))
    for start in range(0, len(body), piece):
        await extractor.write(body[start : start + piece])
    await extractor.end()
    media = {marker: await content.read() for marker, content in extractor.media.items()}
    text = await extractor.text.read()
    extractor.close()
    return text, media


def restored(value: Any, media: dict[bytes, bytes]) -> Any:
    """Return a JSON value with the base64 of the media in place of their markers."""
    text = json.dumps(value)
    for marker, content in media.items():
        text = text.replace(base64.b64encode(marker).decode(), base64.b64encode(content).decode())
    return json.loads(text)


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("size", [49_998, 49_999, 50_000])
async def test_images_are_taken_out_and_decoded(tmp_path: Path, piece: int, size: int) -> None:
    image = base64.b64encode(IMAGE[:size]).decode()
    answer = {"created": 1, "data": [{"b64_json": image}, {"b64_json": f"data:image/png;base64,{BASE64}"}], "n": {}}
    text, media = await extract(tmp_path, json.dumps(answer).encode(), piece)
    assert list(media.values()) == [IMAGE[:size], IMAGE]
    assert len(text) < 1000
    assert restored(json.loads(text), media) == answer


async def test_long_text_that_is_no_base64_is_not_held_back(tmp_path: Path) -> None:
    extractor = MediaExtractor(partial(SpooledContent, tmp_path, SpoolMemory(1 << 30)))
    await extractor.write(b'{"prompt": "')
    for count in range(1, 101):
        await extractor.write(b"a fox, " * 1000)
        assert extractor.text.size >= 7000 * count - 20_000
    extractor.close()


@pytest.mark.parametrize("piece", PIECES)
async def test_marker_begins_as_its_image_does(tmp_path: Path, piece: int) -> None:
    text, media = await extract(tmp_path, json.dumps({"image": BASE64}).encode(), piece)
    [marker] = media
    assert base64.b64decode(json.loads(text)["image"]) == marker
    assert marker.startswith(IMAGE[:16])


@pytest.mark.parametrize("piece", PIECES)
async def test_escaped_slashes_are_part_of_base64(tmp_path: Path, piece: int) -> None:
    body = json.dumps({"image": BASE64}).replace("/", r"\/").encode()
    _, media = await extract(tmp_path, body, piece)
    assert list(media.values()) == [IMAGE]


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize(
    "text",
    [
        pytest.param(BASE64[:30_000] + "*" + BASE64, id="other character"),
        pytest.param(BASE64[:30_001] + "\n" + BASE64, id="line end"),
        pytest.param(BASE64[:30_000] + "AAA=" + BASE64, id="padding within"),
        pytest.param(BASE64[:30_001], id="missing padding"),
        pytest.param(BASE64[:30_000] + '"' + BASE64, id="escaped quote"),
        pytest.param(BASE64.replace("/", "_").replace("+", "-"), id="URL alphabet"),
        pytest.param(BASE64[:16_000], id="short"),
        pytest.param("two words " * 5000, id="prose"),
    ],
)
async def test_other_texts_remain(tmp_path: Path, piece: int, text: str) -> None:
    answer = {"text": text, "image": BASE64}
    remaining, media = await extract(tmp_path, json.dumps(answer).encode(), piece)
    assert list(media.values()) == [IMAGE]
    assert json.loads(remaining)["text"] == text


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("end", [10, 20_000, 40_000, 66_000])
async def test_truncated_json_remains(tmp_path: Path, piece: int, end: int) -> None:
    body = json.dumps({"image": BASE64}).encode()[:end]
    assert await extract(tmp_path, body, piece) == (body, {})


@pytest.mark.parametrize("piece", PIECES)
async def test_body_that_is_no_json_remains(tmp_path: Path, piece: int) -> None:
    body = b"\x89PNG" + json.dumps({"image": BASE64}).encode()
    assert await extract(tmp_path, body, piece) == (body, {})
