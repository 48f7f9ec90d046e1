"""Emulator of Google's Gemini API: `generateContent`, `predict`, `predictLongRunning`, interactions and files.

Source: ai.google.dev and the source of google-genai 3.4.0, 2.34.0 and 1.60.0 as read on 2026-11-22.
"""

from __future__ import annotations

import base64
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from tests.emulators import google_schema as schema
from tests.emulators.base import SENT, Emulator, image_bytes
from tests.emulators.google_schema import RefusedError, invalid, one_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_RATIOS: Final = ("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9")
_LONG_RATIOS: Final = (*_RATIOS, "1:4", "4:1", "1:8", "8:1")
GEMINI: Final[Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "gemini-nano-banana-2.1": (_LONG_RATIOS, ("1K", "2K", "4K")),
    "gemini-3.1-flash-image": (_LONG_RATIOS, ("512", "1K", "2K", "4K")),
    "gemini-3.1-flash-lite-image": (_RATIOS, ("1K",)),
    "gemini-3-pro-image": (_RATIOS, ("1K", "2K", "4K")),
    "gemini-2.5-flash-image": (_RATIOS, ()),
}
"""Aspect ratios and tiers by model."""
_IMAGEN: Final = {
    "imagen-4.0-generate-001": ("1K", "2K"),
    "imagen-4.0-ultra-generate-001": ("1K", "2K"),
    "imagen-4.0-fast-generate-001": (),
    "imagen-3.0-generate-002": (),
}
_VEO: Final = {
    "veo-3.1-generate-preview": ("720p", "1080p", "4k"),
    "veo-3.1-fast-generate-preview": ("720p", "1080p", "4k"),
    "veo-3.1-lite-generate-preview": ("720p", "1080p"),
}
_OMNI: Final = ("gemini-omni-1.1-flash", "gemini-omni-1.2-flash")
_INPUT_TYPES: Final = ("image/png", "image/jpeg", "image/webp", "image/heic", "image/heif")
_KEY: Final = "x-goog-api-key"
VIDEO: Final = b"\x00\x00\x00\x18ftypmp42" + b"\x00" * 64


@dataclass
class Google(Emulator):
    """Emulator of the API.

    `finishes`: finish reasons of the next images, in order; then STOP. `words`: STOP with text and without an image.
    `block`: blockReason of every prompt. `filtered`: images or videos of each response that are filtered out.
    `polls`: number of polls before a task ends. `failed`: error of all tasks in place of a result. `status`: final
    status of interactions. `elsewhere`: origin that downloads redirect to.
    """

    finishes: list[str] = field(default_factory=list)
    words: bool = False
    block: str = ""
    filtered: int = 0
    polls: int = 2
    failed: dict[str, Any] | None = None
    status: str = "completed"
    elsewhere: str = ""
    inline: bool = False
    gone: set[str] = field(default_factory=set)
    tasks: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, list[str]] = field(default_factory=dict)
    cancelled: list[str] = field(default_factory=list)
    _ids: itertools.count[int] = field(default_factory=itertools.count)

    def routes(self, app: web.Application) -> None:
        for version in ("/v1", "/v1beta"):
            app.router.add_get(f"{version}/models", self._guarded(self._models))
            app.router.add_post(f"{version}/models/{{call}}", self._guarded(self._call))
            app.router.add_get(f"{version}/models/{{model}}/operations/{{id}}", self._guarded(self._operation))
            app.router.add_post(f"{version}/interactions", self._guarded(self._interact))
            app.router.add_get(f"{version}/interactions/{{id}}", self._guarded(self._interaction))
            app.router.add_post(f"{version}/interactions/{{id}}/cancel", self._guarded(self._cancel))
            app.router.add_get(f"{version}/files/{{file}}", self._guarded(self._file))

    def _guarded(self, handler: Any) -> Any:
        async def guarded(request: web.Request) -> web.StreamResponse:
            try:
                if request.headers.get(_KEY, request.query.get("key")) != self.key:
                    reason = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
                    message = "API key not valid. Please pass a valid API key."
                    raise RefusedError(400, "INVALID_ARGUMENT", message, [{**reason, "domain": "googleapis.com"}])
                response: web.StreamResponse = await handler(request)
            except RefusedError as refused:
                return refused.response()
            return response

        return guarded

    async def _models(self, request: web.Request) -> web.Response:
        return web.json_response({"models": [{"name": f"models/{name}"} for name in (*GEMINI, *_OMNI)]})

    async def _call(self, request: web.Request) -> web.Response:
        model, _, verb = request.match_info["call"].partition(":")
        verbs = {"generateContent": GEMINI, "predict": _IMAGEN, "predictLongRunning": _VEO}
        if model not in verbs.get(verb, {}) or model in self.gone:
            raise RefusedError(404, "NOT_FOUND", f"models/{model} is no longer available.")
        body = request[SENT].json
        match verb:
            case "generateContent":
                return self._generate(model, schema.read(body, schema.GENERATE))
            case "predict":
                return self._predict(model, schema.read(body, schema.PREDICT))
            case _:
                return self._begin(model, schema.read(body, schema.LONG_RUNNING))

    # ---- images

    def _generate(self, model: str, body: dict[str, Any]) -> web.Response:
        parts = [part for content in body.get("contents", []) for part in content["parts"]]
        if not any(part.get("text") for part in parts):
            raise invalid("contents is not specified.")
        for blob in (part["inlineData"] for part in parts if "inlineData" in part):
            one_of(blob, "mimeType", _INPUT_TYPES)
            # Google's parser and its SDK accept both alphabets.
            base64.b64decode(blob["data"].replace("-", "+").replace("_", "/"), validate=True)
        config = body.get("generationConfig", {})
        seed = config.get("seed", 0)
        if type(seed) is not int or not -(2**31) <= seed < 2**31:
            raise invalid("Invalid value at 'generation_config.seed' (TYPE_INT32).")
        ratios, tiers = GEMINI[model]
        image = config.get("imageConfig", {})
        one_of(image, "aspectRatio", ratios)
        one_of(image, "imageSize", tiers)
        used = {
            "promptTokenCount": 7,
            "candidatesTokenCount": 1120,
            "totalTokenCount": 1227,
            "thoughtsTokenCount": 100,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 7}],
            "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1120}],
        }
        answer: dict[str, Any] = {"usageMetadata": used, "modelVersion": model, "responseId": "r"}
        if self.block:
            return web.json_response({**answer, "promptFeedback": {"blockReason": self.block}})
        finish = self.finishes.pop(0) if self.finishes else "STOP"
        candidate: dict[str, Any] = {"finishReason": finish, "index": 0}
        if self.words or finish != "STOP":
            candidate["content"] = {"role": "model", "parts": [{"text": "I can't draw that."}] if self.words else []}
            candidate["finishMessage"] = "Unable to show the generated image. Support codes: 1."
        else:
            self.billed += 1
            thought = {"inlineData": {"mimeType": "image/png", "data": _b64(image_bytes(8, 8))}, "thought": True}
            made = {"mimeType": "image/png", "data": _b64(image_bytes(*size_of(image)))}
            parts = [{"text": "Here it is."}, {"inlineData": made, "thoughtSignature": "c2ln"}, thought]
            candidate["content"] = {"role": "model", "parts": parts}
        return web.json_response({**answer, "candidates": [candidate]})

    def _predict(self, model: str, body: dict[str, Any]) -> web.Response:
        parameters = body.get("parameters", {})
        if not body.get("instances") or not body["instances"][0].get("prompt"):
            raise invalid("Prompt is required.")
        one_of(parameters, "sampleCount", (1, 2, 3, 4))
        one_of(parameters, "aspectRatio", ("1:1", "3:4", "4:3", "9:16", "16:9"))
        one_of(parameters, "sampleImageSize", _IMAGEN[model])
        one_of(parameters, "safetySetting", ("block_low_and_above", "block_medium_and_above", "block_only_high"))
        options = parameters.get("outputOptions", {})
        one_of(options, "mimeType", ("image/png", "image/jpeg"))
        type_ = options.get("mimeType", "image/png")
        count = parameters.get("sampleCount", 4)
        made = max(0, count - self.filtered)
        self.billed += made
        format_ = type_.removeprefix("image/").upper()
        predictions: list[dict[str, Any]] = [
            {"mimeType": type_, "bytesBase64Encoded": _b64(image_bytes(1024, 1024, format_, (index, 0, 0)))}
            for index in range(made)
        ]
        if parameters.get("includeRaiReason"):
            predictions += [{"raiFilteredReason": "Unable to show it."}] * (count - made)
        return web.json_response({"predictions": predictions} if predictions else {})

    # ---- videos

    def _begin(self, model: str, body: dict[str, Any]) -> web.Response:
        parameters = body.get("parameters", {})
        if not body.get("instances") or not body["instances"][0].get("prompt"):
            raise invalid("Prompt is required.")
        one_of(parameters, "sampleCount", (1, 2, 3, 4))
        one_of(parameters, "durationSeconds", (4, 6, 8))
        one_of(parameters, "aspectRatio", ("16:9", "9:16"))
        one_of(parameters, "resolution", _VEO[model])
        name = f"models/{model}/operations/op{next(self._ids)}"
        self.tasks[name] = {"left": self.polls, "count": parameters.get("sampleCount", 1)}
        return web.json_response({"name": name})

    async def _operation(self, request: web.Request) -> web.Response:
        name = request.path.partition("/models/")[2]
        task = self.tasks.get(f"models/{name}")
        if task is None:
            raise RefusedError(404, "NOT_FOUND", "Operation not found.")
        operation: dict[str, Any] = {"name": f"models/{name}"}
        if task["left"]:
            task["left"] -= 1
            return web.json_response(operation)
        if self.failed:
            return web.json_response({**operation, "done": True, "error": self.failed})
        made = max(0, task["count"] - self.filtered)
        self.billed += made
        answer: dict[str, Any] = {"generatedSamples": [{"video": {"uri": self._new_file()}} for _ in range(made)]}
        if self.filtered:
            answer |= {"raiMediaFilteredCount": self.filtered, "raiMediaFilteredReasons": ["Unable to show it."]}
        kind = "type.googleapis.com/google.ai.generativelanguage.v1beta.PredictLongRunningResponse"
        return web.json_response(
            {**operation, "done": True, "response": {"@type": kind, "generateVideoResponse": answer}}
        )

    async def _interact(self, request: web.Request) -> web.Response:
        body = schema.read(request[SENT].json, schema.INTERACTION)
        if body.get("model") not in _OMNI:
            raise RefusedError(404, "NOT_FOUND", f"models/{body.get('model')} is not found.")
        video = body.get("response_format", {})
        if not body.get("input") or video.get("type") != "video":
            raise invalid("input and response_format are required.")
        one_of(video, "aspect_ratio", ("16:9", "9:16"))
        one_of(video, "resolution", ("360p", "720p", "1080p", "4k"))
        one_of(video, "delivery", ("inline", "uri"))
        if "duration" in video and not str(video["duration"]).removesuffix("s").isdigit():
            raise invalid("duration must look like 8s.")
        id_ = f"v1_{next(self._ids)}"
        self.tasks[id_] = {"left": self.polls, "model": body["model"]}
        return web.json_response(self._state(id_, "in_progress"))

    async def _interaction(self, request: web.Request) -> web.Response:
        id_ = request.match_info["id"]
        task = self.tasks.get(id_)
        if task is None:
            raise RefusedError(404, "NOT_FOUND", "Interaction not found.")
        if task["left"]:
            task["left"] -= 1
            return web.json_response(self._state(id_, "in_progress"))
        answer = self._state(id_, self.status)
        if self.failed:
            answer["errors"] = [self.failed]
        elif self.status == "completed":
            self.billed += 1
            video = {"type": "video", "mime_type": "video/mp4"}
            video |= {"data": _b64(VIDEO)} if self.inline else {"uri": self._new_file("PROCESSING")}
            answer["steps"] = [{"type": "thought", "signature": "c2ln"}, {"type": "model_output", "content": [video]}]
            answer["usage"] = {"total_tokens": 46_343, "total_input_tokens": 7, "total_output_tokens": 46_336}
        return web.json_response(answer)

    async def _cancel(self, request: web.Request) -> web.Response:
        self.cancelled.append(request.match_info["id"])
        return web.json_response(self._state(request.match_info["id"], "cancelled"))

    def _state(self, id_: str, status: str) -> dict[str, Any]:
        times = {"created": "2026-11-22T00:00:00Z", "updated": "2026-11-22T00:00:00Z"}
        return {"id": id_, "object": "interaction", "status": status, "model": self.tasks[id_]["model"], **times}

    def _new_file(self, *states: str) -> str:
        name = f"file{next(self._ids)}"
        self.files[name] = [*states, "ACTIVE"]
        return f"{self.base}/v1beta/files/{name}:download?alt=media"

    async def _file(self, request: web.Request) -> web.Response:
        name, _, verb = request.match_info["file"].partition(":")
        states: Sequence[str] = self.files.get(name, [])
        if not states:
            raise RefusedError(404, "NOT_FOUND", "File not found.")
        if not verb:
            state = self.files[name].pop(0) if len(states) > 1 else states[0]
            return web.json_response({"name": f"files/{name}", "state": state, "mimeType": "video/mp4"})
        if verb != "download" or request.query.get("alt") != "media" or states[0] != "ACTIVE":
            raise invalid("The file can't be downloaded.")
        if self.elsewhere:
            return web.Response(status=302, headers={"location": f"{self.elsewhere}/{name}.mp4"})
        return web.Response(body=VIDEO, content_type="video/mp4")


def size_of(image: Mapping[str, str]) -> tuple[int, int]:
    """Return pixels of an aspect ratio and a tier: small ones, since tests compare only the proportion."""
    width, _, height = image.get("aspectRatio", "1:1").partition(":")
    factor = {"512": 4, "1K": 8, "2K": 16, "4K": 32}[image.get("imageSize", "1K")]
    return int(width) * factor, int(height) * factor


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
