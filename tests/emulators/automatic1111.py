"""Emulator of AUTOMATIC1111's API, by the source of Forge's modules/api as read on 2026-11-22."""

from __future__ import annotations

import asyncio
import base64
import json
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from tests.emulators.base import SENT, Emulator, image_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SAMPLERS: Final = ("Euler", "Euler a", "DPM++ 2M", "DDIM")
_CHECKPOINT: Final = "sd_xl_base_1.0.safetensors"
_SEED: Final = 1000
_NUMBER: Final = (int, float)
TYPES: Final[Mapping[str, Any]] = {
    "prompt": str,
    "negative_prompt": str,
    "seed": int,
    "steps": int,
    "cfg_scale": _NUMBER,
    "width": int,
    "height": int,
    "batch_size": int,
    "n_iter": int,
    "sampler_name": str,
    "override_settings": dict,
    "force_task_id": str,
    "init_images": list,
    "denoising_strength": _NUMBER,
    "inpainting_fill": int,
    "inpainting_mask_invert": int,
}
"""Types of the fields that the gateway uses; the server's pydantic models ignore unknown fields."""


@dataclass
class Automatic1111(Emulator):
    """Emulator of a server, which makes one request's images at a time.

    `key` is `user:password` of --api-auth; empty: no authentication. `grid`: a contact sheet precedes the images.
    """

    key: str = ""
    grid: bool = False
    prompts: list[str] = field(default_factory=list)
    seconds: float = 0.0
    """Duration of a request that is not interrupted."""
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the first request starts."""
    queued: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a request waits for another one."""
    reports_progress: bool = True
    """The server reports the running task, as all servers with the web page do."""
    running: str = ""
    """`force_task_id` of the running task."""
    interrupted: list[str] = field(default_factory=list)
    """`force_task_id` of each interrupted task."""
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _interrupted: asyncio.Event = field(default_factory=asyncio.Event)

    def routes(self, app: web.Application) -> None:
        app.router.add_post("/sdapi/v1/txt2img", self._make)
        app.router.add_post("/sdapi/v1/img2img", self._make)
        app.router.add_post("/sdapi/v1/interrupt", self._interrupt)
        app.router.add_get("/sdapi/v1/progress", self._progress)
        app.router.add_post("/internal/progress", self._task_progress)
        app.router.add_get("/sdapi/v1/samplers", self._samplers)
        app.router.add_get("/sdapi/v1/scripts", self._scripts)

    def _refusal(self, request: web.Request) -> web.Response | None:
        expected = f"Basic {base64.b64encode(self.key.encode()).decode()}"
        if not self.key or request.headers.get("authorization") == expected:
            return None
        return web.json_response({"detail": "Incorrect username or password"}, status=401)

    async def _make(self, request: web.Request) -> web.Response:
        if refusal := self._refusal(request):
            return refusal
        body = request[SENT].json
        from_image = request.path.endswith("img2img")
        for name, types in TYPES.items():
            if name in body and not isinstance(body[name], types):
                problem = {"loc": ["body", name], "msg": "Input should be valid", "type": "type_error"}
                return web.json_response({"detail": [problem]}, status=422)
        if body.get("sampler_name", "Euler") not in _SAMPLERS:
            return web.json_response({"detail": "Sampler not found"}, status=400)
        if from_image and not body.get("init_images"):
            return web.json_response({"detail": "Init image not found"}, status=404)
        settings = body.get("override_settings") or {}
        if settings.get("sd_model_checkpoint", _CHECKPOINT) != _CHECKPOINT:
            return web.Response(text="Internal Server Error", status=500)
        for text in (*body.get("init_images", ()), *([body["mask"]] if body.get("mask") else ())):
            base64.b64decode(text.rpartition(",")[2], validate=True)
        self.prompts.append(body.get("prompt", ""))
        if self._lock.locked():
            self.queued.set()
        async with self._lock:
            self._interrupted.clear()
            self.running = body.get("force_task_id", "")
            self.begun.set()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._interrupted.wait(), self.seconds)
                self.interrupted.append(self.running)
            self.running = ""
        return web.json_response(self._images(body, settings))

    def _images(self, body: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
        count = body.get("batch_size", 1) * body.get("n_iter", 1)
        format_ = {"jpg": "JPEG"}.get(settings.get("samples_format", "png"), settings.get("samples_format", "png"))
        seed = body.get("seed", -1)
        seeds = [(_SEED if seed in {None, -1} else seed) + index for index in range(count)]
        size = (body.get("width", 512), body.get("height", 512))
        images = [image_bytes(*size, format_.upper(), (seed % 256, 9, 9)) for seed in seeds]
        self.billed += count
        if self.grid and count > 1:
            images.insert(0, image_bytes(size[0] * count, size[1]))
        info = {
            "seed": seeds[0],
            "all_seeds": seeds,
            "infotexts": ["made"] * count,
            "index_of_first_image": int(self.grid and count > 1),
            "sd_model_name": "sd_xl_base_1.0",
        }
        encoded: Sequence[str] = [base64.b64encode(image).decode() for image in images]
        return {"images": encoded, "parameters": dict(body), "info": json.dumps(info)}

    async def _interrupt(self, request: web.Request) -> web.Response:
        """Stop the running request, which then returns its images as far as they are made, with status 200."""
        if refusal := self._refusal(request):
            return refusal
        self._interrupted.set()
        return web.json_response({})

    async def _progress(self, request: web.Request) -> web.Response:
        state = {"job": "", "job_count": 0, "sampling_step": 0}
        return self._refusal(request) or web.json_response({"progress": 0.0, "eta_relative": 0.0, "state": state})

    async def _task_progress(self, request: web.Request) -> web.Response:
        """Answer the web page's progress request, which requires no password."""
        if not self.reports_progress:
            return web.json_response({"detail": "Not Found"}, status=404)
        active = request[SENT].json["id_task"] == self.running
        return web.json_response({"active": active, "queued": not active, "completed": False})

    async def _samplers(self, request: web.Request) -> web.Response:
        return self._refusal(request) or web.json_response(
            [{"name": name, "aliases": [], "options": {}} for name in _SAMPLERS]
        )

    async def _scripts(self, request: web.Request) -> web.Response:
        return self._refusal(request) or web.json_response({"txt2img": [], "img2img": []})
