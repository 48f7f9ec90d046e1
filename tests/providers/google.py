"""Tasks of the google family's tests and bodies of its emulator's responses."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final

from tests.providers.tasks import task_of

if TYPE_CHECKING:
    from imagegateway.provider.v1 import provider_service_pb2 as pb

    from tests.emulators.google import Google
    from tests.providers.harness import Harness

GEMINI: Final = "google/gemini-3.1-flash-image"
IMAGEN: Final = "google/imagen-4"
VEO: Final = "google/veo-3.1-fast"
OMNI: Final = "google/gemini-omni-1.2-flash"
OPERATION: Final = "models/veo-3.1-fast-generate-preview/operations/op7"


task = task_of("google", GEMINI)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


async def answered(
    google: Google, harness: Harness, *bodies: Any, model: str = GEMINI, **fields: Any
) -> pb.TaskState:
    """Run a task whose next responses have these bodies and status 200."""
    google.failures = [(200, body, {}) for body in bodies]
    return await harness.run(task(model, **fields))


def operation(**response: Any) -> dict[str, Any]:
    """Return a finished operation of Veo's."""
    return {"name": OPERATION, "done": True, "response": response}
