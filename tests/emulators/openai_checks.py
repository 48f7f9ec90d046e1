"""Models of OpenAI's Images API, their limits, and the refusals of requests beyond these."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.emulators.base import Sent

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
_MAX_MASK: Final = 4 * 1024 * 1024


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


class RefusedError(Exception):
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


def check(fields: Mapping[str, Any], facts: Facts, known: set[str]) -> None:
    for name in fields:
        if name not in known:
            raise RefusedError(f"Unknown parameter: '{name}'.", name, "unknown_parameter")
    prompt = fields.get("prompt")
    if not isinstance(prompt, str) or not prompt:
        raise RefusedError("Missing required parameter: 'prompt'.", "prompt", "missing_required_parameter")
    if len(prompt) > facts.max_prompt:
        raise RefusedError("Invalid 'prompt': string too long.", "prompt", "string_above_max_length")
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
            raise RefusedError(f"Invalid value for '{name}'.", name)
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
            raise RefusedError(f"Invalid value: '{fields[name]}'. Supported values are: {values}.", name)
    if fields.get("background") == "transparent" and fields.get("output_format") == "jpeg":
        raise RefusedError("Transparent background is not supported for jpeg.", "background")
    if "output_compression" in fields and fields.get("output_format", "png") == "png":
        raise RefusedError("Compression is for jpeg and webp.", "output_compression")
    if fields.get("partial_images") and not fields.get("stream"):
        raise RefusedError("partial_images needs stream.", "partial_images")
    _check_native(fields)
    if "size" in fields:
        _check_size(fields["size"], facts)


def _check_native(fields: Mapping[str, Any]) -> None:
    """Refuse fields that the output format GIF or SVG does not allow, or requires."""
    format_ = fields.get("output_format", "png")
    for name, required in (("frame_count", "gif"), ("frame_duration_ms", "gif"), ("svg", "svg")):
        if name in fields and format_ != required:
            raise RefusedError(f"'{name}' is only supported with output_format={required}.", name)
    if format_ in {"gif", "svg"}:
        for name in ("stream", "partial_images", "output_compression"):
            if fields.get(name):
                raise RefusedError(f"'{name}' is not supported with output_format={format_}.", name)
    if format_ == "svg" and fields.get("n", 1) != 1:
        raise RefusedError("SVG output requires n=1.", "n")
    if "svg" in fields and not (isinstance(fields["svg"], dict) and fields["svg"].get("model")):
        raise RefusedError("Missing required parameter: 'svg.model'.", "svg.model", "missing_required_parameter")


def _check_size(size: Any, facts: Facts) -> None:
    if facts.sizes or size == "auto":
        if facts.sizes and size not in facts.sizes:
            raise RefusedError(f"Invalid size '{size}'. Supported sizes are {facts.sizes}.", "size")
        return
    match = re.fullmatch(r"(\d+)x(\d+)", size) if isinstance(size, str) else None
    if not match:
        raise RefusedError(f"Invalid size '{size}'.", "size")
    width, height = int(match[1]), int(match[2])
    if width % 16 or height % 16:
        raise RefusedError(f"Invalid size '{size}': sides must be divisible by 16.", "size")
    if width * height < 655_360:
        raise RefusedError(f"Invalid size '{size}': below the current minimum pixel budget.", "size")
    if width * height > 8_294_400 or max(width, height) > 3840 or max(width, height) > 3 * min(width, height):
        raise RefusedError(f"Invalid size '{size}': above the limits.", "size")


def check_files(sent: Sent, facts: Facts) -> None:
    files = [part for part in sent.parts if part.filename is not None]
    images = [part for part in files if part.name in {"image", "image[]"}]
    if not facts.inputs:
        raise RefusedError("This model does not support image edits.", "model")
    if not images:
        raise RefusedError("Missing required parameter: 'image'.", "image", "missing_required_parameter")
    if len(images) > facts.inputs or (len(images) > 1 and any(part.name == "image" for part in images)):
        raise RefusedError("Too many images.", "image")
    for part in files:
        if part.name not in {"image", "image[]", "mask", *(["markup"] if facts.newest else [])}:
            raise RefusedError(f"Unknown parameter: '{part.name}'.", part.name, "unknown_parameter")
        if not part.filename or part.content_type not in _FILE_TYPES:
            raise RefusedError("Unsupported mimetype.", part.name, "unsupported_file_mimetype")
    first = Image.open(io.BytesIO(images[0].data))
    if {"mask", "markup"} <= {part.name for part in files}:
        raise RefusedError("'markup' cannot be combined with 'mask'.", "markup")
    for part in (part for part in files if part.name in {"mask", "markup"}):
        mask = Image.open(io.BytesIO(part.data))
        if mask.format != "PNG" or len(part.data) >= _MAX_MASK or mask.size != first.size:
            raise RefusedError(f"Invalid {part.name} image.", part.name, "invalid_image_file")
        if mask.mode not in {"RGBA", "LA"}:
            raise RefusedError(f"Invalid {part.name} image: it needs alpha.", part.name, "invalid_image_file")


def moderated(stage: str, *, gpt: bool) -> RefusedError:
    if not gpt:
        return RefusedError("Your request was rejected by our safety system.", None, "content_policy_violation")
    message = "Your request was rejected by the safety system. safety_violations=[sexual]."
    refused = RefusedError(message, None, "moderation_blocked")
    refused.error["type"] = "image_generation_user_error"
    refused.error["moderation_details"] = {"moderation_stage": stage, "categories": ["sexual"]}
    return refused
