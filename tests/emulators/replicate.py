"""Emulator of Replicate's predictions of stability-ai/sdxl.

Source: Replicate's OpenAPI document and cog-sdxl as read on 2026-11-22.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from tests.emulators.base import SENT, Emulator, image_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

VERSION: Final = "7762fd07cf82c948538e41f63f77d685e02b063e37e496e96eefd46c929f9bdc"
_OWNER: Final = "stability-ai/sdxl"
_BODY: Final = {"version", "input", "webhook", "webhook_events_filter", "stream"}
_SCHEDULERS: Final = {
    "DDIM",
    "DPMSolverMultistep",
    "HeunDiscrete",
    "KarrasDPM",
    "K_EULER_ANCESTRAL",
    "K_EULER",
    "PNDM",
}
_NUMBER: Final = (int, float)
INPUT: Final[Mapping[str, tuple[Any, Any]]] = {
    "prompt": (str, None),
    "negative_prompt": (str, None),
    "image": (str, None),
    "mask": (str, None),
    "width": (int, range(8, 4097, 8)),
    "height": (int, range(8, 4097, 8)),
    "num_outputs": (int, range(1, 5)),
    "scheduler": (str, _SCHEDULERS),
    "num_inference_steps": (int, range(1, 501)),
    "guidance_scale": (_NUMBER, (1, 50)),
    "prompt_strength": (_NUMBER, (0, 1)),
    "seed": (int, None),
    "refine": (str, {"no_refiner", "expert_ensemble_refiner", "base_image_refiner"}),
    "high_noise_frac": (_NUMBER, (0, 1)),
    "refine_steps": (int, None),
    "apply_watermark": (bool, None),
    "lora_scale": (_NUMBER, (0, 1)),
    "replicate_weights": (str, None),
    "disable_safety_checker": (bool, None),
}
_ENDED: Final = {"succeeded", "failed", "canceled", "aborted"}


@dataclass
class Prediction:
    """One prediction, and the states of its next polls."""

    input: dict[str, Any]
    states: list[str]


@dataclass
class Replicate(Emulator):
    """Emulator of the API.

    `script`: the states of each new prediction; the last one repeats. `flagged`: number of images that each output
    omits as NSFW. `error`: text of a failed prediction.
    """

    key: str = "r8_test"
    script: Sequence[str] = ("starting", "processing", "succeeded")
    flagged: int = 0
    error: str = "CUDA out of memory"
    predictions: dict[str, Prediction] = field(default_factory=dict)
    _ids: itertools.count[int] = field(default_factory=itertools.count)

    def routes(self, app: web.Application) -> None:
        app.router.add_post("/v1/predictions", self._create)
        app.router.add_get("/v1/predictions/{id}", self._get)
        app.router.add_post("/v1/predictions/{id}/cancel", self._cancel)
        app.router.add_get("/v1/models/stability-ai/sdxl/versions/{id}", self._version)
        app.router.add_get("/v1/account", self._account)
        app.router.add_get("/delivery/{name}", self._deliver)

    def _refusal(self, request: web.Request) -> web.Response | None:
        if request.headers.get("authorization") == f"Bearer {self.key}":
            return None
        return _problem(401, "Unauthenticated", "You did not pass a valid authentication token")

    async def _create(self, request: web.Request) -> web.Response:
        if refusal := self._refusal(request):
            return refusal
        body = request[SENT].json
        if extra := set(body) - _BODY:
            return _problem(422, "Input validation failed", f"- {extra.pop()}: additional_property_not_allowed")
        if str(body.get("version", "")).removeprefix(f"{_OWNER}:") != VERSION:
            return _problem(422, "Invalid version or not permitted", "The specified version does not exist")
        if problem := _check(body.get("input", {})):
            field_, message = problem
            invalid = [{"type": "invalid", "field": f"input.{field_}", "description": message}]
            return _problem(422, "Input validation failed", f"- input.{field_}: {message}", invalid_fields=invalid)
        task_id = f"{next(self._ids):026d}"
        self.predictions[task_id] = Prediction(body["input"], list(self.script))
        waits = "wait" in request.headers.get("prefer", "")
        if waits:
            self.predictions[task_id].states = list(self.script[-1:])
        return web.json_response(self._show(task_id), status=201)

    async def _get(self, request: web.Request) -> web.Response:
        if refusal := self._refusal(request):
            return refusal
        task_id = request.match_info["id"]
        prediction = self.predictions.get(task_id)
        if prediction is None:
            return _not_found()
        if len(prediction.states) > 1:
            prediction.states.pop(0)
        return web.json_response(self._show(task_id))

    async def _cancel(self, request: web.Request) -> web.Response:
        if refusal := self._refusal(request):
            return refusal
        task_id = request.match_info["id"]
        prediction = self.predictions.get(task_id)
        if prediction is None:
            return _not_found()
        if prediction.states[0] not in _ENDED:
            prediction.states = ["canceled"]
        return web.json_response(self._show(task_id))

    async def _version(self, request: web.Request) -> web.Response:
        if request.match_info["id"] != VERSION:
            return web.json_response({"detail": "not found"}, status=404)
        schema: dict[str, Any] = {"components": {"schemas": {"Input": {"properties": {}}, "Output": {}}}}
        return web.json_response(
            {
                "id": VERSION,
                "created_at": "2024-08-01T00:00:00Z",
                "cog_version": "0.9.0",
                "openapi_schema": schema,
            }
        )

    async def _account(self, request: web.Request) -> web.Response:
        return self._refusal(request) or web.json_response({"type": "user", "username": "u", "name": "U"})

    async def _deliver(self, request: web.Request) -> web.Response:
        made = self.predictions[request.match_info["name"].partition("-")[0]].input
        return web.Response(body=image_bytes(made.get("width", 64), made.get("height", 64)), content_type="image/png")

    def _show(self, task_id: str) -> dict[str, Any]:
        prediction = self.predictions[task_id]
        status = prediction.states[0]
        output, error = None, None
        if status == "succeeded":
            count = prediction.input.get("num_outputs", 1) - self.flagged
            if count > 0:
                self.billed += count
                output = [f"{self.base}/delivery/{task_id}-{index}.png" for index in range(count)]
            else:
                status, error = "failed", "NSFW content detected. Try running it again, or try a different prompt."
        elif status == "failed":
            error = self.error
        root = f"{self.base}/v1/predictions/{task_id}"
        return {
            "id": task_id,
            "model": _OWNER,
            "version": VERSION,
            "input": prediction.input,
            "output": output,
            "error": error,
            "logs": "",
            "status": status,
            "metrics": {"predict_time": 2.5, "total_time": 3.0} if status in _ENDED else {},
            "created_at": "2026-11-22T00:00:00Z",
            "started_at": None,
            "completed_at": None,
            "data_removed": False,
            "source": "api",
            "urls": {"get": root, "cancel": f"{root}/cancel", "web": "https://replicate.com/p/x"},
        }


def _not_found() -> web.Response:
    return web.json_response({"detail": "The requested resource could not be found.", "status": 404}, status=404)


def _problem(status: int, title: str, detail: str, **more: Any) -> web.Response:
    return web.json_response({"title": title, "detail": detail, "status": status, **more}, status=status)


def _check(fields: Mapping[str, Any]) -> tuple[str, str] | None:
    for name, value in fields.items():
        if name not in INPUT:
            return name, "Additional property is not allowed"
        types, allowed = INPUT[name]
        if not isinstance(value, types) or (isinstance(value, bool) and types is not bool):
            return name, "Invalid type"
        if isinstance(allowed, tuple):
            if not allowed[0] <= value <= allowed[1]:
                return name, "Must be within the range"
        elif allowed is not None and value not in allowed:
            return name, "Must be an allowed value"
    if "mask" in fields and "image" not in fields:
        return "image", "Required with a mask"
    return None
