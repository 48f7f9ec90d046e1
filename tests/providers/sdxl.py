"""Helpers that the tests of SDXL's routes share."""

from __future__ import annotations

import base64
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

from PIL import Image

from tests.providers.tasks import task_of

if TYPE_CHECKING:
    from imagegateway.provider.v1 import provider_service_pb2 as pb

    from tests.providers.harness import Harness

LORA: Final = {"url": "https://example.com/fox.safetensors", "scale": 0.5}


def task(route: str, **fields: Any) -> pb.ImageTask:
    return task_of(route, "stability-ai/sdxl")(**fields)


async def left_mask(harness: Harness) -> pb.MediaRef:
    """Store and return a mask as the router makes it: white on the left half."""
    image = Image.new("L", (64, 64), 0)
    image.paste(255, (0, 0, 32, 64))
    out = BytesIO()
    image.save(out, "PNG")
    return await harness.keep(out.getvalue())


def corners(data: str) -> tuple[Any, Any]:
    """Return the top left and top right pixels of an image in base64, with or without a `data:` prefix."""
    image = Image.open(BytesIO(base64.b64decode(data.rpartition(",")[2])))
    return image.getpixel((0, 0)), image.getpixel((63, 0))
