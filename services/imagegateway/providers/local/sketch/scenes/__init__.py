"""Scenes of the sketch model: each paints a whole image from a reading of the prompt."""

from imagegateway.providers.local.sketch.scenes.registry import furnish, paint

__all__ = ["furnish", "paint"]
