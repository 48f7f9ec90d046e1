"""Input images of edits: URLs, earlier results, files of this machine."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
from imagegateway.mcp import inputs

from tests.mcp.fake_gateway import JOB, PNG, FakeGateway, connected, image, job

if TYPE_CHECKING:
    from pathlib import Path

JPEG = b"\xff\xd8\xff and pixels"


def data_url(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


DATA_URL = data_url("image/png", PNG)


async def edit(gateway: FakeGateway, given: dict[str, Any], *, files: bool = False) -> str:
    """Edit, and return the error or an empty text."""
    async with connected(gateway, files=files) as client:
        result = await client.call_tool("edit_image", {"prompt": "in winter", **given})
    assert result.content[0].type == "text"
    return result.content[0].text if result.is_error else ""


async def test_urls_are_passed_on() -> None:
    gateway = FakeGateway()
    urls = ["https://example.com/a.png", DATA_URL]
    assert not await edit(gateway, {"images": urls, "mask": "https://example.com/mask.png"})
    assert gateway.paths[0] == "POST /v1/images/edits"
    assert gateway.bodies() == [
        {"prompt": "in winter", "images": urls, "mask_url": "https://example.com/mask.png"},
    ]


async def test_earlier_result_is_fetched_with_the_callers_key() -> None:
    done = job(result={"data": [image(0), image(1)]})
    gateway = FakeGateway(jobs={JOB: done}, files={"0.png": JPEG, "1.png": PNG})
    assert not await edit(gateway, {"images": [JOB, f"{JOB}/1"]})
    (body,) = gateway.bodies()
    assert body["images"] == [data_url("image/jpeg", JPEG), DATA_URL]


async def test_result_that_does_not_exist_is_named() -> None:
    gateway = FakeGateway(jobs={JOB: job("running")})
    assert await edit(gateway, {"images": [JOB]}) == f"images[0]: the job {JOB} is running and has 0 files."


async def test_file_of_the_users_machine_is_read(tmp_path: Path) -> None:
    path = tmp_path / "in.png"
    path.write_bytes(PNG)
    gateway = FakeGateway()
    assert not await edit(gateway, {"images": [str(path)], "mask": path.as_uri()}, files=True)
    assert gateway.bodies() == [{"prompt": "in winter", "images": [DATA_URL], "mask_url": DATA_URL}]


async def test_file_of_the_gateways_machine_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "in.png"
    path.write_bytes(PNG)
    gateway = FakeGateway()
    refused = await edit(gateway, {"images": [str(path)]})
    assert refused == "images[0] must be an https URL, a data URL or the id of an earlier job."
    assert not gateway.requests


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"root:x:0:0:", "images[0] is not a PNG, JPEG or WebP image."),
        (PNG + bytes(100), "images[0]: the input images are larger than 100 bytes together."),
        (None, "can't be read (No such file or directory)."),
    ],
)
async def test_file_that_is_no_image_is_not_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, problem: str
) -> None:
    monkeypatch.setattr(inputs, "MAX_INPUT_BYTES", 100)
    path = tmp_path / "in.png"
    if content is not None:
        path.write_bytes(content)
    gateway = FakeGateway()
    assert problem in await edit(gateway, {"images": [str(path)]}, files=True)
    assert not gateway.requests


async def test_all_files_of_a_call_share_the_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "MAX_INPUT_BYTES", len(PNG) + 1)
    path = tmp_path / "in.png"
    path.write_bytes(PNG)
    refused = await edit(FakeGateway(), {"images": [str(path), str(path)]}, files=True)
    assert refused.startswith("images[1]: the input images are larger")
