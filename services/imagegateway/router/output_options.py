"""What the result is to be: its format and compression, the frames of a gif, the author of an SVG, a stream of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from imagegateway.platform.errors import invalid, unsupported
from imagegateway.providers.catalog import Capability, Model
from imagegateway.router import value_checks

if TYPE_CHECKING:
    from imagegateway.provider.v1 import provider_service_pb2 as provider
    from imagegateway.router.validation import Request
    from imagegateway.router.value_checks import Warnings

_CONVERTIBLE: Final = ("png", "jpeg", "webp")
"""Formats that the gateway itself makes of an image."""
_NATIVE: Final = ("gif", "svg")
"""Formats that only a model can make; OpenAI's event types have no value for them."""
_COMPRESSED: Final = ("jpeg", "webp")
_TRANSPARENT: Final = ("png", "webp", "svg")
_EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_FRAMES: Final = range(2, 17)
_FRAME_MILLISECONDS: Final = range(1, 655_351)
"""The longest delay that a gif can state is 65,535 hundredths of a second."""


def choose(request: Request, model: Model, task: provider.ImageTask, warnings: Warnings, *, has_mask: bool) -> None:
    """Give a task the format that is asked for, and what belongs to it. Raises GatewayError naming the field."""
    wanted = value_checks.choice(request.output_format, "output_format", (*_CONVERTIBLE, *_NATIVE))
    if wanted in _NATIVE and wanted not in model.output_formats:
        formats = ", ".join(model.output_formats)
        raise unsupported("output_format", f"{model.id} can't make {wanted}; its formats are {formats}.")
    task.output_format = wanted
    made = wanted or model.output_formats[0]
    _compression(request, task, warnings, made)
    if task.background == "transparent" and wanted and wanted not in _TRANSPARENT:
        raise invalid("background", "A transparent background needs output_format png or webp.")
    if made == "gif" and has_mask:
        raise invalid("mask", "A gif can't be made with a mask.")
    _frames(request, task, warnings, made)
    _author(request, model, task, warnings, made)
    if request.stream and made in _NATIVE:
        raise unsupported("stream", f"A stream can't carry {made}, only png, jpeg and webp.")


def stream(request: Request, model: Model, task: provider.ImageTask, warnings: Warnings) -> bool:
    """Return whether the answer is a stream, and give the task its previews. Raises GatewayError naming the field."""
    partial = request.partial_images if request.HasField("partial_images") else 0
    if not 0 <= partial <= 3:
        raise invalid("partial_images", "partial_images must be from 0 to 3.")
    if not request.stream:
        if partial:
            warnings.add("unsupported_parameter", "partial_images", "partial_images needs stream.")
        return False
    if partial and not model.supports(Capability.PARTIAL_IMAGES):
        warnings.add("unsupported_parameter", "partial_images", f"{model.id} sends no partial images.")
    else:
        task.partial_images = partial
    return True


def _compression(request: Request, task: provider.ImageTask, warnings: Warnings, made: str) -> None:
    if not request.HasField("output_compression"):
        return
    if not 0 <= request.output_compression <= 100:
        raise invalid("output_compression", "output_compression must be from 0 to 100.")
    if made not in _COMPRESSED:
        warnings.add("unsupported_parameter", "output_compression", "output_compression is for jpeg and webp.")
    else:
        # Named, so that whoever compresses knows what to make.
        task.output_format, task.output_compression = made, request.output_compression


def _frames(request: Request, task: provider.ImageTask, warnings: Warnings, made: str) -> None:
    if request.HasField("frame_count"):
        if request.frame_count not in _FRAMES:
            raise invalid("frame_count", "frame_count must be from 2 to 16.")
        if made == "gif":
            task.frame_count = request.frame_count
        else:
            warnings.add("unsupported_parameter", "frame_count", "frame_count needs output_format gif.")
    if request.HasField("frame_duration_ms"):
        if request.frame_duration_ms not in _FRAME_MILLISECONDS:
            raise invalid("frame_duration_ms", "frame_duration_ms must be from 1 to 655350.")
        if made == "gif":
            task.frame_duration_ms = request.frame_duration_ms
        else:
            warnings.add("unsupported_parameter", "frame_duration_ms", "frame_duration_ms needs output_format gif.")


def _author(request: Request, model: Model, task: provider.ImageTask, warnings: Warnings, made: str) -> None:
    """Check `svg`: the text model that writes the drawing, and how it reasons."""
    authored = made == "svg" and model.supports(Capability.SVG_AUTHOR)
    if authored and task.n > 1:
        raise invalid("n", f"n must be 1 for an svg of {model.id}, not {task.n}.")
    if not request.HasField("svg"):
        return
    value_checks.text(request.svg.model, "svg.model")
    value_checks.choice(request.svg.reasoning.effort, "svg.reasoning.effort", _EFFORTS)
    if authored:
        task.svg.CopyFrom(request.svg)
    elif made == "svg":
        warnings.add("unsupported_parameter", "svg", f"{model.id} lets nobody choose the author of an SVG.")
    else:
        warnings.add("unsupported_parameter", "svg", "svg needs output_format svg.")
