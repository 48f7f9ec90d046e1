"""Images in results: inline within the bound, previews over it, links always."""

from __future__ import annotations

import asyncio
import base64

import pytest
from imagegateway.mcp import content, server

from tests.mcp.fake_gateway import FakeGateway, connected, image, job


@pytest.fixture(autouse=True)
def small_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "MAX_INLINE_BYTES", 1000)
    monkeypatch.setattr(content, "MAX_PREVIEW_SOURCE_BYTES", 5000)


async def preview(data: bytes, max_bytes: int) -> bytes | None:
    return b"preview of %d in %d" % (len(data), max_bytes)


async def result_for(sizes: list[int], media_type: str = "image/png") -> list[tuple[str, bytes]]:
    """Return media type and bytes of the inline images of a job with files of these sizes."""
    images = [image(index, media_type) for index in range(len(sizes))]
    names = [entry["url"].partition("?")[0].rpartition("/")[2] for entry in images]
    gateway = FakeGateway(
        streams=[[job(result={"data": images})]],
        files={name: bytes(size) for name, size in zip(names, sizes, strict=True)},
    )
    async with connected(gateway, preview=preview) as client:
        result = await client.call_tool("generate_image", {"prompt": "a kite"})
    links = [block for block in result.content if block.type == "resource_link"]
    assert [link.uri for link in links] == [entry["url"] for entry in images]
    return [(block.mime_type, base64.b64decode(block.data)) for block in result.content if block.type == "image"]


async def test_image_within_the_bound_is_whole() -> None:
    assert await result_for([1000]) == [("image/png", bytes(1000))]


async def test_image_over_the_bound_is_a_preview() -> None:
    assert await result_for([1001]) == [("image/jpeg", b"preview of 1001 in 1000")]


async def test_image_with_a_long_side_is_a_preview(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "MAX_INLINE_SIDE", 63)  # the images of the tests have 64 pixels
    assert await result_for([10]) == [("image/jpeg", b"preview of 10 in 1000")]


async def test_images_of_one_result_share_the_bound() -> None:
    assert await result_for([400, 600]) == [("image/png", bytes(400)), ("image/jpeg", b"preview of 600 in 500")]


async def test_file_too_large_for_a_preview_is_linked_only() -> None:
    assert await result_for([5001]) == []


async def test_vector_image_is_linked_only() -> None:
    assert await result_for([10], "image/svg+xml") == []


async def test_file_that_can_not_be_read_is_linked_only() -> None:
    gateway = FakeGateway(files={})
    async with connected(gateway) as client:
        result = await client.call_tool("generate_image", {"prompt": "a kite"})
    assert not result.is_error
    assert [block.type for block in result.content] == ["text", "resource_link"]


async def test_one_callers_files_pass_one_at_a_time_when_it_has_one_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "TRANSFERS", 2)
    gateway = FakeGateway(streams=[[job()], [job()]], holds_files=asyncio.Event())
    assert gateway.holds_files
    async with asyncio.timeout(10), connected(gateway) as client:
        calls = [asyncio.create_task(client.call_tool("generate_image", {"prompt": "a kite"})) for _ in range(2)]
        await gateway.downloads.acquire()
        while len(gateway.streaming) < 2 or not gateway.streaming[1].closed.is_set():  # noqa: ASYNC110  test only
            await asyncio.sleep(0)
        assert gateway.downloads.locked()
        gateway.holds_files.set()
        await asyncio.gather(*calls)
        await gateway.downloads.acquire()
