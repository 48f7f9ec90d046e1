"""Emulator of BytePlus ModelArk: images and videos, by documentation 1541523 and 1299023 as read on 2026-11-22."""

from __future__ import annotations

import base64
import itertools
import json
import re
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from PIL import Image

from tests.emulators.base import SENT, Emulator, image_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

VIDEO: Final = b"\x00\x00\x00\x18ftypmp42" + bytes(32)
_PRESETS: Final = {"1K": 1024, "1.5K": 1536, "2K": 2048, "3K": 3072, "4K": 4096}
_RATIOS: Final = {"16:9", "4:3", "1:1", "3:4", "9:16", "21:9", "adaptive"}
_IMAGE: Final = re.compile(r"data:image/(png|jpeg|webp|bmp|tiff|gif);base64,(.+)", re.DOTALL)


@dataclass(frozen=True)
class Limits:
    """Limits of a model."""

    low: int
    high: int
    images: int
    needs_image: bool = False
    output_format: bool = False
    sequence: bool = False
    seeded: bool = False


_MODELS: Final = {
    "seedream-5-0-260128": Limits(3_686_400, 16_777_216, 14, output_format=True, sequence=True),
    "dola-seedream-5-0-pro-260628": Limits(921_600, 4_624_220, 10, output_format=True),
    "seedream-4-5-251128": Limits(3_686_400, 16_777_216, 14, sequence=True),
    "seedream-4-0-250828": Limits(921_600, 16_777_216, 14, sequence=True),
    "seedream-3-0-t2i-250415": Limits(512 * 512, 2048 * 2048, 0, seeded=True),
    "seededit-3-0-i2i-250628": Limits(0, 0, 1, needs_image=True, seeded=True),
}
_VIDEO_MODELS: Final = {
    "dreamina-seedance-2-5-260628",
    "dreamina-seedance-2-0-260128",
    "seedance-1-5-pro-251215",
    "seedance-1-0-pro-250528",
}


class _RefusedError(Exception):
    def __init__(self, status: int, code: str, message: str, param: str = "", *, flat: bool = False) -> None:
        super().__init__(code)
        body = {"code": code, "message": f"{message} Request id: 0217", "param": param, "type": ""}
        self.status, self.body = status, body if flat else {"error": body}

    @property
    def answer(self) -> web.Response:
        code = self.body.get("code") or self.body["error"]["code"]  # type: ignore[index]
        return web.json_response(self.body, status=self.status, headers={"x-error-code": str(code)})


@dataclass
class VideoTask:
    """One video task, and the states of its next polls: a status, or the error of a failed task."""

    body: dict[str, Any]
    states: list[str | dict[str, Any]]


@dataclass
class Ark(Emulator):
    """Emulator of ModelArk.

    `script`: the states of each new video task; the last one repeats. `refused`: errors in place of the next images.
    """

    script: Sequence[str | dict[str, Any]] = ("queued", "running", "succeeded")
    refused: list[dict[str, Any]] = field(default_factory=list)
    tasks: dict[str, VideoTask] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)
    _made: dict[str, bytes] = field(default_factory=dict)
    _ids: itertools.count[int] = field(default_factory=itertools.count)

    def routes(self, app: web.Application) -> None:
        app.router.add_post("/api/v3/images/generations", self._guarded(self._images))
        app.router.add_post("/api/v3/contents/generations/tasks", self._guarded(self._create))
        app.router.add_get("/api/v3/contents/generations/tasks", self._guarded(self._list))
        app.router.add_get("/api/v3/contents/generations/tasks/{id}", self._guarded(self._task))
        app.router.add_delete("/api/v3/contents/generations/tasks/{id}", self._guarded(self._delete))
        app.router.add_get("/tos/{name}", self._deliver)

    def _guarded(self, handler: Any) -> Any:
        async def guarded(request: web.Request) -> web.StreamResponse:
            try:
                token = request.headers.get("authorization", "")
                if token != f"Bearer {self.key}":
                    message = f"The API key {token.removeprefix('Bearer ')} in the request is missing or invalid."
                    raise _RefusedError(401, "AuthenticationError", message)
                answer: web.StreamResponse = await handler(request)
            except _RefusedError as error:
                return error.answer
            return answer

        return guarded

    async def _images(self, request: web.Request) -> web.StreamResponse:
        body = _present_fields(request)
        limits = _limits(body)
        width, height = _size(body, limits)
        count = 1
        if limits.sequence and body.get("sequential_image_generation") == "auto":
            count = (body.get("sequential_image_generation_options") or {}).get("max_images", 15)
        items = [self._item(body, limits, width, height) for _ in range(count)]
        made = [item for item in items if "error" not in item]
        usage = {
            "generated_images": len(made),
            "output_tokens": len(made) * width * height // 256,
            "total_tokens": len(made) * width * height // 256,
        }
        if body.get("stream"):
            return await _streamed(request, body, items, usage)
        return web.json_response({"model": body["model"], "created": 1_757_323_224, "data": items, "usage": usage})

    def _item(self, body: Mapping[str, Any], limits: Limits, width: int, height: int) -> dict[str, Any]:
        if self.refused:
            return {"error": self.refused.pop(0)}
        self.billed += 1
        format_ = str(body.get("output_format") or "jpeg") if limits.output_format else "jpeg"
        data = image_bytes(width // 16, height // 16, format_.upper())
        item: dict[str, Any] = {"size": f"{width}x{height}"}
        if limits.output_format:
            item["output_format"] = format_
        if body.get("response_format") == "b64_json":
            return {**item, "b64_json": base64.b64encode(data).decode()}
        name = f"{next(self._ids)}.{format_}"
        self._made[name] = data
        return {**item, "url": f"{self.base}/tos/{name}?X-Tos-Signature=s"}

    async def _create(self, request: web.Request) -> web.Response:
        body = _present_fields(request)
        if body.get("model") not in _VIDEO_MODELS:
            raise _RefusedError(404, "InvalidEndpointOrModel.NotFound", "The model does not exist.", "model")
        texts = [item for item in body.get("content") or [] if item.get("type") == "text" and item.get("text")]
        if not texts:
            raise _RefusedError(400, "MissingParameter", "content is required.", "content")
        if body.get("ratio", "16:9") not in _RATIOS:
            raise _RefusedError(400, "InvalidParameter", "ratio is not valid.", "ratio")
        if body.get("resolution", "720p") not in {"480p", "720p", "1080p"}:
            raise _RefusedError(400, "InvalidParameter", "resolution is not valid.", "resolution")
        if not isinstance(body.get("duration", 5), int):
            raise _RefusedError(400, "InvalidParameter", "duration is not valid.", "duration")
        task_id = f"cgt-{next(self._ids)}"
        self.tasks[task_id] = VideoTask(body, list(self.script))
        return web.json_response({"id": task_id})

    async def _task(self, request: web.Request) -> web.Response:
        return web.json_response(self._shown(request.match_info["id"]))

    def _shown(self, task_id: str) -> dict[str, Any]:
        task = self.tasks.get(task_id)
        if task is None:
            raise _RefusedError(404, "NotFound", "The task does not exist.")
        state = task.states[0]
        if len(task.states) > 1:
            task.states.pop(0)
        shown: dict[str, Any] = {
            "id": task_id,
            "model": task.body["model"],
            "status": "failed" if isinstance(state, dict) else state,
            "error": state if isinstance(state, dict) else None,
            "created_at": 1_757_323_224,
            "updated_at": 1_757_323_225,
        }
        if state == "succeeded":
            self.billed += 1
            self._made[f"{task_id}.mp4"] = VIDEO
            shown |= {
                "content": {"video_url": f"{self.base}/tos/{task_id}.mp4?X-Tos-Signature=s"},
                "usage": {"completion_tokens": 108_900, "total_tokens": 108_900},
                "seed": task.body.get("seed", 77),
                "resolution": task.body.get("resolution", "720p"),
                "ratio": task.body.get("ratio", "16:9"),
                "duration": task.body.get("duration", 5),
                "framespersecond": 24,
            }
        return shown

    async def _list(self, request: web.Request) -> web.Response:
        shown = [self._shown(task_id) for task_id in list(self.tasks)]
        return web.json_response({"total": len(shown), "items": shown[: int(request.query.get("page_size", "20"))]})

    async def _delete(self, request: web.Request) -> web.Response:
        task = self.tasks.get(request.match_info["id"])
        if task is None or task.states[0] == "running":
            raise _RefusedError(409, "InvalidAction.RunningTaskDeletion", "The task can't be deleted.")
        self.deleted.append(request.match_info["id"])
        task.states = ["cancelled"]
        return web.json_response({})

    async def _deliver(self, request: web.Request) -> web.Response:
        return web.Response(body=self._made[request.match_info["name"]])


def _present_fields(request: web.Request) -> dict[str, Any]:
    """Return the body without its nulls, which count as absent."""
    return {name: value for name, value in request[SENT].json.items() if value is not None}


def _limits(body: Mapping[str, Any]) -> Limits:
    for name in ("model", "prompt"):
        if not body.get(name):
            raise _RefusedError(400, "MissingParameter", f"The request is missing {name}.", name)
    if body["model"] not in _MODELS:
        raise _RefusedError(404, "InvalidEndpointOrModel.NotFound", "The model does not exist.", "model")
    limits = _MODELS[body["model"]]
    images = body.get("image", [])
    images = [images] if isinstance(images, str) else images
    if len(images) > limits.images or (limits.needs_image and not images):
        raise _RefusedError(400, "InvalidParameter", "The number of images is not valid.", "image")
    for value in images:
        match = _IMAGE.fullmatch(value)
        if value.startswith("https://"):
            continue
        if not match or len(data := base64.b64decode(match[2], validate=True)) > 10_000_000:
            raise _RefusedError(400, "InvalidParameter", "image is not valid.", "image")
        image = Image.open(BytesIO(data))
        if min(image.size) <= 14 or not 1 / 16 <= image.width / image.height <= 16:
            raise _RefusedError(400, "InvalidParameter", "image size is not valid.", "image")
    if not isinstance(body.get("watermark", True), bool):
        raise _RefusedError(400, "InvalidParameter", "watermark is not valid.", "watermark")
    if limits.seeded and not -1 <= body.get("seed", -1) < 1 << 31:
        raise _RefusedError(400, "InvalidParameter", "seed is not valid.", "seed")
    if limits.output_format and body.get("output_format", "jpeg") not in {"png", "jpeg"}:
        raise _RefusedError(400, "InvalidParameter", "output_format is not valid.", "output_format")
    return limits


def _size(body: Mapping[str, Any], limits: Limits) -> tuple[int, int]:
    size = body.get("size", "2048x2048" if limits.high > 1 << 22 else "1024x1024")
    if limits.needs_image:
        if size != "adaptive" and "size" in body:
            raise _RefusedError(400, "InvalidParameter", "size must be adaptive.", "size")
        return 1024, 1024
    side = _PRESETS.get(size, 0)
    match = re.fullmatch(r"(\d+)x(\d+)", f"{side}x{side}" if side else size)
    if not match:
        raise _RefusedError(400, "InvalidParameter", "size is not valid.", "size")
    width, height = int(match[1]), int(match[2])
    if width * height < limits.low:
        message = f"image size must be at least {limits.low} pixels"
        raise _RefusedError(400, "InvalidParameter", message, flat=True)
    if width * height > limits.high:
        raise _RefusedError(400, "InvalidParameter", f"image area must be at most {limits.high} pixels", flat=True)
    if not 1 / 16 <= width / height <= 16:
        raise _RefusedError(400, "InvalidParameter", "aspect ratio is not valid.", "size")
    return width, height


async def _streamed(
    request: web.Request, body: Mapping[str, Any], items: list[dict[str, Any]], usage: dict[str, Any]
) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    common = {"model": body["model"], "created": 1_757_323_224}
    events = [
        {
            "type": f"image_generation.partial_{'failed' if 'error' in item else 'succeeded'}",
            "image_index": index,
            **item,
        }
        for index, item in enumerate(items)
    ]
    for event in (*events, {"type": "image_generation.completed", "usage": usage}):
        await response.write(f"event: {event['type']}\ndata: {json.dumps({**common, **event})}\n\n".encode())
    await response.write(b"data: [DONE]\n\n")
    return response
