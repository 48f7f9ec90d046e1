"""The bria family's route to fal against its emulator: the same operations under fal's names."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

import pytest
from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.providers.bria.adapter import BriaAdapter
from imagegateway.providers.bria.catalog import MODELS
from imagegateway.providers.bria.fal import BriaFalAdapter
from imagegateway.v1.error_reason_pb2 import ErrorReason
from PIL import Image

from tests.emulators.base import image_bytes
from tests.emulators.fal import Fal, Field, Request
from tests.providers.harness import Harness

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

_TEXT: Final[Field] = (str, None)
_EDIT: Final[Mapping[str, Field]] = {
    "image_url": _TEXT,
    "mask_url": _TEXT,
    "instruction": _TEXT,
    "structured_instruction": (dict, None),
    "negative_prompt": _TEXT,
    "guidance_scale": ((int, float), range(3, 6)),
    "steps_num": (int, range(20, 51)),
    "seed": (int, None),
    "sync_mode": (bool, None),
}
_ERASE: Final[Mapping[str, Field]] = {
    "image_url": _TEXT,
    "mask_url": _TEXT,
    "mask_type": (str, {"manual", "automatic"}),
}
_FILL: Final[Mapping[str, Field]] = {**_ERASE, "prompt": _TEXT, "seed": (int, None), "negative_prompt": _TEXT}
_GENERATE: Final[Mapping[str, Field]] = {
    "prompt": _TEXT,
    "image_url": _TEXT,
    "aspect_ratio": (str, {"1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9"}),
    "resolution": (str, {"1MP", "4MP"}),
    "steps_num": (int, range(35, 51)),
    "seed": (int, None),
    "negative_prompt": _TEXT,
}
_ONE: Final[Mapping[str, Field]] = {"image_url": _TEXT}
_INSTRUCTED: Final[Mapping[str, Field]] = {**_ONE, "instruction": _TEXT}
APPS: Final[Mapping[str, tuple[Mapping[str, Field], tuple[str, ...]]]] = {
    "bria/fibo-edit/edit": (_EDIT, ("image_url", "instruction")),
    "bria/fibo/generate": (_GENERATE, ("prompt",)),
    "fal-ai/bria/eraser": (_ERASE, ("image_url", "mask_url")),
    "fal-ai/bria/genfill": (_FILL, ("image_url", "mask_url", "prompt")),
    "fal-ai/bria/background/remove": (_ONE, ("image_url",)),
    "fal-ai/bria/background/replace": ({**_ONE, "prompt": _TEXT}, ("image_url",)),
    "bria/fibo-edit/add_object_by_text": (_INSTRUCTED, ("image_url", "instruction")),
    "bria/fibo-edit/replace_object_by_text": (_INSTRUCTED, ("image_url", "instruction")),
    "bria/fibo-edit/blend": (_INSTRUCTED, ("image_url", "instruction")),
    "bria/fibo-edit/erase_by_text": ({**_ONE, "object_name": _TEXT}, ("image_url", "object_name")),
    "bria/fibo-edit/rewrite_text": ({**_ONE, "new_text": _TEXT}, ("image_url", "new_text")),
    "bria/fibo-edit/reseason": ({**_ONE, "season": _TEXT}, ("image_url", "season")),
    "bria/fibo-edit/restore": (_ONE, ("image_url",)),
    "bria/fibo-edit/sketch_to_colored_image": (_ONE, ("image_url",)),
}
ON_FAL: Final = [model for model in MODELS if any(route.name == "fal" for route in model.routes)]


@dataclass
class BriaOnFal(Fal):
    """Emulator of fal with Bria's apps, whose output is one `image`."""

    apps: Mapping[str, tuple[Mapping[str, Field], tuple[str, ...]]] = field(default_factory=lambda: APPS)

    def output(self, task_id: str, request: Request) -> dict[str, Any]:
        file = {"url": f"{self.base}/files/{task_id}-80x60.png", "content_type": None, "width": None, "height": None}
        return {"image": file, "images": None, "structured_instruction": {}}


@pytest.fixture
async def fal() -> AsyncIterator[BriaOnFal]:
    async with BriaOnFal() as emulator:
        yield emulator


@pytest.fixture
async def harness(fal: BriaOnFal, tmp_path: Path) -> AsyncIterator[Harness]:
    values = {"IMAGEGATEWAY_FAL_BASE_URL": fal.base, "IMAGEGATEWAY_FAL_API_KEY": fal.key}
    async with Harness.open(MODELS, [BriaAdapter(), BriaFalAdapter()], tmp_path, values) as harness:
        yield harness


async def edit(
    harness: Harness, model: str = "bria/fibo-edit/edit", *, masked: bool = False, **fields: Any
) -> pb.TaskState:
    first = await harness.keep(image_bytes(80, 60))
    if masked:
        fields["mask"] = await harness.keep(image_bytes(80, 60, colour=(255, 255, 255)))
    task = pb.ImageTask(model=model, route="fal", inputs=[first], **{"prompt": "a fox", "n": 1, **fields})
    return await harness.run(task)


async def test_edit_is_sent_through_the_queue_with_its_mask(fal: BriaOnFal, harness: Harness) -> None:
    state = await edit(harness, masked=True, seed=5, quality="low")
    (artifact,) = state.done.artifacts
    submit = fal.sent[0]
    assert (submit.method, submit.path) == ("POST", "/bria/fibo-edit/edit")
    assert submit.headers["authorization"] == f"Key {fal.key}"
    kind, _, data = submit.json.pop("mask_url").partition(",")
    mask = Image.open(BytesIO(base64.b64decode(data)))
    assert (kind, mask.size, mask.getextrema()) == ("data:image/png;base64", (80, 60), (255, 255))
    image = f"data:image/png;base64,{base64.b64encode(image_bytes(80, 60)).decode()}"
    assert submit.json == {**submit.json, "instruction": "a fox", "image_url": image, "seed": 5, "steps_num": 20}
    assert {sent.path for sent in fal.sent[1:-1]} == {
        "/bria/fibo-edit/requests/req-0/status",
        "/bria/fibo-edit/requests/req-0",
    }
    assert "authorization" not in fal.sent[-1].headers
    assert await harness.bytes_of(artifact) == image_bytes(80, 60)
    assert (artifact.seed, fal.billed) == (5, 1)


async def test_images_without_a_seed_get_different_seeds_that_a_repeat_gets_again(
    fal: BriaOnFal, harness: Harness
) -> None:
    state = await edit(harness, n=2)
    seeds = sorted(sent.json["seed"] for sent in fal.sent if sent.method == "POST")
    assert len(set(seeds)) == 2
    assert sorted(artifact.seed for artifact in state.done.artifacts) == seeds
    await edit(harness, n=2)
    assert sorted(sent.json["seed"] for sent in fal.sent if sent.method == "POST") == sorted([*seeds, *seeds])


@pytest.mark.parametrize("model", ON_FAL, ids=lambda model: str(model.id))
async def test_every_model_that_fal_has_is_served(fal: BriaOnFal, harness: Harness, model: Any) -> None:
    state = await edit(harness, model.id, masked=model.id in {"bria/eraser", "bria/genfill"}, width=80, height=60)
    assert state.HasField("done"), state
    app = fal.sent[0].path.removeprefix("/")
    # fal ignores an app's unknown fields, so the adapter may send none.
    assert set(fal.sent[0].json) <= set(APPS[app][0])
    assert (app, fal.billed) == (next(route.native_id for route in model.routes if route.name == "fal"), 1)


@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        (422, "content_policy_violation", ErrorReason.ERROR_REASON_MODERATION_BLOCKED),
        (422, "image_load_error", ErrorReason.ERROR_REASON_INVALID_IMAGE),
        (422, "missing", ErrorReason.ERROR_REASON_INVALID_VALUE),
        (500, "internal_server_error", ErrorReason.ERROR_REASON_PROVIDER_ERROR),
    ],
)
async def test_failed_requests_end_by_their_type_and_name_the_gateways_field(
    fal: BriaOnFal, harness: Harness, status: int, kind: str, reason: ErrorReason.ValueType
) -> None:
    detail = [{"loc": ["body", "instruction"], "msg": "words", "type": kind, "input": "secret"}]
    fal.result = (status, {"detail": detail}, {"x-fal-request-id": "req-0"})
    state = await edit(harness)
    assert (state.failed.reason, state.failed.may_be_billed, fal.billed) == (reason, True, 0)
    assert state.failed.param in {"prompt", ""}
    assert "secret" not in state.failed.message


async def test_missing_seed_of_a_response_is_the_sent_seed(fal: BriaOnFal, harness: Harness) -> None:
    image = {"url": f"{fal.base}/files/a-80x60.png"}
    fal.result = (200, {"image": image, "images": [], "seed": None}, {})
    assert (await edit(harness, seed=5)).done.artifacts[0].seed == 5
