"""Google's emulator, called by Google's SDK (PyPI `google-genai` 3.4.0; 2.34.0 for Veo, 1.60.0 for Imagen)."""

from __future__ import annotations

import importlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.emulators.base import image_bytes
from tests.emulators.google import VIDEO, Google, size_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

genai: Any = importlib.import_module("google.genai")
types: Any = importlib.import_module("google.genai.types")
errors: Any = importlib.import_module("google.genai.errors")

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
async def emulator() -> AsyncIterator[Google]:
    async with Google() as running:
        yield running


@pytest.fixture(params=["v1", "v1beta"])
async def client(emulator: Google, request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    async with opened(emulator, emulator.key, request.param) as running:
        yield running


@asynccontextmanager
async def opened(emulator: Google, key: str, version: str = "v1beta") -> AsyncIterator[Any]:
    options = types.HttpOptions(base_url=emulator.base, api_version=version)
    client = genai.Client(api_key=key, vertexai=False, http_options=options)
    yield client.aio
    await client.aio.aclose()
    client.close()


async def generate(client: Any, model: str = "gemini-3.1-flash-image", *images: bytes, **image: str) -> Any:
    parts = [types.Part.from_bytes(data=data, mime_type="image/png") for data in images]
    return await client.models.generate_content(
        model=model,
        contents=[*parts, "a fox"],
        config=types.GenerateContentConfig(
            response_modalities=["IMAGE"], image_config=types.ImageConfig(**image), seed=1
        ),
    )


async def test_images_are_generated_and_edited(emulator: Google, client: Any) -> None:
    made = await generate(client, "gemini-3-pro-image", image_bytes(), aspect_ratio="16:9", image_size="2K")
    parts = [part for part in made.candidates[0].content.parts if part.inline_data and not part.thought]
    assert parts[-1].inline_data.data == image_bytes(*size_of({"aspectRatio": "16:9", "imageSize": "2K"}))
    assert made.usage_metadata.total_token_count == 1227
    assert (emulator.billed, emulator.sent[0].headers["x-goog-api-key"]) == (1, emulator.key)


async def test_blocked_responses_have_status_200(emulator: Google, client: Any) -> None:
    emulator.finishes = ["IMAGE_SAFETY"]
    made = await generate(client)
    assert made.candidates[0].finish_reason.name == "IMAGE_SAFETY"
    emulator.block = "PROHIBITED_CONTENT"
    made = await generate(client)
    assert made.prompt_feedback.block_reason.name == "PROHIBITED_CONTENT"
    assert (made.candidates, emulator.billed) == (None, 0)


@pytest.mark.parametrize(
    ("model", "image"),
    [
        ("gemini-3.1-flash-image", {"image_size": "2k"}),
        ("gemini-3-pro-image", {"image_size": "512"}),
        ("gemini-3-pro-image", {"aspect_ratio": "1:8"}),
        ("gemini-2.5-flash-image", {"image_size": "1K"}),
    ],
)
async def test_invalid_config_is_refused(client: Any, model: str, image: dict[str, str]) -> None:
    with pytest.raises(errors.ClientError) as refused:
        await generate(client, model, **image)
    assert (refused.value.code, refused.value.status) == (400, "INVALID_ARGUMENT")


async def test_unknown_model_and_wrong_key_are_refused(emulator: Google, client: Any) -> None:
    with pytest.raises(errors.ClientError) as unknown:
        await generate(client, "gemini-9")
    assert (unknown.value.code, unknown.value.status) == (404, "NOT_FOUND")
    async with opened(emulator, "wrong") as stranger:
        with pytest.raises(errors.ClientError) as refused:
            await generate(stranger)
    assert refused.value.details["error"]["details"][0]["reason"] == "API_KEY_INVALID"


async def test_interactions_return_a_video(emulator: Google, client: Any) -> None:
    begun = await client.interactions.create(
        model="gemini-omni-1.2-flash",
        input="a fox",
        background=True,
        response_format={"type": "video", "aspect_ratio": "16:9", "duration": "8s", "delivery": "uri"},
    )
    states = [begun.status]
    while states[-1] == "in_progress":
        begun = await client.interactions.get(begun.id)
        states.append(begun.status)
    assert states == ["in_progress"] * 3 + ["completed"]
    (video,) = begun.steps[-1].content
    name = "files/" + video.uri.partition("/files/")[2].partition(":")[0]
    assert [(await client.files.get(name=name)).state.name for _ in range(2)] == ["PROCESSING", "ACTIVE"]
    assert await client.files.download(file=name) == VIDEO
    await client.interactions.cancel(begun.id)
    assert emulator.cancelled == [begun.id]


@pytest.mark.genai2
async def test_veo_returns_a_video(emulator: Google, client: Any) -> None:
    emulator.filtered = 1
    operation = await client.models.generate_videos(
        model="veo-3.1-fast-generate-preview",
        prompt="a fox",
        config=types.GenerateVideosConfig(
            number_of_videos=2, duration_seconds=6, aspect_ratio="9:16", resolution="720p", negative_prompt="rain"
        ),
    )
    while not operation.done:
        operation = await client.operations.get(operation)
    assert operation.response.rai_media_filtered_count == 1
    (made,) = operation.response.generated_videos
    name = "files/" + made.video.uri.partition("/files/")[2].partition(":")[0]
    assert await client.files.download(file=name) == VIDEO
    assert emulator.billed == 1


@pytest.mark.genai2
async def test_failed_veo_operation_has_an_error(emulator: Google, client: Any) -> None:
    emulator.polls, emulator.failed = 0, {"code": 3, "message": "no"}
    operation = await client.models.generate_videos(model="veo-3.1-fast-generate-preview", prompt="a fox")
    operation = await client.operations.get(operation)
    assert (operation.done, operation.error) == (True, emulator.failed)


@pytest.mark.genai1
async def test_imagen_returns_images(emulator: Google, client: Any) -> None:
    emulator.filtered = 1
    made = await client.models.generate_images(
        model="imagen-4.0-generate-001",
        prompt="a fox",
        config=types.GenerateImagesConfig(
            number_of_images=3,
            aspect_ratio="16:9",
            image_size="2K",
            include_rai_reason=True,
            output_mime_type="image/jpeg",
        ),
    )
    images = [found.image.image_bytes for found in made.generated_images[:2]]
    assert images == [image_bytes(1024, 1024, "JPEG", (index, 0, 0)) for index in range(2)]
    assert [found.rai_filtered_reason for found in made.generated_images][2]
