"""Black Forest Labs' API, after docs.bfl.ai and its OpenAPI document as read on 2026-11-22."""

from __future__ import annotations

import base64
import itertools
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from tests.emulators.base import SENT, Emulator, picture

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
"""The start of an MP4 file, which is all that is looked at."""
_ENDED: Final = {"Ready", "Request Moderated", "Content Moderated", "Error"}


@dataclass
class Task:
    """One task, and the states that its polls will show."""

    key: str
    model: str
    body: dict[str, Any]
    states: list[str]

    @property
    def ended(self) -> bool:
        return self.states[0] in _ENDED


@dataclass
class Bfl(Emulator):
    """`script`: the states of each new task, the last one for ever. `limit`: unfinished tasks a key may have, and
    `limits`: those of a model among them. `peaks`: the most there ever were, by key, and by key and model. `others`:
    keys that are good beside `key`.
    """

    script: Sequence[str] = ("Pending", "Pending", "Ready")
    limit: int = 24
    limits: Mapping[str, int] = field(default_factory=lambda: {"flux-kontext-max": 6})
    peaks: Counter[tuple[str, str]] = field(default_factory=Counter)
    others: tuple[str, ...] = ()
    progress: float | None = None
    tasks: dict[str, Task] = field(default_factory=dict)
    _ids: itertools.count[int] = field(default_factory=itertools.count)

    def routes(self, app: web.Application) -> None:
        app.router.add_post("/v1/{model}", self._submit)
        app.router.add_get("/v1/get_result", self._result)
        app.router.add_get("/delivery/{id}", self._deliver)

    async def _submit(self, request: web.Request) -> web.Response:
        key = request.headers.get("x-key", "")
        if key not in {self.key, *self.others}:
            return web.json_response({"detail": "Not authenticated - Invalid Authentication"}, status=403)
        model = request.match_info["model"]
        if model not in FIELDS:
            return web.json_response({"detail": "Not Found"}, status=404)
        body = request[SENT].json
        problem = _check(model, body)
        if problem:
            return web.json_response({"detail": [problem]}, status=422)
        active = [task.model for task in self.tasks.values() if task.key == key and not task.ended]
        if len(active) >= self.limit or active.count(model) >= self.limits.get(model, self.limit):
            return web.json_response({"detail": "Too many active tasks"}, status=429)
        task_id = f"task-{next(self._ids)}"
        self.tasks[task_id] = task = Task(key, model, body, list(self.script))
        for which, count in (("", len(active)), (model, active.count(model))):
            self.peaks[key, which] = max(self.peaks[key, which], count + (not task.ended))
        polling_url = f"{self.base}/v1/get_result?id={task_id}"
        return web.json_response(
            {"id": task_id, "polling_url": polling_url, "cost": 4.5, "input_mp": 0.0, "output_mp": 1.05}
        )

    async def _result(self, request: web.Request) -> web.Response:
        task_id = request.query["id"]
        task = self.tasks.get(task_id)
        if task is None:
            return web.json_response({"id": task_id, "status": "Task not found", "result": None})
        status = task.states[0]
        if len(task.states) > 1:
            task.states.pop(0)
        answer: dict[str, Any] = {"id": task_id, "status": status, "result": None, "details": None}
        answer["progress"] = self.progress
        if status == "Ready":
            self.billed += 1
            answer["result"] = {
                "sample": f"{self.base}/delivery/{task_id}?sig=secret",
                "prompt": task.body.get("prompt", ""),
                "seed": task.body.get("seed", 77),
                "start_time": 1.0,
                "end_time": 2.0,
                "duration": 1.0,
            }
        elif "Moderated" in status:
            answer["details"] = {"Moderation Reasons": ["Derivative Works Filter"]}
        return web.json_response(answer)

    async def _deliver(self, request: web.Request) -> web.Response:
        task = self.tasks[request.match_info["id"]]
        body = task.body
        if task.model == "flux-3-video":
            return web.Response(body=MOVIE, content_type="video/mp4")
        format_ = str(body.get("output_format", "jpeg"))
        data = picture(int(body.get("width", 64)), int(body.get("height", 64)), format_.upper())
        return web.Response(body=data, content_type=f"image/{format_}")


def _check(model: str, body: dict[str, Any]) -> dict[str, Any] | None:
    for name in body:
        if name not in _COMMON | FIELDS[model]:
            return {"loc": ["body", name], "msg": "Extra inputs are not permitted", "type": "extra_forbidden"}
    if "prompt" not in body and model != "flux-pro-1.0-fill":
        return {"loc": ["body", "prompt"], "msg": "Field required", "type": "missing"}
    for name in body.keys() & _VIDEO.keys() if model == "flux-3-video" else ():
        if body[name] not in _VIDEO[name] or "seed" in body:
            return {"loc": ["body", name], "msg": "Input should be another one", "type": "enum"}
    for name in ("width", "height"):
        value = body.get(name, 1024)
        step, low, high = (32, 256, 1440) if model == "flux-dev" else (16, 64, 4096)
        if not isinstance(value, int) or value % step or not low <= value <= high:
            return {"loc": ["body", name], "msg": "Input should be a valid size", "type": "value_error"}
    if body.get("output_format", "jpeg") not in {"jpeg", "png", "webp"}:
        return {"loc": ["body", "output_format"], "msg": "Input should be 'jpeg', 'png' or 'webp'", "type": "enum"}
    for name in (name for name in body if "image" in name or name == "mask"):
        base64.b64decode(body[name], validate=True)
    return None
