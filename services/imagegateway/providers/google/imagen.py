"""Imagen: up to four images per call by `:predict`. Google ended the models; other hosts may still serve them.

Source: google-genai 1.60.0, the last version with Imagen on the Gemini API, read 2026-11-22.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from imagegateway.providers.google import wire
from imagegateway.providers.google.api import Api
from imagegateway.providers.google.sizes import TieredSizes
from imagegateway.providers.kit.error_table import RefusedPart, moderation_failure
from imagegateway.providers.kit.http_messages import HttpRequest
from imagegateway.providers.kit.outcomes import Finished, ResultMedia

if TYPE_CHECKING:
    from imagegateway.providers.kit.call import Call
    from imagegateway.providers.kit.http_messages import HttpResponse
    from imagegateway.providers.kit.outcomes import Outcome

_DEFAULTS: Final = {"parameters": {"includeRaiReason": True}}
_FORMATS: Final = frozenset({"png", "jpeg"})


class Imagen(Api):
    """API `models/{model}:predict`."""

    def submit(self, call: Call) -> HttpRequest:
        task, sizes = call.task, call.model.sizes
        parameters: dict[str, Any] = {"sampleCount": call.count}
        if task.width and isinstance(sizes, TieredSizes):
            ratio, tier = sizes.labels[sizes.nearest(task.width, task.height)]
            parameters["aspectRatio"] = ratio
            if len(sizes.tiers) > 1 and not task.aspect_ratio:
                parameters["sampleImageSize"] = tier
        if task.output_format in _FORMATS:
            parameters["outputOptions"] = {"mimeType": f"image/{task.output_format}"}
            if task.output_format == "jpeg" and task.HasField("output_compression"):
                parameters["outputOptions"]["compressionQuality"] = task.output_compression
        if task.moderation == "low":
            parameters["safetySetting"] = "block_only_high"
        body = {"instances": [{"prompt": task.prompt}], "parameters": parameters}
        return HttpRequest("POST", f"/models/{call.route.native_id}:predict", json=call.with_options(body, _DEFAULTS))

    def read_submit(self, call: Call, response: HttpResponse) -> Outcome:
        if not isinstance(response.json, dict):
            raise TypeError("the response is not an object")
        # A response whose images were all filtered may be empty.
        images = tuple(
            ResultMedia(
                data=wire.decode_base64(item["bytesBase64Encoded"]), revised_prompt=str(item.get("prompt") or "")
            )
            for item in wire.objects(wire.body_of(response).get("predictions"))
            if item.get("bytesBase64Encoded")
        )
        filtered = moderation_failure("Google", RefusedPart.PROMPT_OR_RESULT, may_be_billed=True)
        if not images:
            return filtered
        return Finished(images, missing=(filtered,) * (call.count - len(images)))
