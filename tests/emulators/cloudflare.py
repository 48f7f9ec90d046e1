"""Emulator of Cloudflare Workers AI's REST API, by developers.cloudflare.com as read on 2026-11-22."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from aiohttp import web
from PIL import Image

from tests.emulators.base import SENT, Emulator, image_bytes

if TYPE_CHECKING:
    from tests.emulators.base import Sent

_REFERENCES: Final = {f"input_image_{index}" for index in range(4)}
_FLUX2: Final = {"prompt", "width", "height", "guidance", "seed"} | _REFERENCES
MULTIPART: Final = {
    "@cf/black-forest-labs/flux-2-klein-9b": _FLUX2,
    "@cf/black-forest-labs/flux-2-klein-4b": _FLUX2,
    "@cf/black-forest-labs/flux-2-dev": _FLUX2 | {"steps"},
}
JSON: Final = {
    "@cf/black-forest-labs/flux-1-schnell": {"prompt", "steps"},
    "@cf/leonardo/phoenix-1.0": {"prompt", "guidance", "seed", "width", "height", "num_steps", "negative_prompt"},
}
_RAW: Final = {"@cf/leonardo/phoenix-1.0"}

FLAGGED: Final = "AiError: AiError: Your output has been flagged. Please choose another prompt (e900ad1a)"
PROBLEMS: Final[dict[str, tuple[int, int | None, str]]] = {
    "wrong-token": (401, 10000, "Authentication error"),
    "bad-token-form": (403, 9109, "Invalid access token"),
    "wrong-account": (404, 7003, "Could not route to /client/v4/accounts/x"),
    "no-such-model": (400, 5007, "AiError: No such model"),
    "model-gone": (404, 3042, "AiError: Model not found"),
    "invalid-data": (400, 5004, "AiError: Invalid data"),
    "bad-schema": (400, 5006, "AiError: required properties at '/' are 'multipart'"),
    "incomplete": (400, 3003, "AiError: Incomplete request"),
    "no-access": (403, 5016, "AiError: No access to this model"),
    "no-licence": (403, 5018, "AiError: Licence not agreed"),
    "blocked": (403, 3041, "AiError: Account blocked"),
    "private": (403, 3023, "AiError: Private model"),
    "bad-task": (405, 5005, "AiError: Task not supported"),
    "bad-method": (405, 5019, "AiError: Method not supported"),
    "too-large": (413, 3006, "AiError: Request too large"),
    "timed-out": (408, 3007, "AiError: Timeout"),
    "aborted": (408, 3008, "AiError: Aborted"),
    "used-up": (429, 3036, "AiError: Account limited"),
    "used-up-live": (429, 4006, "AiError: you have used up your daily free allocation of 10,000 neurons"),
    "no-capacity": (429, 3040, "AiError: Capacity temporarily exceeded"),
    "finetune": (400, 3039, "AiError: Finetune is missing a file"),
    "flagged": (400, 3030, FLAGGED),
    "nsfw": (400, 3030, "AiError: NSFW content detected"),
    "bad-image": (400, 3030, "AiError: Invalid input image[0]: unable to decode image file"),
    "model-trouble": (400, 3030, "AiError: CUDA out of memory"),
    "no-route": (500, 7000, "No route for that URI"),
    "rate-971": (429, 971, "Please wait"),
    "rate-10429": (429, 10429, "Rate limited"),
    "flagged-elsewhere": (400, 3999, FLAGGED),
    "rate-html": (429, None, ""),
    "edge-502": (502, None, ""),
    "edge-503": (503, None, ""),
    "edge-520": (520, None, ""),
    "edge-522": (522, None, ""),
    "edge-524": (524, None, ""),
}
"""Status, code and message of the error that each of these prompts causes; without a code it is the edge's page."""


@dataclass
class Cloudflare(Emulator):
    """Emulator of the API. `account`: the key's only account. The prompt "empty" causes a 200 without an image."""

    account: str = "0123456789abcdef0123456789abcdef"

    def routes(self, app: web.Application) -> None:
        app.router.add_post("/client/v4/accounts/{account}/ai/run/{model:.+}", self._run)
        app.router.add_get("/client/v4/accounts/{account}/ai/models/search", self._search)

    def _authorise(self, request: web.Request) -> None:
        if request.headers.get("Authorization") != f"Bearer {self.key}":
            raise _Refused(*PROBLEMS["wrong-token"])
        if request.match_info["account"] != self.account:
            raise _Refused(*PROBLEMS["wrong-account"])

    async def _search(self, request: web.Request) -> web.Response:
        try:
            self._authorise(request)
        except _Refused as refused:
            return problem(*refused.args)
        return web.json_response(_envelope([{"name": name} for name in MULTIPART | JSON]))

    async def _run(self, request: web.Request) -> web.Response:
        model = unquote(request.match_info["model"])  # slashes may come percent-encoded
        try:
            self._authorise(request)
            fields = _accepted(model, request[SENT])
        except _Refused as refused:
            return problem(*refused.args)
        if fields["prompt"] == "empty":
            return web.json_response(_envelope({}))
        self.billed += 1
        defaults = {"width": 1024, "height": 768 if model in MULTIPART else 1024}
        width, height = (int(fields.get(name, size)) // 16 * 16 for name, size in defaults.items())
        data = image_bytes(width, height, "JPEG")
        if model in _RAW:
            return web.Response(body=data, content_type="image/jpeg")
        headers = {"cf-ai-neurons": "1363.64", "cf-ray": "8f0-FRA"}
        return web.json_response(_envelope({"image": base64.b64encode(data).decode()}), headers=headers)


class _Refused(Exception):  # noqa: N818
    """Status, code and message of a refusal."""


def _envelope(result: object) -> dict[str, object]:
    return {"result": result, "success": True, "errors": [], "messages": []}


def problem(status: int, code: int | None, message: str) -> web.Response:
    """Return the envelope of an error, or the edge's HTML page for an error without a code."""
    if code is None:
        return web.Response(status=status, text="<html>Bad gateway: origin 10.0.0.1</html>", content_type="text/html")
    body = {"success": False, "errors": [{"code": code, "message": message}], "messages": [], "result": None}
    return web.json_response(body, status=status)


def _accepted(model: str, sent: Sent) -> dict[str, Any]:
    if model in MULTIPART:
        fields = _multipart(model, sent)
    elif model in JSON:
        fields = _json(model, sent)
    else:
        raise _Refused(400, 5007, f"AiError: No such model {model}")
    if fields["prompt"] in PROBLEMS:
        raise _Refused(*PROBLEMS[fields["prompt"]])
    return fields


def _multipart(model: str, sent: Sent) -> dict[str, Any]:
    if not sent.parts:
        raise _Refused(400, 5006, "AiError: required properties at '/' are 'multipart'")
    fields: dict[str, Any] = {part.name: part.text for part in sent.parts if part.filename is None}
    files = {part.name: part.data for part in sent.parts if part.filename is not None}
    if (fields.keys() | files.keys()) - MULTIPART[model] or files.keys() - _REFERENCES or fields.keys() & _REFERENCES:
        raise _Refused(400, 5004, "AiError: Invalid data: unknown part")
    if not fields.get("prompt"):
        raise _Refused(400, 5006, "AiError: required properties at '/' are 'prompt'")
    for name in ("width", "height"):
        if not fields.get(name, "1024").isdigit() or not 256 <= int(fields.get(name, 1024)) <= 1920:
            raise _Refused(400, 5004, f"AiError: Invalid data: {name}")
    for data in files.values():
        try:
            size = Image.open(io.BytesIO(data)).size
        except OSError:
            raise _Refused(*PROBLEMS["bad-image"]) from None
        if max(size) >= 512:
            raise _Refused(400, 3030, "AiError: Invalid input image[0]: larger than 512x512")
    return fields


def _json(model: str, sent: Sent) -> dict[str, Any]:
    if sent.parts or not sent.body:
        raise _Refused(400, 3003, "AiError: Incomplete request")
    fields: dict[str, Any] = json.loads(sent.body)
    if fields.keys() - JSON[model] or not 1 <= len(fields.get("prompt", "")) <= 2048:
        raise _Refused(400, 5006, "AiError: must NOT have additional properties")
    if not 1 <= fields.get("steps", 4) <= 8:
        raise _Refused(400, 5006, "AiError: steps must be <= 8")
    return fields
