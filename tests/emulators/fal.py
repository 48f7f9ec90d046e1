"""Emulator of fal's queue, by its documentation and clients as read on 2026-11-22."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from tests.emulators.base import SENT, Emulator, image_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Field = tuple[type | tuple[type, ...], Any]
"""Types of a field and its allowed values: a range, a set, or None for any value."""

_NUMBER: Final = (int, float)
_SDXL: Final[Mapping[str, Field]] = {
    "prompt": (str, None),
    "negative_prompt": (str, None),
    "image_size": ((str, dict), None),
    "num_inference_steps": (int, range(1, 66)),
    "seed": (int, range(1 << 32)),
    "guidance_scale": (_NUMBER, None),
    "sync_mode": (bool, None),
    "num_images": (int, range(1, 9)),
    "loras": (list, None),
    "expand_prompt": (bool, None),
    "format": (str, {"jpeg", "png"}),
    "enable_safety_checker": (bool, None),
    "safety_checker_version": (str, {"v1", "v2"}),
}
_FROM_IMAGE: Final[Mapping[str, Field]] = {**_SDXL, "image_url": (str, None), "strength": (_NUMBER, None)}
APPS: Final[Mapping[str, tuple[Mapping[str, Field], tuple[str, ...]]]] = {
    "fal-ai/fast-sdxl": (_SDXL, ("prompt",)),
    "fal-ai/fast-sdxl/image-to-image": (_FROM_IMAGE, ("prompt", "image_url")),
    "fal-ai/fast-sdxl/inpainting": ({**_FROM_IMAGE, "mask_url": (str, None)}, ("prompt", "image_url", "mask_url")),
}
"""Fields and required fields by app. Families with other apps set the emulator's `apps`."""


@dataclass
class Request:
    """One request of the queue, and the states of its next polls."""

    app: str
    body: dict[str, Any]
    states: list[str]
    cancelled: bool = False


@dataclass
class Fal(Emulator):
    """Emulator of the queue.

    `script`: the states of each new request; the last one repeats. `result`: response in place of an output, as
    (status, body, headers), with `error` in the COMPLETED status. `flagged`: which images the safety check flags.
    """

    key: str = "key-id:key-secret"
    apps: Mapping[str, tuple[Mapping[str, Field], tuple[str, ...]]] = field(default_factory=lambda: APPS)
    script: Sequence[str] = ("IN_QUEUE", "IN_PROGRESS", "COMPLETED")
    result: tuple[int, Any, Mapping[str, str]] | None = None
    error: Mapping[str, str] = field(default_factory=dict)
    flagged: Sequence[bool] = ()
    requests: dict[str, Request] = field(default_factory=dict)
    _ids: itertools.count[int] = field(default_factory=itertools.count)

    def routes(self, app: web.Application) -> None:
        app.router.add_get("/files/{name}", self._file)
        app.router.add_get("/{app:.+}/requests/{id}/status", self._status)
        app.router.add_get("/{app:.+}/requests/{id}", self._result)
        app.router.add_put("/{app:.+}/requests/{id}/cancel", self._cancel)
        app.router.add_post("/run/{app:.+}", self._run)
        app.router.add_post("/{app:.+}", self._submit)

    def output(self, task_id: str, request: Request) -> dict[str, Any]:
        """Return the app's output. Emulators of other apps override this method."""
        body = request.body
        format_ = body.get("format", "jpeg")
        size = body.get("image_size", {"width": 64, "height": 64})
        sides = f"{size['width']}x{size['height']}" if isinstance(size, dict) else "64x64"
        files = [
            {
                "url": f"{self.base}/files/{task_id}-{index}-{sides}.{format_}",
                "content_type": f"image/{format_}",
                "file_name": None,
                "file_size": None,
                "width": None,
                "height": None,
            }
            for index in range(body.get("num_images", 1))
        ]
        flags = [*self.flagged, *[False] * len(files)][: len(files)]
        return {
            "images": files,
            "seed": body.get("seed", 42),
            "has_nsfw_concepts": flags,
            "prompt": body["prompt"],
            "timings": {"inference": 1.5},
        }

    def _refusal(self, request: web.Request) -> web.Response | None:
        if request.headers.get("authorization") == f"Key {self.key}":
            return None
        return web.json_response({"detail": "Cannot access application. Authentication is required."}, status=401)

    def _accept(self, request: web.Request) -> tuple[str, Request] | web.Response:
        name = request.match_info["app"]
        if refusal := self._refusal(request):
            return refusal
        if name not in self.apps:
            return web.json_response({"detail": f"Application '{name}' not found"}, status=404)
        body = request[SENT].json
        fields, required = self.apps[name]
        if problem := _check(fields, required, body):
            return web.json_response({"detail": [problem]}, status=422)
        task_id = f"req-{next(self._ids)}"
        self.requests[task_id] = Request(name, body, list(self.script))
        return task_id, self.requests[task_id]

    async def _submit(self, request: web.Request) -> web.Response:
        accepted = self._accept(request)
        if isinstance(accepted, web.Response):
            return accepted
        task_id, task = accepted
        # The queue's URLs do not contain the app's sub-path.
        root = f"{self.base}/{'/'.join(task.app.split('/')[:2])}/requests/{task_id}"
        return web.json_response(
            {
                "status": "IN_QUEUE",
                "request_id": task_id,
                "gateway_request_id": task_id,
                "response_url": root,
                "status_url": f"{root}/status",
                "cancel_url": f"{root}/cancel",
                "queue_position": 0,
            },
            headers={"x-fal-request-id": task_id},
        )

    async def _run(self, request: web.Request) -> web.Response:
        accepted = self._accept(request)
        if isinstance(accepted, web.Response):
            return accepted
        return self._answer(*accepted)

    async def _status(self, request: web.Request) -> web.Response:
        if refusal := self._refusal(request):
            return refusal
        task_id = request.match_info["id"]
        task = self.requests.get(task_id)
        if task is None or task.cancelled:
            return web.json_response({"status": "NOT_FOUND"}, status=404)
        state = task.states[0]
        if len(task.states) > 1:
            task.states.pop(0)
        answer: dict[str, Any] = {"status": state, "request_id": task_id, "logs": None}
        if state == "COMPLETED":
            return web.json_response({**answer, "metrics": {"inference_time": 1.5}, **self.error})
        return web.json_response({**answer, "queue_position": 0}, status=202)

    async def _result(self, request: web.Request) -> web.Response:
        if refusal := self._refusal(request):
            return refusal
        task_id = request.match_info["id"]
        task = self.requests.get(task_id)
        if task is None or task.cancelled:
            return web.json_response({"status": "NOT_FOUND"}, status=404)
        if task.states[0] != "COMPLETED":
            return web.json_response({"detail": "Request is still in progress"}, status=400)
        return self._answer(task_id, task)

    def _answer(self, task_id: str, task: Request) -> web.Response:
        if self.result is not None:
            status, answer, headers = self.result
            return web.json_response(answer, status=status, headers=headers)
        output = self.output(task_id, task)
        self.billed += len(output.get("images") or [output.get("image")])
        return web.json_response(output, headers={"x-fal-request-id": task_id})

    async def _cancel(self, request: web.Request) -> web.Response:
        if refusal := self._refusal(request):
            return refusal
        task = self.requests.get(request.match_info["id"])
        if task is None:
            return web.json_response({"status": "NOT_FOUND"}, status=404)
        if task.states[0] == "COMPLETED":
            return web.json_response({"status": "ALREADY_COMPLETED"}, status=400)
        task.cancelled = True
        return web.json_response({"status": "CANCELLATION_REQUESTED"}, status=202)

    async def _file(self, request: web.Request) -> web.Response:
        stem, _, format_ = request.match_info["name"].rpartition(".")
        width, _, height = stem.rpartition("-")[2].partition("x")
        data = image_bytes(int(width), int(height), format_.upper())
        return web.Response(body=data, content_type=f"image/{format_}")


def _check(fields: Mapping[str, Field], required: Sequence[str], body: Mapping[str, Any]) -> dict[str, Any] | None:
    for name in required:
        if name not in body:
            return _problem(name, "Field required", "missing")
    for name, value in body.items():
        # Apps ignore unknown fields, as pydantic does by default.
        types, allowed = fields.get(name, (object, None))
        if not isinstance(value, types) or (isinstance(value, bool) and types is not bool and types is not object):
            return _problem(name, "Input has the wrong type", "type_error")
        if allowed is not None and value not in allowed:
            return _problem(name, "Input is out of range", "one_of")
    for lora in body.get("loras", ()):
        if not isinstance(lora.get("path"), str) or not isinstance(lora.get("scale", 1), int | float):
            return _problem("loras", "Input should be LoRA weights", "value_error")
    return None


def _problem(name: str, message: str, kind: str) -> dict[str, Any]:
    return {
        "loc": ["body", name],
        "msg": message,
        "type": kind,
        "url": f"https://docs.fal.ai/errors#{kind}",
        "input": "secret input",
    }
