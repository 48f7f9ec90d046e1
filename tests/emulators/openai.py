"""Emulator of OpenAI's Images API, by its OpenAPI document 2.3.0 and its Python SDK 3.57.0 as read on 2026-11-28."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from tests.emulators.base import HELD_SECONDS, SENT, Emulator, image_bytes
from tests.emulators.openai_checks import MODELS, Facts, RefusedError, check, check_files, moderated

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Mapping

_INTEGERS: Final = ("n", "output_compression", "partial_images", "frame_count", "frame_duration_ms")
_SVG: Final = b'<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d"><circle r="9"/></svg>'


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
            raise RefusedError("Incorrect API key provided: test****.", None, "invalid_api_key", 401)

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
        except RefusedError as refused:
            return web.json_response({"error": refused.error}, status=refused.status)
        return response

    async def _make(self, request: web.Request) -> web.StreamResponse:
        if request.content_type != "application/json":
            raise RefusedError("Unsupported content type.", None, None)
        fields = request[SENT].json
        facts = self._facts(fields)
        check(fields, facts, facts.fields)
        return await self._respond(request, fields, "image_generation")

    async def _change(self, request: web.Request) -> web.StreamResponse:
        if request.content_type != "multipart/form-data":
            raise RefusedError("Unsupported content type.", None, None)
        sent = request[SENT]
        fields: dict[str, Any] = {}
        for part in sent.parts:
            if part.filename is None:
                if part.name in fields:
                    raise RefusedError(f"Duplicate parameter: '{part.name}'.", part.name)
                _set_field(fields, part.name, _native(part.name, part.text))
        facts = self._facts(fields)
        check(fields, facts, facts.fields | {"input_fidelity"})
        if "input_fidelity" in fields and fields["input_fidelity"] not in facts.fidelity:
            raise RefusedError("Unknown parameter: 'input_fidelity'.", "input_fidelity", "unknown_parameter")
        check_files(sent, facts)
        return await self._respond(request, fields, "image_edit")

    def _facts(self, fields: Mapping[str, Any]) -> Facts:
        name = str(fields.get("model"))
        if name not in MODELS or name in self.gone:
            message = f"The model '{name}' does not exist or you do not have access to it."
            raise RefusedError(message, None, "model_not_found", 404)
        return MODELS[name]

    async def _respond(self, request: web.Request, fields: dict[str, Any], prefix: str) -> web.StreamResponse:
        if self.blocked:
            raise moderated(self.blocked, gpt="response_format" not in MODELS[fields["model"]].fields)
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
                partial_image = base64.b64encode(image_bytes(64, 64, colour=(index, 0, 0))).decode()
                yield f"{prefix}.partial_image", {"b64_json": partial_image, "partial_image_index": index}
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
