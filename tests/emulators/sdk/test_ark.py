"""ModelArk's emulator, called by BytePlus's SDK (PyPI `byteplus-python-sdk-v2` 3.0.63)."""

from __future__ import annotations

import asyncio
import base64
import importlib
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.emulators.ark import Ark
from tests.emulators.base import image_bytes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

runtime: Any = importlib.import_module("byteplussdkarkruntime")
errors: Any = importlib.import_module("byteplussdkarkruntime._exceptions")

MODEL = "seedream-4-5-251128"


@pytest.fixture
async def emulator() -> AsyncIterator[Ark]:
    async with Ark() as running:
        yield running


@pytest.fixture
def client(emulator: Ark) -> Iterator[Any]:
    with runtime.Ark(base_url=f"{emulator.base}/api/v3", api_key=emulator.key, max_retries=0) as client:
        yield client


async def test_images_are_generated_and_unset_fields_sent_as_null(emulator: Ark, client: Any) -> None:
    made = await asyncio.to_thread(
        client.images.generate, model=MODEL, prompt="a fox", size="2K", response_format="b64_json", watermark=False
    )
    assert base64.b64decode(made.data[0].b64_json) == image_bytes(128, 128, "JPEG")
    assert (made.usage.generated_images, made.usage.output_tokens, emulator.billed) == (1, 16384, 1)
    assert emulator.sent[0].json["image"] is None


async def test_references_are_accepted_and_sequences_streamed(emulator: Ark, client: Any) -> None:
    options = runtime.types.images.SequentialImageGenerationOptions(max_images=2)
    image = f"data:image/png;base64,{base64.b64encode(image_bytes()).decode()}"

    def events() -> list[Any]:
        stream = client.images.generate(
            model=MODEL,
            prompt="a fox",
            image=[image, image],
            sequential_image_generation="auto",
            sequential_image_generation_options=options,
            stream=True,
        )
        return list(stream)

    kinds = [event.type for event in await asyncio.to_thread(events)]
    assert kinds == [*["image_generation.partial_succeeded"] * 2, "image_generation.completed"]
    assert emulator.billed == 2


async def test_errors_are_readable_wrapped_and_flat(emulator: Ark, client: Any) -> None:
    with pytest.raises(errors.ArkBadRequestError, match="at least 3686400 pixels") as flat:
        await asyncio.to_thread(client.images.generate, model=MODEL, prompt="a fox", size="1024x1024")
    assert flat.value.code == "InvalidParameter"
    with pytest.raises(errors.ArkNotFoundError) as unknown:
        await asyncio.to_thread(client.images.generate, model="none", prompt="a fox")
    assert unknown.value.code == "InvalidEndpointOrModel.NotFound"
    emulator.key = "another"
    with pytest.raises(errors.ArkAuthenticationError):
        await asyncio.to_thread(client.images.generate, model=MODEL, prompt="a fox")
    assert emulator.billed == 0


async def test_video_tasks_succeed_fail_and_are_deleted(emulator: Ark, client: Any) -> None:
    tasks = client.content_generation.tasks
    content = [{"type": "text", "text": "a fox"}]

    async def create() -> str:
        begun = await asyncio.to_thread(
            tasks.create, model="seedance-1-5-pro-251215", content=content, ratio="16:9", duration=5
        )
        return cast("str", begun.id)

    task_id = await create()
    shown = [await asyncio.to_thread(tasks.get, task_id=task_id) for _ in range(3)]
    assert [task.status for task in shown] == ["queued", "running", "succeeded"]
    assert shown[2].content.video_url.startswith(f"{emulator.base}/tos/")
    emulator.script = ({"code": "OutputVideoSensitiveContentDetected", "message": "no"},)
    failed = await asyncio.to_thread(tasks.get, task_id=await create())
    assert (failed.status, failed.error.code) == ("failed", "OutputVideoSensitiveContentDetected")
    emulator.script = ("queued",)
    task_id = await create()
    await asyncio.to_thread(tasks.delete, task_id)
    assert (await asyncio.to_thread(tasks.get, task_id=task_id)).status == "cancelled"
    assert (await asyncio.to_thread(tasks.list, page_size=2)).total == 3
