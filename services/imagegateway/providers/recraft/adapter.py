"""Recraft: one inline call for up to 6 pictures; OpenAI's shape, with paths of its own for edits."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pybase64
from imagegateway.media import images
from imagegateway.platform.errors import invalid_image, unsupported
from imagegateway.providers.kit import unsupported_options
from imagegateway.providers.kit.adapter import Adapter, Finished, Found, Outgoing
from imagegateway.providers.kit.error_table import ErrorTable, Failure, moderated, refused_part
from imagegateway.providers.kit.parsing import form_fields, text_of
from imagegateway.providers.recraft.catalog import RATIOS
from imagegateway.v1.error_reason_pb2 import ErrorReason
from imagegateway.v1.job_pb2 import Cost

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imagegateway.providers.kit.adapter import Call, Outcome, Picture, Reply

_MAX_BYTES: Final = 5 * 1024 * 1024
_MAX_SIDE: Final = 4096
_MAX_PIXELS: Final = 16 * 1024 * 1024
_STRENGTH: Final = 0.5
"""How far an edit may leave its input, 0 to 1, where the caller's options don't say."""
_USD_PER_CREDIT: Final = 0.001
_VECTOR: Final = "_vector"
_TOOLS: Final = frozenset({"removeBackground", "vectorize", "crispUpscale", "creativeUpscale"})
"""Native ids that are paths and no models: they take a picture and nothing else."""

# Refusals that share the status 400 with plain mistakes. Texts as reported, none of them documented.
_TEXTS: Final = (
    ("refused content", re.compile(r"nsfw|moderat|content[ _-]polic|safety", re.IGNORECASE)),
    ("no units", re.compile(r"not[ _]enough[ _](credits|units)|insufficient|balance", re.IGNORECASE)),
)


class RecraftAdapter(Adapter):
    """Source: Recraft's OpenAPI document of 2026-08-22 and its API pages, read 2026-11-22."""

    route = "recraft"
    origin = "https://external.api.recraft.ai"
    version = "/v1"
    max_images_per_call = 6
    # No 5xx is free: nothing tells whether the request was taken.
    errors = ErrorTable(
        provider="Recraft",
        by_status={
            400: ErrorReason.ERROR_REASON_INVALID_VALUE,
            401: ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS,
            402: ErrorReason.ERROR_REASON_PROVIDER_BILLING,
            403: ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS,
            404: ErrorReason.ERROR_REASON_MODEL_RETIRED,
            413: ErrorReason.ERROR_REASON_INVALID_IMAGE,
            422: ErrorReason.ERROR_REASON_INVALID_VALUE,
            429: ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED,
        },
        by_code={
            "refused content": ErrorReason.ERROR_REASON_MODERATION_BLOCKED,
            "no units": ErrorReason.ERROR_REASON_PROVIDER_BILLING,
        },
    )

    def auth(self, credential: str) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {credential}"}

    def submit(self, call: Call) -> Outgoing:
        native = call.route.native_id
        unsupported_options.fields(call, "moderation", "input_fidelity")
        unsupported_options.size(call)
        if native in _TOOLS:
            unsupported_options.fields(call, "prompt")
            fields = form_fields(call.with_options({}))
            return Outgoing("POST", f"/images/{native}", fields=fields, files=(_picture(call).upload("image"),))
        body = _body(call)
        if not call.inputs:
            return Outgoing("POST", "/images/generations", json=call.with_options({**body, **_size(call)}))
        image = _picture(call).upload("image")
        if call.mask is None:
            fields = form_fields(call.with_options(body, {"strength": _STRENGTH}))
            return Outgoing("POST", "/images/imageToImage", fields=fields, files=(image,))
        mask = replace(call.mask, data=images.stark_mask(call.mask.data)).upload("mask", "mask")
        return Outgoing("POST", "/images/inpaint", fields=form_fields(call.with_options(body)), files=(image, mask))

    def read_submit(self, call: Call, reply: Reply) -> Outcome:
        answer = reply.dict()
        entries = answer["data"] if "data" in answer else [answer["image"]]
        pictures = tuple(found for found in (_found(call, entry) for entry in entries) if found)
        if not pictures:
            return _NOTHING
        return Finished(pictures, (_NOTHING,) * (call.count - len(pictures)), cost=_cost(answer.get("credits")))

    def probe(self) -> Outgoing:
        return Outgoing("GET", "/users/me")

    def read_error(self, call: Call, reply: Reply) -> Failure:
        told, words = _told(reply)
        code = ""
        if reply.status in {400, 422}:
            code = next((code for code, pattern in _TEXTS if pattern.search(f"{told} {words}")), "")
        failure = self.errors.lookup(reply, code=code, detail=words)
        if failure.reason == ErrorReason.ERROR_REASON_MODERATION_BLOCKED:
            return moderated("Recraft", refused_part(call, words), accepted=False)
        return failure


def _body(call: Call) -> dict[str, Any]:
    task, native = call.task, call.route.native_id
    vector = native.endswith(_VECTOR)
    if vector and task.output_format not in {"", "svg"}:
        raise unsupported("output_format", f"{call.model.id} draws SVG and has no {task.output_format}.")
    if task.output_format == "svg" and not vector:
        native, vector = native + _VECTOR, True
    # Recraft makes no JPEG, and WebP of its own quality only: what is wanted is made here, from what loses nothing.
    here = task.output_format == "jpeg" or task.HasField("output_compression")
    image_format = "png" if here else task.output_format
    wanted = {
        "prompt": task.prompt,
        "model": native,
        "n": call.count,
        "style": task.style,
        "negative_prompt": task.negative_prompt,
        "random_seed": call.seed,
        "response_format": "url",
        "image_format": "" if vector else image_format,
    }
    return {name: value for name, value in wanted.items() if value not in (None, "")}


def _size(call: Call) -> dict[str, str]:
    if call.task.aspect_ratio in RATIOS:
        return {"size": call.task.aspect_ratio}
    return {"size": f"{call.task.width}x{call.task.height}"} if call.task.width else {}


def _picture(call: Call) -> Picture:
    (picture,) = call.inputs
    if len(picture.data) > _MAX_BYTES:
        raise invalid_image("image", "Recraft takes images of at most 5 MB.")
    if max(picture.width, picture.height) > _MAX_SIDE or picture.width * picture.height > _MAX_PIXELS:
        raise invalid_image("image", f"Recraft takes images of at most {_MAX_SIDE} pixels a side, 16 megapixels.")
    return picture


def _found(call: Call, entry: Any) -> Found | None:
    """A picture of an answer; None for an entry that holds none."""
    told = entry if isinstance(entry, dict) else {}
    seed = call.seed if call.count == 1 else None  # of several pictures, Recraft does not tell
    revised_prompt = text_of(told.get("revised_prompt"))
    try:
        data = pybase64.b64decode("".join(text_of(told.get("b64_json")).split()), validate=True)
    except ValueError:
        return None
    url = text_of(told.get("url"))
    if data:
        return Found(data=data, revised_prompt=revised_prompt, seed=seed)
    return Found(url=url, revised_prompt=revised_prompt, seed=seed) if url else None


def _cost(credits_used: Any) -> Cost | None:
    try:
        amount = round(float(credits_used) * _USD_PER_CREDIT, 6)
    except (TypeError, ValueError):
        return None
    return Cost(amount=amount, currency="USD", estimated=False)


def _told(reply: Reply) -> tuple[str, str]:
    """An error's code and what it says: plain text mostly, JSON in newer cases; nothing for pages of a server in
    between.
    """
    if reply.json is None:
        text = reply.content[:300].decode(errors="replace").strip()
        return "", "" if text.startswith("<") else text
    answer = reply.dict()
    problem = answer["error"] if isinstance(answer.get("error"), dict) else answer
    words = next((text for name in ("message", "error", "detail") if (text := text_of(problem.get(name)))), "")
    return text_of(problem.get("code")), words


_NOTHING: Final = Failure(
    ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE, "Recraft returned fewer images than asked for.", accepted=True
)
