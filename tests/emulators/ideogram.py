"""Emulator of Ideogram's API, v1 and v2, by its OpenAPI document and reference as read on 2026-11-22."""

from __future__ import annotations

import asyncio
import io
import itertools
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from PIL import Image

from tests.emulators.base import HELD_SECONDS, SENT, Emulator, image_bytes

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence

    from tests.emulators.base import Sent

_TALL: Final = [
    "512x1536",
    "576x1408",
    "576x1472",
    "576x1536",
    "640x1344",
    "640x1408",
    "640x1472",
    "640x1536",
    "704x1152",
    "704x1216",
    "704x1280",
    "704x1344",
    "704x1408",
    "704x1472",
    "736x1312",
    "768x1088",
    "768x1216",
    "768x1280",
    "768x1344",
    "800x1280",
    "832x960",
    "832x1024",
    "832x1088",
    "832x1152",
    "832x1216",
    "832x1248",
    "864x1152",
    "896x960",
    "896x1024",
    "896x1088",
    "896x1120",
    "896x1152",
    "960x1024",
    "960x1088",
    "1024x1024",
    "2048x2048",
    "1664x2496",
    "1792x2240",
    "1728x2304",
    "1440x2560",
    "1600x2560",
    "1440x2880",
    "1296x3168",
    "1152x2944",
    "1248x3328",
    "1280x3072",
]
"""Sizes of 3.0, then of 4.0."""
_SIZES: Final = {*_TALL, *("x".join(reversed(size.split("x"))) for size in _TALL)}
_RATIOS: Final = {
    *("1x3", "3x1", "1x2", "2x1", "9x16", "16x9", "10x16", "16x10"),
    *("2x3", "3x2", "3x4", "4x3", "4x5", "5x4", "1x1"),
}
_LOOK: Final = {"style_type", "style_preset", "style_codes", "color_palette", "style_reference_images"}
_V3: Final = {
    "prompt",
    "seed",
    "rendering_speed",
    "magic_prompt",
    "num_images",
    "custom_model_uri",
    "character_reference_images",
    *_LOOK,
}
_SIZED: Final = {"resolution", "aspect_ratio", "negative_prompt"}
_V2: Final = {"prompt", "images", "mask", "size", "quality", "magic_prompt", "num_images", "seed", "async"}


@dataclass(frozen=True)
class Call:
    """Required fields, optional fields and speeds of one path."""

    required: frozenset[str]
    optional: frozenset[str] = frozenset()
    speeds: frozenset[str] = frozenset({"FLASH", "TURBO", "DEFAULT", "QUALITY"})


def _call(required: str, optional: set[str], speeds: str = "FLASH TURBO DEFAULT QUALITY") -> Call:
    return Call(frozenset(required.split()), frozenset(optional), frozenset(speeds.split()))


_INPAINT: Final = _call("image mask prompt", _V3)
_SLOW: Final = "TURBO DEFAULT QUALITY"
_V4: Final = {"json_prompt", "resolution", "rendering_speed", "num_images", "enable_copyright_detection"}
CALLS: Final = {
    "/v1/ideogram-v3/generate": _call("prompt", _V3 | _SIZED),
    "/v1/ideogram-v3/generate-transparent": _call(
        "prompt",
        {"seed", "upscale_factor", "aspect_ratio", "rendering_speed", "negative_prompt", "num_images"},
        _SLOW,
    ),
    "/v1/ideogram-v3/inpaint": _INPAINT,
    "/v1/ideogram-v3/edit": _INPAINT,
    "/v1/ideogram-v3/remix": _call("image prompt", _V3 | _SIZED | {"image_weight"}),
    "/v1/ideogram-v3/reframe": _call("image resolution", _V3),
    "/v1/ideogram-v3/replace-background": _call("image prompt", _V3),
    "/v1/edit": _call("images prompt", {"image_urls", "transparent_background", "num_images"}),
    "/v1/remove-background": _call("image", set()),
    "/v1/ideogram-v4/generate": _call("text_prompt", _V4, _SLOW),
    "/v1/ideogram-v4/remix": _call("image text_prompt", _V4 | {"image_weight"}, _SLOW),
    "/v2/image/generate/ideogram-4-5": _call("prompt", _V2),
    "/v2/image/generate/ideogram-4-6": _call("prompt", _V2),
}


class _Invalid(Exception):  # noqa: N818
    """Refusal of a request, with its HTTP status."""

    def __init__(self, detail: str, status: int = 400) -> None:
        super().__init__(detail)
        self.status = status


@dataclass
class Ideogram(Emulator):
    """Emulator of the API.

    `unsafe`: numbers of the images, counted over all calls, that fail the safety check. `limit`: most images in
    flight, `peak`: highest number so far. `seconds`: duration of each call. `hold`: event that each call waits
    for. `script`: states of asynchronous generations; the last one repeats.
    """

    unsafe: frozenset[int] = frozenset()
    limit: int = 10
    seconds: float = 0.0
    hold: threading.Event | None = None
    script: Sequence[str] = ("pending", "completed")
    in_flight: int = 0
    peak: int = 0
    images: dict[str, bytes] = field(default_factory=dict)
    generations: dict[str, tuple[list[str], list[dict[str, Any]]]] = field(default_factory=dict)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    def routes(self, app: web.Application) -> None:
        for path in CALLS:
            app.router.add_post(path, self._make)
        app.router.add_get("/v2/generations/{id}", self._generation)
        app.router.add_get("/result/{name}", self._deliver)

    async def _make(self, request: web.Request) -> web.Response:
        sent = request[SENT]
        try:
            fields = self._accepted(sent, request.content_type)
        except _Invalid as problem:
            return _problem(problem.status, str(problem))
        if request.query.get("dry_run") == "true":
            return web.json_response({"price_usd": 0.06})
        count = int(_first(fields, "num_images", "1"))
        if self.in_flight + count > self.limit:
            answer = {"error": "Too many in flight", "reject_reason": "inflight_limit"}
            return web.json_response({**answer, "max_inflight_requests": self.limit}, status=429)
        self.in_flight += count
        self.peak = max(self.peak, self.in_flight)
        if self.hold:
            assert await asyncio.to_thread(self.hold.wait, HELD_SECONDS), "the test did not release the call"
        await asyncio.sleep(self.seconds)
        self.in_flight -= count
        self.billed += count
        data = [self._entry(fields, index) for index in range(count)]
        if not sent.path.startswith("/v2/"):
            return web.json_response({"created": "2026-11-22T10:00:00Z", "data": data})
        generation = f"gen-{next(self._numbers)}"
        if _first(fields, "async", "false") in {"true", "True"}:
            self.generations[generation] = (list(self.script), data)
            return web.json_response({"generation_id": generation, "status": "pending"})
        return web.json_response({"generation_id": generation, "seed": data[0]["seed"], "data": data})

    def _accepted(self, sent: Sent, content_type: str) -> dict[str, list[Any]]:
        if sent.headers.get("Api-Key") != self.key:
            raise _Invalid("No authorization token provided", 401)
        if content_type not in {"multipart/form-data", "application/json"}:
            raise _Invalid(f"Unsupported media type '{content_type}'", 415)
        fields = _fields(sent)
        _check(CALLS[sent.path], fields)
        if "mask" in fields:
            _check_mask(fields["mask"][0], fields.get("image", fields.get("images", [b""]))[0])
            if sent.path.startswith("/v2/") and Image.open(io.BytesIO(fields["mask"][0])).getextrema() != (0, 255):
                raise _Invalid("mask must hold both colours")
            if "size" in fields:
                raise _Invalid("'size' must be absent with a mask")
        if sent.path.startswith("/v2/") and "size" in fields:
            _check_size(str(fields["size"][0]), edit="images" in fields, free=sent.path.endswith("4-6"))
        return fields

    def _entry(self, fields: dict[str, list[Any]], index: int) -> dict[str, Any]:
        number = next(self._numbers)
        size = _first(fields, "resolution", _first(fields, "size", "64x64"))
        width, height = map(int, size.split("x")) if "x" in size else (64, 64)
        name = f"{number}.png"
        self.images[name] = image_bytes(width, height, colour=(number % 256, 9, 9))
        safe = number not in self.unsafe
        prompt = _first(fields, "prompt", _first(fields, "text_prompt", ""))
        return {
            "url": f"{self.base}/result/{name}?exp=1&sig=secret" if safe else None,
            "prompt": f"{prompt}, in soft light" if _first(fields, "magic_prompt", "AUTO") != "OFF" else prompt,
            "resolution": f"{width}x{height}",
            "is_image_safe": safe,
            "seed": int(_first(fields, "seed", "4711")) + index,
            "style_type": _first(fields, "style_type", "GENERAL"),
        }

    async def _generation(self, request: web.Request) -> web.Response:
        if request.headers.get("Api-Key") != self.key:
            return _problem(401, "No authorization token provided")
        states, data = self.generations[request.match_info["id"]]
        status = states.pop(0) if len(states) > 1 else states[0]
        answer: dict[str, Any] = {"generation_id": request.match_info["id"], "status": status}
        return web.json_response({**answer, "data": data} if status == "completed" else answer)

    async def _deliver(self, request: web.Request) -> web.Response:
        return web.Response(body=self.images[request.match_info["name"]], content_type="image/png")


def _problem(status: int, detail: str) -> web.Response:
    body = {"type": "about:blank", "title": "Error", "detail": detail, "status": status}
    return web.json_response(body, status=status, content_type="application/problem+json")


def _fields(sent: Sent) -> dict[str, list[Any]]:
    fields: dict[str, list[Any]] = {}
    if sent.parts:
        for part in sent.parts:
            fields.setdefault(part.name, []).append(part.data if part.filename else part.text)
        return fields
    try:
        body = json.loads(sent.body or b"{}")
    except ValueError:
        raise _Invalid("Request body is not valid JSON") from None
    return {
        name: [str(item) for item in value] if isinstance(value, list) else [str(value)]
        for name, value in body.items()
    }


def _first(fields: dict[str, list[Any]], name: str, default: str) -> str:
    return str(fields[name][0]) if name in fields else default


def _check(call: Call, fields: dict[str, list[Any]]) -> None:
    for name in call.required - fields.keys():
        raise _Invalid(f"'{name}' is a required property")
    for name in fields.keys() - call.required - call.optional:
        raise _Invalid(f"Additional properties are not allowed ('{name}' was unexpected)")
    if "resolution" in fields and "aspect_ratio" in fields:
        raise _Invalid("'resolution' excludes 'aspect_ratio'")
    allowed = {
        "resolution": _SIZES,
        "aspect_ratio": _RATIOS,
        "rendering_speed": call.speeds,
        "magic_prompt": {"AUTO", "ON", "OFF", "auto", "on", "off"},
        "style_type": {"AUTO", "GENERAL", "REALISTIC", "DESIGN", "FICTION"},
        "quality": {"very_low", "low", "medium", "high"},
    }
    for name, values in allowed.items():
        if name in fields and fields[name][0] not in values:
            raise _Invalid(f"'{fields[name][0]}' is not one of the values of '{name}'")
    for name, low, high in (("seed", 0, (1 << 31) - 1), ("num_images", 1, 8), ("image_weight", 1, 100)):
        text = _first(fields, name, str(low))
        if not text.isdigit() or not low <= int(text) <= high:
            raise _Invalid(f"'{text}' is out of range for '{name}'")
    for name in ("image", "images"):
        for data in fields.get(name, ()):
            if not isinstance(data, bytes):
                raise _Invalid(f"'{name}' must be a file")
    if len(fields.get("images", ())) > 10:
        raise _Invalid("'images' is too long")


def _check_size(size: str, *, edit: bool, free: bool) -> None:
    if size == "auto" or (edit and size == "source"):
        return
    width, height = map(int, size.split("x"))
    if not (edit or free):
        is_allowed = size in _SIZES
    elif free:
        is_allowed = width % 32 == height % 32 == 0 and 256 <= min(width, height) <= max(width, height) <= 4096
    else:
        is_allowed = width % 32 == height % 32 == 0 and min(width, height) >= 256 and width * height <= 2048 * 2048
        is_allowed = is_allowed and max(width, height) <= 6 * min(width, height)
    if not is_allowed:
        raise _Invalid(f"'{size}' is not a size of this model")


def _check_mask(mask: bytes, image: bytes) -> None:
    with Image.open(io.BytesIO(mask)) as mask_image, Image.open(io.BytesIO(image)) as input_image:
        if mask_image.size != input_image.size:
            raise _Invalid("mask and image must have the same size")
        if set(mask_image.convert("L").tobytes()) - {0, 255}:
            raise _Invalid("mask must be black and white")
