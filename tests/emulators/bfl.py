"""Emulator of Black Forest Labs' API, by docs.bfl.ai and its OpenAPI document as read on 2026-11-22."""

from __future__ import annotations

import base64
import io
import itertools
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from PIL import Image

from tests.emulators.base import SENT, Emulator, image_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_COMMON: Final = {"webhook_url", "webhook_secret", "seed", "safety_tolerance", "output_format", "prompt"}
_FLUX2: Final = {"width", "height", *(f"input_image{suffix}" for suffix in ("", *(f"_{n}" for n in range(2, 9))))}
_KLEIN: Final = {"width", "height", "input_image", "input_image_2", "input_image_3", "input_image_4"}
_KONTEXT: Final = {
    "aspect_ratio",
    "prompt_upsampling",
    "input_image",
    "input_image_2",
    "input_image_3",
    "input_image_4",
}
FIELDS: Final = {
    "flux-2-pro": _FLUX2,
    "flux-2-max": _FLUX2,
    "flux-2-flex": _FLUX2 | {"prompt_upsampling", "guidance", "steps"},
    "flux-2-klein-9b": _KLEIN,
    "flux-2-klein-4b": _KLEIN,
    "flux-kontext-pro": _KONTEXT,
    "flux-kontext-max": _KONTEXT,
    "flux-dev": {"image_prompt", "width", "height", "steps", "guidance", "prompt_upsampling"},
    "flux-3-video": {
        *("mode", "aspect_ratio", "duration", "resolution", "generate_audio", "keyframes", "start_video", "draft"),
        *("draft_cache", "version"),
    },
    "flux-pro-1.0-fill": {"image", "mask", "steps", "guidance", "prompt_upsampling"},
}
_VIDEO: Final[dict[str, set[Any]]] = {
    "mode": {"t2v", "i2v", "v2v", "draft_enhance"},
    "aspect_ratio": {"21:9", "2:1", "16:9", "4:3", "1:1", "3:4", "9:16", "auto"},
    "resolution": {"hd", "fhd"},
    "duration": set(range(5, 21)),
    "safety_tolerance": set(range(5)),
}
MOVIE: Final = b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom"
"""Start of an MP4 file, the part that the gateway inspects."""
_RATIOS: Final = (9 / 21, 21 / 9)
_SAFETY: Final = {"flux-2": 5, "flux-3": 4}
"""Highest safety_tolerance by the model's generation; older ones go to 6."""
_ENDED: Final = {"Ready", "Request Moderated", "Content Moderated", "Error"}


@dataclass
class Task:
    """One task, and the states of its next polls."""

    key: str
    model: str
    body: dict[str, Any]
    states: list[str]
    billed: bool = False

    @property
    def ended(self) -> bool:
        return self.states[0] in _ENDED


@dataclass
class Bfl(Emulator):
    """Emulator of the API.

    `script`: the states of each new task; the last one repeats. `limit`: unfinished tasks per key, `limits`: per key
    and model. `peaks`: highest numbers of unfinished tasks, by key and by key and model. `others`: valid keys beside
    `key`. `polls`: responses to the next polls, in order, as `failures` for all requests. `cost`: credits of a task.
    `sibling`: origin that polls go to; empty: the emulator's. `ignored`: unknown fields, which the provider ignores.
    """

    script: Sequence[str] = ("Pending", "Pending", "Ready")
    limit: int = 24
    polls: list[tuple[int, Any, Mapping[str, str]]] = field(default_factory=list)
    cost: Any = 4.5
    sibling: str = ""
    ignored: list[str] = field(default_factory=list)
    limits: Mapping[str, int] = field(default_factory=lambda: {"flux-kontext-max": 6})
    peaks: Counter[tuple[str, str]] = field(default_factory=Counter)
    others: tuple[str, ...] = ()
    progress: float | None = None
    tasks: dict[str, Task] = field(default_factory=dict)
    _ids: itertools.count[int] = field(default_factory=itertools.count)

    @property
    def polled(self) -> set[str]:
        """Ids of polled tasks. A gateway polls a task once it is written down, and a kill then loses nothing.

        A kill before that ends the job: its task may have begun, and another one could be paid twice.
        """
        return {sent.query["id"] for sent in self.sent if sent.path == "/v1/get_result"}

    def routes(self, app: web.Application) -> None:
        app.router.add_post("/v1/{model}", self._submit)
        app.router.add_get("/v1/get_result", self._result)
        app.router.add_get("/v1/credits", self._credits)
        app.router.add_get("/delivery/{id}", self._deliver)

    async def _submit(self, request: web.Request) -> web.Response:
        key = request.headers.get("x-key", "")
        if key not in {self.key, *self.others}:
            return web.json_response({"detail": "Not authenticated - Invalid Authentication"}, status=403)
        model = request.match_info["model"]
        if model not in FIELDS:
            return web.json_response({"detail": "Not Found"}, status=404)
        body = request[SENT].json
        self.ignored += [name for name in body if name not in _COMMON | FIELDS[model]]
        problem = next(_problems(model, body), None)
        if problem:
            return web.json_response({"detail": [problem]}, status=422)
        active = [task.model for task in self.tasks.values() if task.key == key and not task.ended]
        if len(active) >= self.limit or active.count(model) >= self.limits.get(model, self.limit):
            return web.json_response({"detail": "Too many active tasks"}, status=429)
        task_id = f"task-{next(self._ids)}"
        self.tasks[task_id] = task = Task(key, model, body, list(self.script))
        for which, count in (("", len(active)), (model, active.count(model))):
            self.peaks[key, which] = max(self.peaks[key, which], count + (not task.ended))
        counted = {"cost": self.cost, "input_mp": None, "output_mp": 1.05}
        if body.get("webhook_url"):
            return web.json_response(
                {"id": task_id, "status": "Pending", "webhook_url": body["webhook_url"], **counted}
            )
        polling_url = f"{self.sibling or self.base}/v1/get_result?id={task_id}"
        return web.json_response({"id": task_id, "polling_url": polling_url, **counted})

    async def _credits(self, request: web.Request) -> web.Response:
        if request.headers.get("x-key") != self.key:
            return web.json_response({"detail": "Not authenticated - Invalid Authentication"}, status=403)
        return web.json_response({"credits": 1000.0})

    async def _result(self, request: web.Request) -> web.Response:
        if self.polls:
            status, answer, headers = self.polls.pop(0)
            if isinstance(answer, bytes):
                return web.Response(status=status, body=answer, headers=headers)
            return web.json_response(answer, status=status, headers=headers)
        task_id = request.query["id"]
        task = self.tasks.get(task_id)
        if task is None:
            return web.json_response({"id": task_id, "status": "Task not found", "result": None})
        state = task.states[0]
        if len(task.states) > 1:
            task.states.pop(0)
        shown: dict[str, Any] = {"id": task_id, "status": state, "result": None, "details": None}
        shown["progress"] = self.progress
        if state.casefold() == "ready":
            self.billed += not task.billed
            task.billed = True
            shown["result"] = {
                "sample": f"{self.base}/delivery/{task_id}?sig=secret",
                "prompt": task.body.get("prompt", ""),
                "seed": task.body.get("seed", 77),
                "start_time": 1.0,
                "end_time": 2.0,
                "duration": 1.0,
            }
        elif "moderated" in state.casefold():
            shown["details"] = {"Moderation Reasons": ["Derivative Works Filter"]}
        return web.json_response(shown)

    async def _deliver(self, request: web.Request) -> web.Response:
        task = self.tasks[request.match_info["id"]]
        body = task.body
        if task.model == "flux-3-video":
            return web.Response(body=MOVIE, content_type="video/mp4")
        format_ = str(body.get("output_format", "png" if "kontext" in task.model else "jpeg"))
        data = image_bytes(int(body.get("width", 64)), int(body.get("height", 64)), format_.upper())
        return web.Response(body=data, content_type=f"image/{format_}")


def _problems(model: str, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the errors of a request, in the form of the provider's `detail`."""
    if "prompt" not in body and model != "flux-pro-1.0-fill":
        yield {"loc": ["body", "prompt"], "msg": "Field required", "type": "missing"}
    for name in body.keys() & _VIDEO.keys() if model == "flux-3-video" else ():
        if body[name] not in _VIDEO[name] or "seed" in body:
            yield {"loc": ["body", name], "msg": "Input should be another one", "type": "enum"}
    if not 0 <= body.get("safety_tolerance", 2) <= _SAFETY.get(model[:6], 6):
        yield {"loc": ["body", "safety_tolerance"], "msg": "Input should be smaller", "type": "less_than_equal"}
    if model in {"flux-kontext-pro", "flux-kontext-max"} and body.get("aspect_ratio"):
        wide, high = map(int, body["aspect_ratio"].split(":"))
        if not _RATIOS[0] <= wide / high <= _RATIOS[1]:
            yield {"loc": ["body", "aspect_ratio"], "msg": "Invalid aspect ratio", "type": "value_error"}
    for name in FIELDS[model] & {"width", "height"}:
        value = body.get(name, 1024)
        step, low, high = (32, 256, 1440) if model == "flux-dev" else (16, 64, 65_536)
        if not isinstance(value, int) or value % step or not low <= value <= high:
            yield {"loc": ["body", name], "msg": "Input should be a valid size", "type": "value_error"}
    if body.get("output_format", "jpeg") not in {"jpeg", "png", "webp"}:
        yield {"loc": ["body", "output_format"], "msg": "Input should be 'jpeg', 'png' or 'webp'", "type": "enum"}
    if model == "flux-pro-1.0-fill" and "image" not in body:
        yield {"loc": ["body", "image"], "msg": "Field required", "type": "missing"}
    sent = {name: base64.b64decode(body[name], validate=True) for name in body if "image" in name or name == "mask"}
    sizes = {name: Image.open(io.BytesIO(data)).size for name, data in sent.items()}
    if "mask" in sizes and sizes["mask"] != sizes["image"]:
        yield {"loc": ["body", "mask"], "msg": "Mask and image must have the same size", "type": "value_error"}
