"""SDXL on fal: fast-sdxl and its two variants for image-to-image and inpainting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from imagegateway.providers.fal import FalAdapter
from imagegateway.providers.kit import unsupported_options
from imagegateway.providers.stability.loras import loras_of

if TYPE_CHECKING:
    from imagegateway.providers.kit.call import Call

_STEPS: Final = {"low": 15, **dict.fromkeys(("high", "xhigh", "max"), 50)}
"""Steps of the qualities that differ from the app's default."""
_FORMATS: Final = ("png", "jpeg")


class SdxlFalAdapter(FalAdapter):
    """Adapter of SDXL on fal. Source: fal.ai/models/fal-ai/fast-sdxl/api, read 2026-11-22."""

    max_images_per_call = 8
    params = {"image_url": "image", "mask_url": "mask", "image_size": "size", "num_images": "n"}  # noqa: RUF012

    def app(self, call: Call) -> str:
        if call.mask is not None:
            return f"{call.route.native_id}/inpainting"
        return f"{call.route.native_id}/image-to-image" if call.inputs else call.route.native_id

    def arguments(self, call: Call) -> dict[str, Any]:
        task = call.task
        unsupported_options.warn_fields(call, "moderation", "input_fidelity")
        compressed = task.HasField("output_compression")
        body: dict[str, Any] = {
            "prompt": task.prompt,
            "num_images": call.count,
            # The app's default is JPEG: a conversion of it would lose quality.
            "format": task.output_format if task.output_format in _FORMATS and not compressed else "png",
        }
        if task.negative_prompt:
            body["negative_prompt"] = task.negative_prompt
        if task.width:
            body["image_size"] = {"width": task.width, "height": task.height}
        if call.seed is not None:
            body["seed"] = call.seed
        if task.quality in _STEPS:
            body["num_inference_steps"] = _STEPS[task.quality]
        if task.loras:
            body["loras"] = [{"path": lora.url or lora.id, "scale": lora.scale} for lora in loras_of(call)]
        if call.inputs:
            body["image_url"] = call.inputs[0].data_url()
        if call.mask is not None:
            body["mask_url"] = call.mask.data_url()  # white = edit, as the gateway's
        return body
