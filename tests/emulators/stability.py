"""Emulator of Stability AI's REST API (v2beta), by its reference as read on 2026-11-22."""

from __future__ import annotations

import base64
import itertools
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from PIL import Image

from tests.emulators.base import SENT, Emulator, image_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.emulators.base import Sent

_RATIOS: Final = {"16:9", "1:1", "21:9", "2:3", "3:2", "4:5", "5:4", "9:16", "9:21"}
_PRESETS: Final = {
    "3d-model", "analog-film", "anime", "cinematic", "comic-book", "digital-art", "enhance", "fantasy-art",
    "isometric", "line-art", "low-poly", "modeling-compound", "neon-punk", "origami", "photographic", "pixel-art",
    "tile-texture",
}  # fmt: skip
_UNIT: Final = (0.0, 1.0)
_RANGES: Final[Mapping[str, Any]] = {
    "aspect_ratio": _RATIOS,
    "seed": (0, 4294967294),
    "style_preset": _PRESETS,
    "strength": _UNIT,
    "model": {"sd3.5-large", "sd3.5-large-turbo", "sd3.5-medium"},
    "mode": {"text-to-image", "image-to-image"},
    "cfg_scale": (1, 10),
    "grow_mask": (0, 20),
    "creativity": _UNIT,
    "control_strength": _UNIT,
    "fidelity": _UNIT,
    "left": (0, 2000),
    "right": (0, 2000),
    "up": (0, 2000),
    "down": (0, 2000),
    "light_source_strength": _UNIT,
}
_OWN_RANGES: Final[Mapping[tuple[str, str], Any]] = {
    ("edit/inpaint", "grow_mask"): (0, 100),
    ("upscale/conservative", "creativity"): (0.2, 0.5),
    ("upscale/creative", "creativity"): (0.1, 0.5),
}
_STYLED: Final = {"seed", "output_format", "style_preset"}
_PROMPTED: Final = {"prompt", "negative_prompt", *_STYLED}
_ALL: Final = {"png", "jpeg", "webp"}
SERVICES: Final[Mapping[str, tuple[set[str], set[str], set[str]]]] = {
    "generate/ultra": ({"prompt"}, {"image", "strength", "aspect_ratio", *_PROMPTED}, _ALL),
    "generate/core": ({"prompt"}, {"aspect_ratio", *_PROMPTED}, _ALL),
    "generate/sd3": (
        {"prompt"},
        {"image", "strength", "aspect_ratio", "model", "mode", "cfg_scale", *_PROMPTED},
        {"png", "jpeg"},
    ),
    "edit/erase": ({"image"}, {"mask", "grow_mask", "seed", "output_format"}, _ALL),
    "edit/inpaint": ({"image", "prompt"}, {"mask", "grow_mask", *_PROMPTED}, _ALL),
    "edit/outpaint": ({"image"}, {"left", "right", "up", "down", "prompt", "creativity", *_STYLED}, _ALL),
    "edit/search-and-replace": ({"image", "prompt", "search_prompt"}, {"grow_mask", *_PROMPTED}, _ALL),
    "edit/search-and-recolor": ({"image", "prompt", "select_prompt"}, {"grow_mask", *_PROMPTED}, _ALL),
    "edit/remove-background": ({"image"}, {"output_format"}, {"png", "webp"}),
    "edit/replace-background-and-relight": (
        {"subject_image"},
        {
            "background_reference", "background_prompt", "light_reference", "light_source_direction",
            "light_source_strength", "foreground_prompt", "preserve_original_subject", "original_background_depth",
            "keep_original_background", "seed", "output_format",
        },
        _ALL,
    ),
    "control/sketch": ({"image", "prompt"}, {"control_strength", *_PROMPTED}, _ALL),
    "control/structure": ({"image", "prompt"}, {"control_strength", *_PROMPTED}, _ALL),
    "control/style": ({"image", "prompt"}, {"aspect_ratio", "fidelity", *_PROMPTED}, _ALL),
    "control/style-transfer": (
        {"init_image", "style_image"},
        {"style_strength", "composition_fidelity", "change_strength", *_PROMPTED} - {"style_preset"},
        _ALL,
    ),
    "upscale/fast": ({"image"}, {"output_format"}, _ALL),
    "upscale/conservative": ({"image", "prompt"}, {"creativity", *_PROMPTED} - {"style_preset"}, _ALL),
    "upscale/creative": ({"image", "prompt"}, {"creativity", *_PROMPTED}, _ALL),
}  # fmt: skip
"""Required fields, optional fields and output formats by service."""
_TASKS: Final = {"edit/replace-background-and-relight", "upscale/creative"}
_FILES: Final = {"image", "mask", "subject_image", "background_reference", "init_image", "style_image"}
_MAX_BODY: Final = 10 * 1024 * 1024


@dataclass
class Stability(Emulator):
    """Emulator of the API. `finish`: finish reason of all images. `script`: the states of a task before its image."""

    key: str = "sk-test"
    finish: str = "SUCCESS"
    script: Sequence[str] = ("in-progress", "in-progress")
    tasks: dict[str, tuple[Sent, list[str]]] = field(default_factory=dict)
    _ids: itertools.count[int] = field(default_factory=itertools.count)

    def routes(self, app: web.Application) -> None:
        app.router.add_post("/v2beta/stable-image/{service:[a-z-]+/[a-z0-9-]+}", self._make)
        app.router.add_get("/v2beta/results/{id}", self._result)
        app.router.add_get("/v1/user/balance", self._balance)

    def _refusal(self, request: web.Request) -> web.Response | None:
        if request.headers.get("authorization") != f"Bearer {self.key}":
            return _error(401, "unauthorized", "authorization: invalid or missing header value")
        accept = request.headers.get("accept", "*/*").partition(";")[0]
        if accept not in {"image/*", "*/*", "application/json"}:
            return _error(400, "bad_request", "accept: must be image/* or application/json")
        return None

    async def _make(self, request: web.Request) -> web.Response:
        sent = request[SENT]
        service = request.match_info["service"]
        if refusal := self._refusal(request):
            return refusal
        if request.content_type != "multipart/form-data":
            return _error(400, "bad_request", "content-type: must be multipart/form-data")
        if service not in SERVICES:
            return _error(404, "not_found", "The requested resource was not found")
        if problem := _check(service, sent):
            return _error(*problem)
        if service in _TASKS:
            task_id = f"{next(self._ids):064x}"
            self.tasks[task_id] = (sent, list(self.script))
            return web.json_response({"id": task_id})
        return self._image_response(request, sent, "image")

    async def _result(self, request: web.Request) -> web.Response:
        if refusal := self._refusal(request):
            return refusal
        task_id = request.match_info["id"]
        if task_id not in self.tasks:
            return _error(404, "not_found", "id: not found")
        sent, states = self.tasks[task_id]
        if states:
            return web.json_response({"id": task_id, "status": states.pop(0)}, status=202)
        return self._image_response(request, sent, "result")

    def _image_response(self, request: web.Request, sent: Sent, name: str) -> web.Response:
        self.billed += 1
        form = _texts(sent)
        format_ = form.get("output_format", "png")
        seed = int(form.get("seed", "0")) or 343940597
        data = image_bytes(96, 64, format_.upper())
        if request.headers.get("accept", "").startswith("application/json"):
            answer = {name: base64.b64encode(data).decode(), "finish_reason": self.finish, "seed": seed}
            return web.json_response(answer, content_type="application/json")
        headers = {"finish-reason": self.finish, "seed": str(seed), "x-request-id": "r"}
        return web.Response(body=data, content_type=f"image/{format_}", headers=headers)

    async def _balance(self, request: web.Request) -> web.Response:
        return self._refusal(request) or web.json_response({"credits": 25})


def _texts(sent: Sent) -> dict[str, str]:
    return {part.name: part.text for part in sent.parts if part.filename is None}


def _check(service: str, sent: Sent) -> tuple[int, str, str] | None:
    required, optional, formats = SERVICES[service]
    parts = [part for part in sent.parts if part.name != "none"]  # makes a body multipart
    names = {part.name for part in parts}
    if sum(len(part.data) for part in parts) > _MAX_BODY:
        return 413, "payload_too_large", "body: too large"
    problems = [f"{name}: unknown field" for name in names - required - optional]
    problems += [f"{name}: required" for name in required - names]
    if problems:
        return 400, "bad_request", problems[0]
    for name, text in _texts(sent).items():
        allowed = formats if name == "output_format" else _OWN_RANGES.get((service, name), _RANGES.get(name))
        if isinstance(allowed, tuple) and not allowed[0] <= float(text) <= allowed[1]:
            return 400, "bad_request", f"{name}: must be between {allowed[0]} and {allowed[1]}"
        if isinstance(allowed, set) and text not in allowed:
            return 400, "bad_request", f"{name}: must be one of the allowed values"
    if "prompt" in required and not 1 <= len(_texts(sent)["prompt"]) <= 10_000:
        return 400, "bad_request", "prompt: must have 1 to 10000 characters"
    return _check_images(service, sent, names)


def _check_images(service: str, sent: Sent, names: set[str]) -> tuple[int, str, str] | None:
    form = _texts(sent)
    if service in {"generate/ultra", "generate/sd3"} and ("image" in names) != ("strength" in names):
        return 400, "bad_request", "strength: required with image, and only then"
    if service == "generate/sd3":
        edits = form.get("mode", "text-to-image") == "image-to-image"
        if edits != ("image" in names) or (edits and "aspect_ratio" in names):
            return 400, "bad_request", "mode: does not fit the other fields"
    if service == "edit/outpaint" and not any(float(form.get(side, 0)) for side in ("left", "right", "up", "down")):
        return 400, "bad_request", "left: at least one side must be extended"
    for part in sent.parts:
        if part.name in _FILES:
            width, height = Image.open(BytesIO(part.data)).size
            max_pixels = 1_048_576 if service == "upscale/creative" else 9_437_184
            if min(width, height) < 64 or not 4096 <= width * height <= max_pixels:
                return 400, "bad_request", f"{part.name}: has a size that is not accepted"
    return None


def _error(status: int, name: str, message: str) -> web.Response:
    return web.json_response({"id": "e" * 32, "name": name, "errors": [message]}, status=status)
