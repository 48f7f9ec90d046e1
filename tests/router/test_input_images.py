"""Input images by URL: fetched concurrently, within a common timeout, and deleted when the edit fails."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.struct_pb2 import Value
from imagegateway.media.decoding import DecodeBudget
from imagegateway.media.store import MediaStore
from imagegateway.outbound.url_guard import OutboundError
from imagegateway.platform.errors import GatewayError
from imagegateway.provider.v1 import provider_service_pb2 as provider
from imagegateway.router import input_images
from imagegateway.router.input_images import CONCURRENT_FETCHES, InputImages
from imagegateway.v1 import image_service_pb2 as pb

from tests.gateway import inputs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from imagegateway.outbound.client import Write


@dataclass
class Origin:
    """Fake of Outbound: serves an image as wide as the URL's number, and counts concurrent fetches."""

    fails: set[int] = field(default_factory=set)
    stands_still: set[int] = field(default_factory=set)
    at_once: int = 0
    peak: int = 0
    fetched: list[int] = field(default_factory=list)

    async def stream(self, url: str, write: Write, **_: Any) -> None:
        number = int(url.rpartition("/")[2])
        self.at_once += 1
        self.peak = max(self.peak, self.at_once)
        try:
            if number in self.stands_still:
                await asyncio.get_running_loop().create_future()
            # Later ones arrive first.
            for _turn in range(100 - number):
                await asyncio.sleep(0)
            data = inputs.image_bytes(number, 8)
            await write(data[:10])
            if number in self.fails:
                raise OutboundError("its server is unavailable")
            await write(data[10:])
            self.fetched.append(number)
        finally:
            self.at_once -= 1


@dataclass
class Edit:
    """An edit whose input images are fetched from `origin`."""

    origin: Origin
    decode_budget: DecodeBudget
    inputs: InputImages
    folder: Path

    async def attach(self) -> provider.ImageTask:
        plan: Any = SimpleNamespace(
            model=SimpleNamespace(id="a/model", max_inputs=4, can=bool), task=provider.ImageTask()
        )
        await self.inputs.attach_to(plan)
        return plan.task  # type: ignore[no-any-return]

    async def take(self, *numbers: int) -> None:
        urls = [Value(string_value=f"https://a.example/{number}") for number in numbers]
        await self.inputs.take_request(pb.EditRequest(images=urls))

    def stored(self) -> list[Path]:
        return [path for path in self.folder.rglob("*") if path.is_file()]


@pytest.fixture
async def edit(tmp_path: Path) -> AsyncIterator[Edit]:
    origin: Any = Origin()
    decode_budget = DecodeBudget(10**8)
    opened = InputImages(MediaStore.open(tmp_path.as_uri()), origin, decode_budget, "tenant")
    async with AsyncExitStack() as held:
        yield Edit(origin, decode_budget, await held.enter_async_context(opened), tmp_path)


async def test_inputs_are_fetched_concurrently_and_kept_in_order(edit: Edit) -> None:
    numbers = list(range(10, 26))
    await edit.take(*numbers)
    assert edit.origin.peak == CONCURRENT_FETCHES
    assert edit.origin.fetched != numbers
    assert [image.facts.width for image in edit.inputs._images] == numbers
    assert [image.param for image in edit.inputs._images] == [f"images[{index}]" for index in range(16)]


async def test_first_failure_cancels_the_others_and_deletes_all(edit: Edit) -> None:
    edit.origin.fails = {12}
    edit.origin.stands_still = {11, 13}
    with pytest.raises(GatewayError) as caught:
        await edit.take(10, 11, 12, 13, 14, 15)
    assert (caught.value.code, caught.value.param) == ("invalid_image_url", "images[2]")
    assert edit.origin.at_once == 0
    await edit.inputs.__aexit__(None, None, None)
    assert edit.stored() == []


async def test_slow_inputs_time_out_together(edit: Edit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_images, "FETCH_SECONDS", 0.2)
    edit.origin.stands_still = {11}
    with pytest.raises(GatewayError, match=r"did not arrive within 0\.2 s") as caught:
        await edit.take(10, 11)
    assert (caught.value.code, caught.value.param) == ("invalid_image_url", "images")
    await edit.inputs.__aexit__(None, None, None)
    assert edit.stored() == []


async def test_mask_without_memory_is_overloaded_after_a_wait(edit: Edit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_images, "DECODE_SECONDS", 0.01)
    await edit.inputs.take_request(pb.EditRequest(image_content=[inputs.image_bytes()], mask_content=inputs.mask()))
    async with edit.decode_budget.admit(10**8):
        with pytest.raises(GatewayError) as caught:
            await edit.attach()
    assert (caught.value.code, caught.value.meaning.http, caught.value.retry_after) == ("overloaded", 503, 5.0)
    task = await edit.attach()
    assert (task.mask.media_type, task.mask.width, task.mask.height) == ("image/png", 64, 64)


async def test_mask_of_another_size_is_refused_without_waiting(edit: Edit) -> None:
    await edit.inputs.take_request(pb.EditRequest(image_content=[inputs.image_bytes(32)], mask_content=inputs.mask()))
    async with edit.decode_budget.admit(10**8):
        with pytest.raises(GatewayError, match="they must be equal"):
            await edit.attach()
