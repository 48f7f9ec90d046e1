"""Emulator of OpenAI's Images API, by its OpenAPI document 2.3.0 and its Python SDK 3.57.0 as read on 2026-11-28."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from PIL import Image

from tests.emulators.base import SENT, Emulator, Sent, image_bytes

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Mapping

_DALLE: Final = {"model", "prompt", "n", "size", "quality", "response_format", "user"}
_GPT: Final = {
    "model",
    "prompt",
    "n",
    "size",
    "quality",
    "background",
    "output_format",
    "output_compression",
    "moderation",
    "stream",
    "partial_images",
    "user",
    "safety_identifier",
}
_NEWEST: Final = _GPT | {"complexity", "frame_count", "frame_duration_ms", "svg"}
_SIZES1: Final = ("auto", "1024x1024", "1536x1024", "1024x1536")
_QUALITIES: Final = ("low", "medium", "high", "auto")
_MORE_QUALITIES: Final = ("low", "medium", "high", "xhigh", "max", "auto")
_FILE_TYPES: Final = ("image/png", "image/webp", "image/jpeg")
_INTEGERS: Final = ("n", "output_compression", "partial_images", "frame_count", "frame_duration_ms")
_SVG: Final = b'<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d"><circle r="9"/></svg>'
_MAX_MASK: Final = 4 * 1024 * 1024
HELD_SECONDS: Final = 60.0
"""Longest time that a stream waits for `OpenAI.hold`."""


@dataclass(frozen=True)
class Facts:
    """Limits of a model. Empty `sizes`: every size within the limits of pixels."""

    fields: set[str] = field(default_factory=lambda: _NEWEST)
    sizes: tuple[str, ...] = ()
    qualities: tuple[str, ...] = _QUALITIES
    max_n: int = 10
    max_prompt: int = 32_000
    inputs: int = 16
    fidelity: tuple[str, ...] = ()

    @property
    def newest(self) -> bool:
        """Return whether the model makes GIFs and SVGs and takes markup."""
        return "svg" in self.fields


MODELS: Final[Mapping[str, Facts]] = {
    "gpt-image-2.6-flare": Facts(qualities=_MORE_QUALITIES),
    "gpt-image-2.6-sunburst": Facts(qualities=_MORE_QUALITIES),
    "gpt-image-2.5-flare": Facts(qualities=_MORE_QUALITIES),
    "gpt-image-2.5-sunburst": Facts(qualities=_MORE_QUALITIES),
    "gpt-image-2.5-flare-2026-09-08": Facts(qualities=_MORE_QUALITIES),
    "gpt-image-2.5-sunburst-2026-09-08": Facts(qualities=_MORE_QUALITIES),
    "gpt-image-2": Facts(_GPT),
    "gpt-image-2-2026-04-21": Facts(_GPT),
    "gpt-image-1.5": Facts(_GPT, _SIZES1, fidelity=("high", "low")),
    "gpt-image-1.5-2025-12-16": Facts(_GPT, _SIZES1, fidelity=("high", "low")),
    "chatgpt-image-latest": Facts(_GPT, _SIZES1, fidelity=("high", "low")),
    "gpt-image-1-mini": Facts(_GPT, _SIZES1, fidelity=("low",)),
    "gpt-image-1": Facts(_GPT, _SIZES1, fidelity=("high", "low")),
    "dall-e-3": Facts(
        _DALLE | {"style"},
        ("1024x1024", "1792x1024", "1024x1792"),
        ("standard", "hd"),
        max_n=1,
        max_prompt=4000,
        inputs=0,
    ),
    "dall-e-2": Facts(_DALLE, ("256x256", "512x512", "1024x1024"), ("standard",), max_prompt=1000, inputs=1),
}


class _RefusedError(Exception):
    """Refusal of a request."""

    def __init__(self, message: str, param: str | None = None, code: str | None = "invalid_value", status: int = 400):
        super().__init__(message)
        self.status = status
        self.error: dict[str, Any] = {
            "message": message,
            "type": "invalid_request_error",
            "param": param,
            "code": code,
        }


@dataclass
class OpenAI(Emulator):
    """Emulator of the API.

    `blocked`: stage at which moderation refuses every request. `withheld`: number of images that each response omits.
    `gone`: retired models. `broken`: error that ends a stream in place of its last image. `hold`: event that a stream
    waits for after its first event. `cut`: number of events after which a stream's connection breaks. `mangled`:
    number of the event that arrives damaged.
    """

    blocked: str = ""
    withheld: int = 0
    gone: set[str] = field(default_factory=set)
    broken: dict[str, Any] | None = None
    hold: threading.Event | None = None
    cut: int | None = None
    mangled: int | None = None

    def routes(self, app: web.Application) -> None:
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/images/generations", self._generate)
        app.router.add_post("/v1/images/edits", self._edit)
        app.router.add_get("/files/{name}", self._file)

    def _authorised(self, request: web.Request) -> None:
        if request.headers.get("authorization") != f"Bearer {self.key}":
            raise _RefusedError("Incorrect API key provided: test****.", None, "invalid_api_key", 401)

    async def _models(self, request: web.Request) -> web.StreamResponse:
        return await self._answered(request, self._list)

    async def _list(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"object": "list", "data": [{"id": name, "object": "model"} for name in MODELS]})

    async def _generate(self, request: web.Request) -> web.StreamResponse:
        return await self._answered(request, self._make)

    async def _edit(self, request: web.Request) -> web.StreamResponse:
        return await self._answered(request, self._change)

    async def _answered(self, request: web.Request, handler: Any) -> web.StreamResponse:
        try:
            self._authorised(request)
            response: web.StreamResponse = await handler(request)
        except _RefusedError as refused:
            return web.json_response({"error": refused.error}, status=refused.status)
        return response

    async def _make(self, request: web.Request) -> web.StreamResponse:
        if request.content_type != "application/json":
            raise _RefusedError("Unsupported content type.", None, None)
        fields = request[SENT].json
        facts = self._facts(fields)
        _check(fields, facts, facts.fields)
        return await self._respond(request, fields, "image_generation")

    async def _change(self, request: web.Request) -> web.StreamResponse:
        if request.content_type != "multipart/form-data":
            raise _RefusedError("Unsupported content type.", None, None)
        sent = request[SENT]
        fields: dict[str, Any] = {}
        for part in sent.parts:
            if part.filename is None:
                if part.name in fields:
                    raise _RefusedError(f"Duplicate parameter: '{part.name}'.", part.name)
                _set_field(fields, part.name, _native(part.name, part.text))
        facts = self._facts(fields)
        _check(fields, facts, facts.fields | {"input_fidelity"})
        if "input_fidelity" in fields and fields["input_fidelity"] not in facts.fidelity:
            raise _RefusedError("Unknown parameter: 'input_fidelity'.", "input_fidelity", "unknown_parameter")
        _check_files(sent, facts)
        return await self._respond(request, fields, "image_edit")

    def _facts(self, fields: Mapping[str, Any]) -> Facts:
        name = str(fields.get("model"))
        if name not in MODELS or name in self.gone:
            message = f"The model '{name}' does not exist or you do not have access to it."
            raise _RefusedError(message, None, "model_not_found", 404)
        return MODELS[name]

    async def _respond(self, request: web.Request, fields: dict[str, Any], prefix: str) -> web.StreamResponse:
        if self.blocked:
            raise _moderated(self.blocked, gpt="response_format" not in MODELS[fields["model"]].fields)
        size = fields.get("size", "auto")
        width, height = (1024, 1024) if size == "auto" else map(int, size.split("x"))
        format_ = fields.get("output_format", "png")
        count = fields.get("n", 1) - self.withheld
        made = [_drawn(width, height, format_, index) for index in range(count)]
        resolved = {
            "size": f"{width}x{height}",
            "quality": fields.get("quality", "high"),
            "background": fields.get("background", "opaque"),
            "output_format": format_,
        }
        if fields.get("stream"):
            return await self._stream(request, fields, prefix, made, resolved)
        self.billed += len(made)
        if "response_format" in MODELS[fields["model"]].fields:
            return web.json_response({"created": 1_760_000_000, "data": self._dalle(fields, made)})
        data = [{"b64_json": base64.b64encode(data).decode()} for data in made]
        if identifier := fields.get("safety_identifier") or fields.get("user"):
            resolved["safety_identifier"] = identifier
        if "svg" in fields:
            resolved["svg_usage"] = {"model": fields["svg"]["model"], **_SVG_USAGE}
        return web.json_response({"created": 1_760_000_000, "data": data, "usage": _usage(len(made)), **resolved})

    def _dalle(self, fields: Mapping[str, Any], made: list[bytes]) -> list[dict[str, str]]:
        revised = {"revised_prompt": f"A detailed {fields['prompt']}"} if fields["model"] == "dall-e-3" else {}
        if fields.get("response_format") == "b64_json":
            return [{"b64_json": base64.b64encode(data).decode(), **revised} for data in made]
        return [{"url": f"{self.base}/files/{index}.png?sig=secret", **revised} for index in range(len(made))]

    async def _stream(
        self,
        request: web.Request,
        fields: Mapping[str, Any],
        prefix: str,
        made: list[bytes],
        resolved: dict[str, Any],
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        for number, (kind, event) in enumerate(self._events(fields, prefix, made)):
            data = json.dumps({"type": kind, "created_at": 1_760_000_000, **event, **resolved} if kind else event)
            data = data[:-40] if number == self.mangled else data
            await response.write((f"event: {kind}\n" if kind else "").encode() + f"data: {data}\n\n".encode())
            if number + 1 == self.cut:
                assert request.transport
                request.transport.close()
                return response
            if self.hold and not number:
                assert await asyncio.to_thread(self.hold.wait, HELD_SECONDS), "the test did not release the stream"
        await response.write_eof()
        return response

    def _events(
        self, fields: Mapping[str, Any], prefix: str, made: list[bytes]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the events of a stream: the type, empty for an error, and the data."""
        for number, data in enumerate(made):
            for index in range(fields.get("partial_images", 0)):
                preview = base64.b64encode(image_bytes(64, 64, colour=(index, 0, 0))).decode()
                yield f"{prefix}.partial_image", {"b64_json": preview, "partial_image_index": index}
            if self.broken and number == len(made) - 1:
                yield "", {"error": self.broken}
                return
            self.billed += 1
            yield f"{prefix}.completed", {"b64_json": base64.b64encode(data).decode(), "usage": _usage(1)}

    async def _file(self, request: web.Request) -> web.Response:
        assert request.query["sig"] == "secret"
        return web.Response(body=image_bytes(1024, 1024), content_type="image/png")


def _drawn(width: int, height: int, format_: str, index: int) -> bytes:
    if format_ == "svg":
        return _SVG % (width, height)
    return image_bytes(width, height, format_.upper(), (index, 99, 199))


_SVG_USAGE: Final = {"input_tokens": 900, "output_tokens": 4000, "reasoning_tokens": 1500, "total_tokens": 4900}


def _usage(count: int) -> dict[str, Any]:
    return {
        "input_tokens": 50,
        "output_tokens": 4160 * count,
        "total_tokens": 50 + 4160 * count,
        "input_tokens_details": {"text_tokens": 10, "image_tokens": 40},
        "output_tokens_details": {"image_tokens": 4160 * count, "text_tokens": 0},
    }


def _set_field(fields: dict[str, Any], name: str, value: Any) -> None:
    """Set a text part as a nested field: `svg[reasoning][effort]` is an object in an object."""
    base, *inner = re.findall(r"[^\[\]]+", name)
    for step in inner:
        fields = fields.setdefault(base, {})
        base = step
    fields[base] = value


def _native(name: str, text: str) -> Any:
    """Return a text part as its type: numbers are decimal, booleans are true and false."""
    if name in _INTEGERS and re.fullmatch("[0-9]+", text):
        return int(text)
    return {"true": True, "false": False}.get(text, text) if name == "stream" else text


def _check(fields: Mapping[str, Any], facts: Facts, known: set[str]) -> None:
    for name in fields:
        if name not in known:
            raise _RefusedError(f"Unknown parameter: '{name}'.", name, "unknown_parameter")
    prompt = fields.get("prompt")
    if not isinstance(prompt, str) or not prompt:
        raise _RefusedError("Missing required parameter: 'prompt'.", "prompt", "missing_required_parameter")
    if len(prompt) > facts.max_prompt:
        raise _RefusedError("Invalid 'prompt': string too long.", "prompt", "string_above_max_length")
    ranges = {
        "n": (1, facts.max_n),
        "output_compression": (0, 100),
        "partial_images": (0, 3),
        "frame_count": (2, 16),
        "frame_duration_ms": (1, 1_000_000),
    }
    for name, (low, high) in ranges.items():
        value = fields.get(name, low)
        if type(value) is not int or not low <= value <= high:
            raise _RefusedError(f"Invalid value for '{name}'.", name)
    choices = {
        "quality": facts.qualities,
        "background": ("transparent", "opaque", "auto"),
        "output_format": ("png", "webp", "jpeg", *(("gif", "svg") if facts.newest else ())),
        "moderation": ("auto", "low"),
        "response_format": ("url", "b64_json"),
        "style": ("vivid", "natural"),
        "complexity": ("low", "medium", "high"),
        "stream": (True, False),
    }
    for name, values in choices.items():
        if name in fields and fields[name] not in values:
            raise _RefusedError(f"Invalid value: '{fields[name]}'. Supported values are: {values}.", name)
    if fields.get("background") == "transparent" and fields.get("output_format") == "jpeg":
        raise _RefusedError("Transparent background is not supported for jpeg.", "background")
    if "output_compression" in fields and fields.get("output_format", "png") == "png":
        raise _RefusedError("Compression is for jpeg and webp.", "output_compression")
    if fields.get("partial_images") and not fields.get("stream"):
        raise _RefusedError("partial_images needs stream.", "partial_images")
    _check_native(fields)
    if "size" in fields:
        _check_size(fields["size"], facts)


def _check_native(fields: Mapping[str, Any]) -> None:
    """Refuse fields that the output format GIF or SVG does not allow, or requires."""
    format_ = fields.get("output_format", "png")
    for name, required in (("frame_count", "gif"), ("frame_duration_ms", "gif"), ("svg", "svg")):
        if name in fields and format_ != required:
            raise _RefusedError(f"'{name}' is only supported with output_format={required}.", name)
    if format_ in {"gif", "svg"}:
        for name in ("stream", "partial_images", "output_compression"):
            if fields.get(name):
                raise _RefusedError(f"'{name}' is not supported with output_format={format_}.", name)
    if format_ == "svg" and fields.get("n", 1) != 1:
        raise _RefusedError("SVG output requires n=1.", "n")
    if "svg" in fields and not (isinstance(fields["svg"], dict) and fields["svg"].get("model")):
        raise _RefusedError("Missing required parameter: 'svg.model'.", "svg.model", "missing_required_parameter")


def _check_size(size: Any, facts: Facts) -> None:
    if facts.sizes or size == "auto":
        if facts.sizes and size not in facts.sizes:
            raise _RefusedError(f"Invalid size '{size}'. Supported sizes are {facts.sizes}.", "size")
        return
    match = re.fullmatch(r"(\d+)x(\d+)", size) if isinstance(size, str) else None
    if not match:
        raise _RefusedError(f"Invalid size '{size}'.", "size")
    width, height = int(match[1]), int(match[2])
    if width % 16 or height % 16:
        raise _RefusedError(f"Invalid size '{size}': sides must be divisible by 16.", "size")
    if width * height < 655_360:
        raise _RefusedError(f"Invalid size '{size}': below the current minimum pixel budget.", "size")
    if width * height > 8_294_400 or max(width, height) > 3840 or max(width, height) > 3 * min(width, height):
        raise _RefusedError(f"Invalid size '{size}': above the limits.", "size")


def _check_files(sent: Sent, facts: Facts) -> None:
    files = [part for part in sent.parts if part.filename is not None]
    images = [part for part in files if part.name in {"image", "image[]"}]
    if not facts.inputs:
        raise _RefusedError("This model does not support image edits.", "model")
    if not images:
        raise _RefusedError("Missing required parameter: 'image'.", "image", "missing_required_parameter")
    if len(images) > facts.inputs or (len(images) > 1 and any(part.name == "image" for part in images)):
        raise _RefusedError("Too many images.", "image")
    for part in files:
        if part.name not in {"image", "image[]", "mask", *(["markup"] if facts.newest else [])}:
            raise _RefusedError(f"Unknown parameter: '{part.name}'.", part.name, "unknown_parameter")
        if not part.filename or part.content_type not in _FILE_TYPES:
            raise _RefusedError("Unsupported mimetype.", part.name, "unsupported_file_mimetype")
    first = Image.open(io.BytesIO(images[0].data))
    if {"mask", "markup"} <= {part.name for part in files}:
        raise _RefusedError("'markup' cannot be combined with 'mask'.", "markup")
    for part in (part for part in files if part.name in {"mask", "markup"}):
        mask = Image.open(io.BytesIO(part.data))
        if mask.format != "PNG" or len(part.data) >= _MAX_MASK or mask.size != first.size:
            raise _RefusedError(f"Invalid {part.name} image.", part.name, "invalid_image_file")
        if mask.mode not in {"RGBA", "LA"}:
            raise _RefusedError(f"Invalid {part.name} image: it needs alpha.", part.name, "invalid_image_file")


def _moderated(stage: str, *, gpt: bool) -> _RefusedError:
    if not gpt:
        return _RefusedError("Your request was rejected by our safety system.", None, "content_policy_violation")
    message = "Your request was rejected by the safety system. safety_violations=[sexual]."
    refused = _RefusedError(message, None, "moderation_blocked")
    refused.error["type"] = "image_generation_user_error"
    refused.error["moderation_details"] = {"moderation_stage": stage, "categories": ["sexual"]}
    return refused
