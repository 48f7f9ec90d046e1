"""Checks of the output: its format and compression, GIF frames, the author of an SVG, streaming, response format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from imagegateway.platform.errors import invalid, unsupported
from imagegateway.providers.catalog import Capability
from imagegateway.router.validation.value_checks import checked_choice, checked_text

if TYPE_CHECKING:
    from imagegateway.router.validation.draft import Draft

_CONVERTIBLE: Final = ("png", "jpeg", "webp")
"""Formats that the gateway itself can make of any image."""
_NATIVE: Final = ("gif", "svg")
"""Formats that only a model can make. OpenAI's event types have no value for them."""
_COMPRESSED: Final = ("jpeg", "webp")
_TRANSPARENT: Final = ("png", "webp", "svg")
_EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_FRAMES: Final = range(2, 17)
_FRAME_MILLISECONDS: Final = range(1, 655_351)
"""The longest delay of a GIF is 65,535 hundredths of a second."""
_MAX_PARTIAL_IMAGES: Final = 3


def check_output(draft: Draft) -> None:
    """Set the output format and the options that depend on it."""
    request, model = draft.request, draft.model
    requested = checked_choice(request.output_format, "output_format", (*_CONVERTIBLE, *_NATIVE))
    if requested in _NATIVE and requested not in model.output_formats:
        formats = ", ".join(model.output_formats)
        raise unsupported("output_format", f"{model.id} can't make {requested}; its formats are {formats}.")
    draft.task.output_format = requested
    actual = requested or model.output_formats[0]
    _set_compression(draft, actual)
    if draft.task.background == "transparent" and requested and requested not in _TRANSPARENT:
        raise invalid("background", "A transparent background needs output_format png or webp.")
    if actual == "gif" and draft.has_mask:
        raise invalid("mask", "A gif can't be made with a mask.")
    _set_frames(draft, actual)
    _set_svg_author(draft, actual)
    if request.stream and actual in _NATIVE:
        raise unsupported("stream", f"A stream can't carry {actual}, only png, jpeg and webp.")


def check_partial_images(draft: Draft) -> None:
    """Set the number of partial images, 0 to 3. Warn where the model sends none, or the caller would see none."""
    request = draft.request
    count = request.partial_images if request.HasField("partial_images") else 0
    if not 0 <= count <= _MAX_PARTIAL_IMAGES:
        raise invalid("partial_images", f"partial_images must be from 0 to {_MAX_PARTIAL_IMAGES}.")
    if count and not (request.stream or draft.respond_async):
        draft.warnings.add_unsupported("partial_images", "partial_images needs stream or Prefer: respond-async.")
    elif count and not draft.model.supports(Capability.PARTIAL_IMAGES):
        draft.warnings.add_unsupported("partial_images", f"{draft.model.id} sends no partial images.")
    else:
        draft.task.partial_images = count


def wants_b64_json(draft: Draft, key_default: str) -> bool:
    """Return True when the response carries image bytes instead of URLs.

    `key_default`: default response format of the caller's key; empty: none.
    """
    request, model = draft.request, draft.model
    # OpenAI's streams carry bytes, and so do its answers for its own model names: its clients read nothing else.
    model_default = "b64_json" if request.model.lower() in model.base64_aliases else "url"
    default = "b64_json" if request.stream else key_default or model_default
    return checked_choice(request.response_format, "response_format", ("url", "b64_json"), default) == "b64_json"


def _set_compression(draft: Draft, output_format: str) -> None:
    request = draft.request
    if not request.HasField("output_compression"):
        return
    if not 0 <= request.output_compression <= 100:
        raise invalid("output_compression", "output_compression must be from 0 to 100.")
    if output_format not in _COMPRESSED:
        draft.warnings.add_unsupported("output_compression", "output_compression is for jpeg and webp.")
    else:
        # The task names the format for the code that compresses the image.
        draft.task.output_format, draft.task.output_compression = output_format, request.output_compression


def _set_frames(draft: Draft, output_format: str) -> None:
    request, task = draft.request, draft.task
    if request.HasField("frame_count"):
        if request.frame_count not in _FRAMES:
            raise invalid("frame_count", "frame_count must be from 2 to 16.")
        if output_format == "gif":
            task.frame_count = request.frame_count
        else:
            draft.warnings.add_unsupported("frame_count", "frame_count needs output_format gif.")
    if request.HasField("frame_duration_ms"):
        if request.frame_duration_ms not in _FRAME_MILLISECONDS:
            raise invalid("frame_duration_ms", "frame_duration_ms must be from 1 to 655350.")
        if output_format == "gif":
            task.frame_duration_ms = request.frame_duration_ms
        else:
            draft.warnings.add_unsupported("frame_duration_ms", "frame_duration_ms needs output_format gif.")


def _set_svg_author(draft: Draft, output_format: str) -> None:
    """Set `svg`: the text model that writes the drawing, and its reasoning effort."""
    request, model, task = draft.request, draft.model, draft.task
    has_author = output_format == "svg" and model.supports(Capability.SVG_AUTHOR)
    if has_author and task.n > 1:
        raise invalid("n", f"n must be 1 for an svg of {model.id}, not {task.n}.")
    if not request.HasField("svg"):
        return
    checked_text(request.svg.model, "svg.model")
    checked_choice(request.svg.reasoning.effort, "svg.reasoning.effort", _EFFORTS)
    if has_author:
        task.svg.CopyFrom(request.svg)
    elif output_format == "svg":
        draft.warnings.add_unsupported("svg", f"{model.id} offers no choice of the author of an SVG.")
    else:
        draft.warnings.add_unsupported("svg", "svg needs output_format svg.")
