"""FLUX 3 video: its body has a shape, a tier and a length where pictures have pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from imagegateway.platform.errors import invalid
from imagegateway.providers.bfl.catalog import VIDEO_SHAPES

if TYPE_CHECKING:
    from imagegateway.providers.kit.adapter import Call

_HD_SIDE: Final = 720
"""Shorter side of the smaller tier, in pixels."""


def body(call: Call) -> dict[str, Any]:
    """The request's body, without the caller's own options. Raises GatewayError for a length in parts of seconds."""
    task = call.task
    body: dict[str, Any] = {"mode": "t2v", "prompt": task.prompt}
    if task.width:
        body["aspect_ratio"] = VIDEO_SHAPES.nearest_aspect_ratio(task.width, task.height)
        body["resolution"] = "hd" if min(task.width, task.height) <= _HD_SIDE else "fhd"
    if task.HasField("seconds"):
        if task.seconds != int(task.seconds):
            raise invalid("seconds", "Black Forest Labs makes videos of whole seconds.")
        body["duration"] = int(task.seconds)
    if task.moderation == "low":
        body["safety_tolerance"] = 4
    return body
