"""Emulator of Recraft's API, by its OpenAPI document of 2026-08-22 and its pages as read on 2026-11-22."""

from __future__ import annotations

import base64
import io
import itertools
import json
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from PIL import Image

from tests.emulators.base import SENT, Emulator, image_bytes

if TYPE_CHECKING:
    from tests.emulators.base import Sent

_RATIOS: Final = {
    *("1:1", "2:1", "1:2", "3:2", "2:3", "4:3", "3:4", "5:4", "4:5", "6:10", "14:10", "10:14", "16:9", "9:16"),
}
_SIZES_3: Final = [
    "1024x1024",
    "1365x1024",
    "1536x1024",
    "1820x1024",
    "2048x1024",
    "1434x1024",
    "1280x1024",
    "1707x1024",
]
_SIZES_4: Final = ["1024x1024", "1536x768", "1280x832", "1216x896", "1152x896", "1280x896", "1344x768"]
_SIZES_PRO: Final = ["2048x2048", "3072x1536", "2560x1664", "2432x1792", "2304x1792", "2560x1792", "2688x1536"]
_CREDITS: Final = {
    "recraftv2": 22,
    "recraftv2_vector": 44,
    "recraftv3": 40,
    "recraftv3_vector": 80,
    "recraftv4": 40,
    "recraftv4_vector": 80,
    "recraftv4_pro": 250,
    "recraftv4_pro_vector": 300,
    "recraftv4_styles": 40,
    "recraftv4_styles_vector": 80,
    "recraftv4_styles_pro": 250,
    "recraftv4_styles_pro_vector": 300,
    "recraftv4_1": 35,
    "recraftv4_1_flash": 7,
    "recraftv4_1_pro": 210,
    "recraftv4_1_pro_vector": 300,
    "recraftv4_1_utility": 35,
    "recraftv4_1_utility_pro": 210,
    "recraftv4_1_vector": 80,
    "removeBackground": 10,
    "vectorize": 10,
    "crispUpscale": 4,
    "creativeUpscale": 250,
}


def _sizes(model: str) -> set[str]:
    if model.startswith(("recraftv2", "recraftv3")):
        listed, more = _SIZES_3, set[str]()
    elif "_pro" in model:
        listed, more = _SIZES_PRO, {"1664x2688"}
    else:
        listed, more = _SIZES_4, {"832x1344"}
    return {*listed, *("x".join(reversed(size.split("x"))) for size in listed), *more}


_COMMON: Final = {
    *("prompt", "model", "n", "style", "substyle", "style_id", "style_match", "negative_prompt", "response_format"),
    *("image_format", "random_seed", "controls", "text_layout", "creativity", "block_nsfw", "calculate_features"),
    *("expire", "user"),
}
CALLS: Final = {
    "generations": ({"prompt"}, {"size", "upscale", "style_reference_urls"}),
    "imageToImage": ({"prompt", "image", "strength"}, set[str]()),
    "inpaint": ({"prompt", "image", "mask"}, set[str]()),
}
"""Required and further fields of the calls that answer with a list."""
TOOLS: Final = {
    "removeBackground": {"response_format", "image_format", "upscale"},
    "vectorize": {"response_format", "svg_compression", "limit_num_shapes", "max_num_shapes", "color_reduction"},
    "crispUpscale": {"response_format", "image_format", "upscale"},
    "creativeUpscale": {"response_format", "image_format", "upscale"},
}
_STYLES: Final = {
    *("any", "realistic_image", "digital_illustration", "vector_illustration", "logo_raster", "icon"),
}


class _Invalid(Exception):  # noqa: N818
    """Refusal of a request, with the text of its 400."""


def drawing(width: int, height: int) -> bytes:
    """Return a complete SVG document."""
    return (
        f'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">'
        f'<path fill="#c63" d="M0 0h{width}v{height}z"/></svg>\n'
    ).encode()


@dataclass
class Recraft(Emulator):
    """Emulator of the API. `short`: number of images that each response omits; a prompt with "nsfw" is refused."""

    short: int = 0
    results: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    def routes(self, app: web.Application) -> None:
        app.router.add_post("/v1/images/{call}", self._make)
        app.router.add_get("/v1/users/me", self._me)
        app.router.add_get("/result/{name}", self._deliver)

    def _refused(self, sent: Sent) -> web.Response | None:
        if sent.headers.get("Authorization") != f"Bearer {self.key}":
            return web.Response(status=401, text="request unauthorized")
        return None

    async def _me(self, request: web.Request) -> web.Response:
        return self._refused(request[SENT]) or web.json_response(
            {"credits": 1000, "email": "a@example.com", "id": "1", "name": "A"}
        )

    async def _make(self, request: web.Request) -> web.Response:
        sent = request[SENT]
        refused = self._refused(sent)
        if refused is not None:
            return refused
        call = request.match_info["call"]
        try:
            fields = _fields(sent)
            if call in TOOLS:
                return self._tool(call, fields)
            if call not in CALLS:
                return web.Response(status=404, text="404 page not found")
            _check(call, fields)
        except _Invalid as problem:
            return web.Response(status=400, text=str(problem))
        model = str(fields.get("model", "recraftv4_1"))
        count = int(fields.get("n", 1)) - self.short
        size = str(fields.get("size", "1024x1024"))
        width, height = map(int, size.split("x")) if "x" in size else (1024, 1024)
        if "image" in fields:
            width, height = Image.open(io.BytesIO(fields["image"])).size
        self.billed += count
        data = [self._entry(model, width, height, fields) for _ in range(count)]
        return web.json_response({"created": 1_800_000_000, "credits": _CREDITS[model] * count, "data": data})

    def _tool(self, call: str, fields: dict[str, Any]) -> web.Response:
        if not isinstance(fields.get("image"), bytes):
            raise _Invalid("image is required")
        for name in fields.keys() - TOOLS[call] - {"image"}:
            raise _Invalid(f"unknown field {name}")
        self.billed += 1
        width, height = Image.open(io.BytesIO(fields["image"])).size
        entry = self._entry(call, width, height, fields)
        return web.json_response({"created": 1_800_000_000, "credits": _CREDITS[call], "image": entry})

    def _entry(self, model: str, width: int, height: int, fields: dict[str, Any]) -> dict[str, Any]:
        number = next(self._numbers)
        if model.endswith("vector") or model == "vectorize":
            data, media_type = drawing(width, height), "image/svg+xml"
        else:
            format_ = str(fields.get("image_format", "webp"))
            data, media_type = image_bytes(width, height, format_.upper(), (number % 256, 9, 9)), f"image/{format_}"
        entry: dict[str, Any] = {"image_id": str(uuid.UUID(int=number))}
        if fields.get("response_format") == "b64_json":
            return {**entry, "b64_json": base64.b64encode(data).decode()}
        name = f"{number}"
        self.results[name] = (data, media_type)
        return {**entry, "url": f"{self.base}/result/{name}"}

    async def _deliver(self, request: web.Request) -> web.Response:
        data, media_type = self.results[request.match_info["name"]]
        return web.Response(body=data, content_type=media_type)


def _fields(sent: Sent) -> dict[str, Any]:
    if sent.parts:
        return {part.name: part.data if part.filename else part.text for part in sent.parts}
    try:
        return dict(json.loads(sent.body))
    except ValueError:
        raise _Invalid("can't read the request body") from None


def _check(call: str, fields: dict[str, Any]) -> None:
    required, optional = CALLS[call]
    model = str(fields.get("model", "recraftv4_1"))
    if model not in _CREDITS or model in TOOLS:
        raise _Invalid(f"unknown model {model}")
    if missing := required - fields.keys():
        raise _Invalid(f"{missing.pop()} is required")
    if unknown := fields.keys() - required - optional - _COMMON:
        raise _Invalid(f"unknown field {unknown.pop()}")
    old = model.startswith(("recraftv2", "recraftv3"))
    style = fields.get("style", "any")
    size = fields.get("size", "1:1")
    rules = (
        (1 <= len(fields["prompt"]) <= (1000 if old else 10_000), "prompt length out of range"),
        ("nsfw" not in fields["prompt"], "the request was rejected: NSFW content"),
        (size in _RATIOS | _sizes(model), f"size {size} is not supported by {model}"),
        (old or "negative_prompt" not in fields, "negative_prompt is not supported by this model"),
        (call != "inpaint" or model.startswith("recraftv3"), "inpainting is not supported by this model"),
        (old or "style" not in fields, "style is not supported by this model"),
        (style in _STYLES and not ("style" in fields and "style_id" in fields), "style is not supported"),
        ("styles" not in model or "style_id" in fields, "style is required"),
        (1 <= int(fields.get("n", 1)) <= 6, "n out of range"),
        (0 <= int(fields.get("random_seed", 0)) < 1 << 32, "random_seed out of range"),
        (0 <= float(fields.get("strength", 0)) <= 1, "strength out of range"),
    )
    for holds, problem in rules:
        if not holds:
            raise _Invalid(problem)
    if "image" in required:
        _check_images(fields)


def _check_images(fields: dict[str, Any]) -> None:
    for name in ("image", "mask"):
        if name in fields and not isinstance(fields[name], bytes):
            raise _Invalid(f"{name} must be a file")
    if "mask" in fields:
        with Image.open(io.BytesIO(fields["mask"])) as mask, Image.open(io.BytesIO(fields["image"])) as image:
            if mask.size != image.size or mask.mode != "L" or set(mask.tobytes()) - {0, 255}:
                raise _Invalid("mask must be black and white and of the image's size")
