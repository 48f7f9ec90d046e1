"""Emulator of Bria's API, version 2, by its OpenAPI documents as read on 2026-11-22."""

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
    from collections.abc import Sequence

MAX_BYTES: Final = 12_000_000
RATIOS: Final = {"1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9"}
_COMMON: Final = {"webhook_url"}
_CHECKS: Final = {
    "prompt_content_moderation",
    "visual_input_content_moderation",
    "visual_output_content_moderation",
    "ip_signal",
}
_MODEL: Final = {"negative_prompt", "model_version", "steps_num", "seed", "sync", "output_type", *_CHECKS}
_GENERATE: Final = {"prompt", "images", "structured_prompt", "aspect_ratio", "resolution", *_MODEL}
FIELDS: Final = {
    "image/edit": {"images", "instruction", "structured_instruction", "mask", "guidance_scale", *_MODEL},
    "image/generate": _GENERATE,
    "image/generate/lite": _GENERATE,
    "image/edit/erase": {"image", "mask", "mask_type", "preserve_alpha", "sync", *_CHECKS},
    "image/edit/gen_fill": {
        *("image", "mask", "prompt", "refine_prompt", "negative_prompt", "seed", "preserve_alpha", "sync"),
        *_CHECKS,
    },
    "image/edit/remove_background": {"image", "preserve_alpha", "sync", *_CHECKS},
    "image/edit/erase_foreground": {"image", "preserve_alpha", "sync", *_CHECKS},
    "image/edit/replace_background": {
        *("image", "mode", "prompt", "ref_images", "refine_prompt", "enhance_ref_images", "original_quality"),
        *("negative_prompt", "seed", "sync"),
        *_CHECKS,
    },
    "image/edit/blur_background": {"image", "scale", "preserve_alpha", "sync"},
    "image/edit/enhance": {"image"},
    "image/edit/increase_resolution": {"image", "desired_increase", "preserve_alpha", "sync"},
    "image/edit/crop_foreground": {"image", "padding", "force_background_detection", "sync"},
    "image/edit/add_object_by_text": {"image", "instruction"},
    "image/edit/replace_object_by_text": {"image", "instruction"},
    "image/edit/blend": {"image", "instruction"},
    "image/edit/erase_by_text": {"image", "object_name"},
    "image/edit/rewrite_text": {"image", "new_text"},
    "image/edit/reseason": {"image", "season"},
    "image/edit/restore": {"image"},
    "image/edit/sketch_to_colored_image": {"image"},
}
_REQUIRED: Final = {
    "image/edit": {"images"},
    "image/edit/erase": {"image", "mask"},
    "image/edit/gen_fill": {"image", "mask", "prompt"},
    "image/edit/erase_by_text": {"image", "object_name"},
    "image/edit/rewrite_text": {"image", "new_text"},
    "image/edit/reseason": {"image", "season"},
    **{f"image/edit/{name}": {"image", "instruction"} for name in ("add_object_by_text", "blend")},
    "image/edit/replace_object_by_text": {"image", "instruction"},
}
_ONE_OF: Final = {
    "image/edit": {"instruction", "structured_instruction"},
    "image/generate": {"prompt", "images", "structured_prompt"},
    "image/generate/lite": {"prompt", "images", "structured_prompt"},
}
_KINDS: Final[dict[str, type | tuple[type, ...]]] = {
    "seed": int,
    "steps_num": int,
    "guidance_scale": (int, float),
    "sync": bool,
    "refine_prompt": bool,
    "preserve_alpha": bool,
    **dict.fromkeys(_CHECKS, bool),
}


class _RefusedError(Exception):
    def __init__(self, status: int, message: str, details: str) -> None:
        super().__init__(message)
        self.status, self.message, self.details = status, message, details


@dataclass
class Task:
    """One job, and the states of its next polls: a status, or the code and the text of an ERROR."""

    path: str
    body: dict[str, Any]
    states: list[str | dict[str, Any]]


@dataclass
class Bria(Emulator):
    """Emulator of the API. `script`: the states of each new job; the last one repeats."""

    script: Sequence[str | dict[str, Any]] = ("IN_PROGRESS", "IN_PROGRESS", "COMPLETED")
    tasks: dict[str, Task] = field(default_factory=dict)
    elsewhere: str = ""
    """Origin that `status_url` names instead of the emulator's own."""
    _ids: itertools.count[int] = field(default_factory=itertools.count)

    def routes(self, app: web.Application) -> None:
        app.router.add_get("/v2/status/{id}", self._status)
        app.router.add_post("/v2/{path:.+}", self._submit)
        app.router.add_get("/results/{id}", self._deliver)

    async def _submit(self, request: web.Request) -> web.Response:
        try:
            self._authorise(request)
            path = request.match_info["path"]
            if path not in FIELDS:
                raise _RefusedError(404, "Not found", "no such path")
            body = request[SENT].json
            _check(path, body)
        except _RefusedError as error:
            return _refusal(error.status, error.message, error.details)
        task_id = f"request-{next(self._ids)}"
        self.tasks[task_id] = Task(path, body, list(self.script))
        if body.get("sync"):
            return web.json_response({"result": self._result(task_id), "request_id": task_id})
        base = self.elsewhere or self.base
        return web.json_response({"request_id": task_id, "status_url": f"{base}/v2/status/{task_id}"}, status=202)

    async def _status(self, request: web.Request) -> web.Response:
        try:
            self._authorise(request)
        except _RefusedError as error:
            return _refusal(error.status, error.message, error.details)
        task_id = request.match_info["id"]
        task = self.tasks.get(task_id)
        state = task.states[0] if task else "NOT_FOUND"
        if task and len(task.states) > 1:
            task.states.pop(0)
        if state == "NOT_FOUND":
            return web.json_response({"status": "NOT_FOUND"}, status=404)
        if isinstance(state, dict):
            return web.json_response({"request_id": task_id, "status": "ERROR", "error": state})
        answer: dict[str, Any] = {"request_id": task_id, "status": state}
        if state == "COMPLETED":
            answer["result"] = self._result(task_id)
        return web.json_response(answer)

    def _authorise(self, request: web.Request) -> None:
        if request.headers.get("api_token") != self.key:
            raise _RefusedError(401, "Unauthorized", "Invalid API token")

    def _result(self, task_id: str) -> dict[str, Any]:
        self.billed += 1
        body = self.tasks[task_id].body
        result: dict[str, Any] = {"image_url": f"{self.base}/results/{task_id}?Signature=s"}
        if "seed" in FIELDS[self.tasks[task_id].path]:
            result["seed"] = str(body.get("seed", 77))
        if body.get("refine_prompt", True) and "refine_prompt" in FIELDS[self.tasks[task_id].path]:
            result["refined_prompt"] = f"{body.get('prompt', '')}, refined"
        return result

    async def _deliver(self, request: web.Request) -> web.Response:
        body = self.tasks[request.match_info["id"]].body
        format_ = str(body.get("output_type", "png"))
        return web.Response(body=image_bytes(80, 60, format_.upper()), content_type=f"image/{format_}")


def _refusal(status: int, message: str, details: str) -> web.Response:
    return web.json_response(
        {"error": {"code": status, "message": message, "details": details}, "request_id": "r"}, status=status
    )


def _check(path: str, body: dict[str, Any]) -> None:
    for name in body:
        if name not in FIELDS[path] | _COMMON:
            raise _RefusedError(422, "Validation error", f"{name}: extra fields not permitted")
    required = _REQUIRED.get(path, {"image"} if path.startswith("image/edit/") else set())
    for name in required:
        if not body.get(name):
            raise _RefusedError(422, "Validation error", f"{name}: field required")
    if path in _ONE_OF and not _ONE_OF[path] & set(body):
        raise _RefusedError(422, "Validation error", f"one of {sorted(_ONE_OF[path])} is required")
    for name, kind in _KINDS.items():
        if name in body and (not isinstance(body[name], kind) or (kind is int and isinstance(body[name], bool))):
            raise _RefusedError(422, "Validation error", f"{name}: wrong type")
    _check_values(path, body)
    _check_images(body)


def _check_values(path: str, body: dict[str, Any]) -> None:
    low, high = (20, 50) if path == "image/edit" else (35, 50)
    if not low <= body.get("steps_num", 50) <= high:
        raise _RefusedError(422, "Validation error", "steps_num: out of range")
    if body.get("aspect_ratio", "1:1") not in RATIOS or body.get("resolution", "1MP") not in {"1MP", "4MP"}:
        raise _RefusedError(422, "Validation error", "aspect_ratio or resolution: not allowed")
    if body.get("output_type", "png") not in {"png", "jpeg"}:
        raise _RefusedError(422, "Validation error", "output_type: not allowed")


def _check_images(body: dict[str, Any]) -> None:
    images = body.get("images", [body["image"]] if "image" in body else [])
    if not isinstance(images, list) or len(images) > 1:
        raise _RefusedError(422, "Validation error", "images: exactly one item")
    decoded = [_decoded(value) for value in images]
    if "mask" in body:
        mask = _decoded(body["mask"])
        if decoded[0] and mask and mask.size != decoded[0].size:
            raise _RefusedError(422, "Validation error", "mask: must have the size of the image")
        if mask and set(mask.convert("L").tobytes()) - {0, 255}:
            raise _RefusedError(422, "Validation error", "mask: must be black and white")


def _decoded(value: Any) -> Image.Image | None:
    """Return the image of a field; None for a URL."""
    if not isinstance(value, str):
        raise _RefusedError(422, "Validation error", "image: must be a string")
    if value.startswith(("http://", "https://")):
        return None
    try:
        data = base64.b64decode(value, validate=True)
        image = Image.open(BytesIO(data))
    except (ValueError, OSError):
        raise _RefusedError(415, "Unsupported media", "neither a URL nor base64 of an image") from None
    if len(data) > MAX_BYTES:
        raise _RefusedError(413, "Payload too large", "12 MB at most")
    return image
