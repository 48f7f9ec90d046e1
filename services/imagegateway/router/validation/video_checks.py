"""Checks of the options that only videos have: length and frame rate."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from imagegateway.platform.errors import invalid, unsupported
from imagegateway.providers.catalog import Capability

if TYPE_CHECKING:
    from imagegateway.router.validation.draft import Draft


def check_video_options(draft: Draft) -> None:
    """Set the length in seconds and the frames per second. Refuse both for models that make images."""
    if draft.model.supports(Capability.TEXT_TO_VIDEO):
        _set_seconds(draft)
        _set_fps(draft)
        return
    for name in ("seconds", "fps"):
        if draft.request.HasField(name):
            raise unsupported(name, f"{name} is for text-to-video models; {draft.model.id} makes images.")


def _set_seconds(draft: Draft) -> None:
    request, model = draft.request, draft.model
    if not request.HasField("seconds"):
        return
    if not 0 < request.seconds < math.inf:
        raise invalid("seconds", "seconds must be more than 0.")
    if model.seconds and not model.seconds[0] <= request.seconds <= model.seconds[1]:
        raise invalid("seconds", f"seconds must be from {model.seconds[0]:g} to {model.seconds[1]:g} for {model.id}.")
    draft.task.seconds = request.seconds


def _set_fps(draft: Draft) -> None:
    request, model = draft.request, draft.model
    if not request.HasField("fps"):
        return
    if request.fps not in model.fps:
        rates = ", ".join(map(str, model.fps)) or "the model's own"
        raise invalid("fps", f"fps must be {rates} for {model.id}.")
    draft.task.fps = request.fps
