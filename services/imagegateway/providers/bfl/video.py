"""Request body of FLUX 3 video: aspect ratio, resolution tier and length instead of pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from imagegateway.platform.errors import invalid
from imagegateway.providers.bfl.catalog import VIDEO_ASPECT_RATIOS

if TYPE_CHECKING:
    from imagegateway.providers.kit.call import Call

_HD_SIDE: Final = 720
"""Shorter side of the smaller resolution tier, in pixels."""


def body(call: Call) -> dict[str, Any]:
    """Return the request body, without the caller's provider options. Raises GatewayError for fractional seconds."""
    task = call.task
    body: dict[str, Any] = {"mode": "t2v", "prompt": task.prompt}
    if task.width:
        body["aspect_ratio"] = VIDEO_ASPECT_RATIOS.nearest_aspect_ratio(task.width, task.height)
        body["resolution"] = "hd" if min(task.width, task.height) <= _HD_SIDE else "fhd"
    if task.HasField("seconds"):
        if task.seconds != int(task.seconds):
            raise invalid("seconds", "Black Forest Labs makes videos of whole seconds.")
        body["duration"] = int(task.seconds)
    if task.moderation == "low":
        body["safety_tolerance"] = 4
    return body
