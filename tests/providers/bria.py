"""Tasks of the bria family's tests and the requests that they send."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

from PIL import Image

from tests.emulators.base import image_bytes
from tests.providers.tasks import task_of

if TYPE_CHECKING:
    from imagegateway.provider.v1 import provider_service_pb2 as pb

    from tests.emulators.bria import Bria
    from tests.providers.harness import Harness


task = task_of("bria", "bria/fibo-edit/edit")


async def edit(harness: Harness, model: str = "bria/fibo-edit/edit", **fields: Any) -> pb.TaskState:
    """Return an edit of an image, with a mask whose left half has greys below and above half."""
    first = await harness.keep(image_bytes(80, 60))
    if fields.pop("masked", False):
        mask = Image.new("L", (80, 60), 0)
        for column, shade in enumerate((255, 200, 128, 127)):
            mask.paste(shade, (column, 0, column + 1, 60))
        file = BytesIO()
        mask.save(file, "PNG")
        fields["mask"] = await harness.keep(file.getvalue())
    return await harness.run(task(model, inputs=[first], **fields))


def submits(bria: Bria) -> list[Any]:
    """Return the bodies of the POST requests."""
    return [sent.json for sent in bria.sent if sent.method == "POST"]
