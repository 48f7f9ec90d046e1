"""SDXL on a server of one's own that speaks AUTOMATIC1111's API: AUTOMATIC1111 itself or Forge."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pybase64
from imagegateway.v1.error_reason_pb2 import ErrorReason

from services.common.adapter import Adapter, ErrorTable, Failure, Finished, Found, Outgoing
from services.common.errors import invalid, unsupported
from services.stability import loras

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.common.adapter import Call, Outcome, Reply

_STEPS: Final = {"low": 20, "medium": 30, "high": 50}
_FORMATS: Final = {"png": "png", "jpeg": "jpg", "webp": "webp"}
# What the prompt itself can load: LoRAs and their kin, and another server's extra arguments.
_TAG: Final = re.compile(r"<\w+:[^>]*>|<(sd_cpp_extra_args)>.*?(?:</\1>|$)", re.DOTALL)
_FILE: Final = re.compile(r"[^<>:\x00-\x1f]{1,200}")
_NO_INIT: Final = "Init image not found"


class Automatic1111Adapter(Adapter):
    """Source: modules/api of AUTOMATIC1111 and Forge, read 2026-11-22.

    A route's native name is the checkpoint's file. The answer comes when all pictures are made, after the model has
    been loaded: minutes, where there is no fast GPU.
    """

    route = "automatic1111"
    origin = "http://127.0.0.1:7860"
    needs_key = False
    per_call = 10
    seconds = 900.0
    errors = ErrorTable(
        provider="The AUTOMATIC1111 server",
        by_status={
            400: ErrorReason.ERROR_REASON_INVALID_VALUE,
            401: ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS,
            403: ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS,
            404: ErrorReason.ERROR_REASON_PROVIDER_ERROR,  # started without --api
            422: ErrorReason.ERROR_REASON_INVALID_VALUE,
            429: ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED,
            503: ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE,
        },
        by_code={_NO_INIT: ErrorReason.ERROR_REASON_INVALID_IMAGE},
    )

    def auth(self, credential: str) -> Mapping[str, str]:
        if ":" in credential:
            return {"authorization": f"Basic {pybase64.b64encode_as_string(credential.encode())}"}
        return {"authorization": f"Bearer {credential}"}

    def submit(self, call: Call) -> Outgoing:
        task = call.task
        settings: dict[str, Any] = {"sd_model_checkpoint": call.route.native}
        if task.output_format and not task.HasField("output_compression"):
            settings["samples_format"] = _FORMATS[task.output_format]
        body: dict[str, Any] = {
            "prompt": "".join((_plain(call, "prompt", task.prompt), *_tags(call))),
            "negative_prompt": _plain(call, "negative_prompt", task.negative_prompt),
            "steps": _STEPS.get(task.quality, _STEPS["medium"]),
            # One after the other: a batch needs its size in memory.
            "batch_size": 1,
            "n_iter": call.count,
            "override_settings": settings,
        }
        # The server's own default, 512x512, is not the model's.
        body["width"], body["height"] = (task.width, task.height) if task.width else call.model.sizes.default
        if call.seed is not None:
            body["seed"] = call.seed
        if call.inputs:
            body["init_images"] = [pybase64.b64encode_as_string(call.inputs[0].data)]
        if call.mask is not None:
            body["mask"] = pybase64.b64encode_as_string(call.mask.data)  # white = repaint, as ours
        action = "img2img" if call.inputs else "txt2img"
        return Outgoing("POST", f"/sdapi/v1/{action}", json={**body, **call.options})

    def read_submit(self, call: Call, reply: Reply) -> Outcome:
        answer = reply.dict()
        info = json.loads(answer.get("info") or "{}")
        # A sheet of all pictures may come before them, control maps after them.
        first = info.get("index_of_first_image", 0)
        images = answer["images"][first : first + call.count]
        if not images:
            return Failure(
                ErrorReason.ERROR_REASON_PROVIDER_ERROR, "The AUTOMATIC1111 server made no picture.", accepted=True
            )
        seeds = [*info.get("all_seeds", ()), *[None] * len(images)]
        return Finished(
            tuple(
                Found(data=pybase64.b64decode(text.rpartition(",")[2]), seed=_seed(seed))
                for text, seed in zip(images, seeds, strict=False)
            ),
            missing=(_MISSING,) * (call.count - len(images)),
        )

    def probe(self) -> Outgoing:
        return Outgoing("GET", "/sdapi/v1/progress", query={"skip_current_image": "true"})

    def read_error(self, call: Call, reply: Reply) -> Failure:
        answer = reply.dict()
        detail = answer.get("detail")
        if isinstance(detail, list) and detail and isinstance(detail[0], dict):
            where = [str(part) for part in detail[0].get("loc", ())][1:]
            failure = self.errors.lookup(reply, detail=str(detail[0].get("msg", "")), param=".".join(where))
        else:
            words = str(detail or answer.get("errors") or "")
            failure = self.errors.lookup(reply, code=words, detail=words)
        # An answer means that the server has let go of it, and nobody is paid for what it did.
        return replace(failure, accepted=False)


_MISSING: Final = Failure(
    ErrorReason.ERROR_REASON_PROVIDER_ERROR, "The AUTOMATIC1111 server left this picture out.", accepted=True
)


def _plain(call: Call, param: str, text: str) -> str:
    """A text without tags that load what the caller was not given."""
    plain = text
    while (stripped := _TAG.sub("", plain)) != plain:  # what is left may close up to a tag again
        plain = stripped
    if plain != text:
        call.warn("parameter_adjusted", param, f"Tags in angle brackets were taken out of {param}; use loras.")
    return plain


def _tags(call: Call) -> list[str]:
    tags = []
    for lora in loras.of(call):
        if lora.url:
            raise unsupported(
                f"{lora.param}.url", "A self-hosted server loads LoRAs that lie beside it: send their id."
            )
        if not _FILE.fullmatch(lora.id):
            raise invalid(f"{lora.param}.id", f"{lora.param}.id must be the name of a file, without its ending.")
        tags.append(f" <lora:{lora.id}:{lora.scale:g}>")
    return tags


def _seed(seed: Any) -> int | None:
    return seed if isinstance(seed, int) and 0 <= seed < 1 << 32 else None
