"""OpenAI's Images API: one answer with all pictures; generations as JSON, edits as a form."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from imagegateway.v1.error_reason_pb2 import ErrorReason

from services.common import unmet
from services.common.adapter import Adapter, ErrorTable, Failure, Outgoing, Upload, form_fields
from services.openai import answers, streams
from services.openai.catalog import DALLE, INPUT_FIDELITY
from services.openai.masks import transparent_where_white

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.common.adapter import Call, Outcome, Reading, Reply

_COMPRESSED: Final = frozenset({"jpeg", "webp"})
_GPT_QUALITY: Final = {"standard": "medium", "hd": "high"}
_AGAIN: Final = re.compile(r"try again in ([0-9]+(?:\.[0-9]+)?)(ms|s)\b")


class OpenAIAdapter(Adapter):
    """Source: OpenAI's OpenAPI document 2.3.0 and its Python SDK 3.54.0, read 2026-11-22."""

    route = "openai"
    origin = "https://api.openai.com"
    version = "/v1"
    per_call = 10
    seconds = 240.0
    errors = ErrorTable(
        provider="OpenAI",
        by_status={
            400: ErrorReason.ERROR_REASON_INVALID_VALUE,
            401: ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS,
            403: ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS,
            404: ErrorReason.ERROR_REASON_MODEL_RETIRED,
            410: ErrorReason.ERROR_REASON_MODEL_RETIRED,
            413: ErrorReason.ERROR_REASON_INVALID_IMAGE,
            422: ErrorReason.ERROR_REASON_INVALID_VALUE,
            429: ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED,
            503: ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE,
            504: ErrorReason.ERROR_REASON_PROVIDER_TIMEOUT,
        },
        by_code={
            "moderation_blocked": ErrorReason.ERROR_REASON_MODERATION_BLOCKED,
            "content_policy_violation": ErrorReason.ERROR_REASON_MODERATION_BLOCKED,
            "billing_hard_limit_reached": ErrorReason.ERROR_REASON_PROVIDER_BILLING,
            "insufficient_quota": ErrorReason.ERROR_REASON_PROVIDER_BILLING,
            "invalid_api_key": ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS,
            "unsupported_country_region_territory": ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS,
            "model_not_found": ErrorReason.ERROR_REASON_MODEL_RETIRED,
            "rate_limit_exceeded": ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED,
            "unknown_parameter": ErrorReason.ERROR_REASON_UNSUPPORTED_PARAMETER,
            "unsupported_file_mimetype": ErrorReason.ERROR_REASON_INVALID_IMAGE,
        },
    )

    def auth(self, credential: str) -> Mapping[str, str]:
        return {"authorization": f"Bearer {credential}"}

    def submit(self, call: Call) -> Outgoing:
        fields = {**_fields(call), **call.options}
        if not call.inputs:
            return Outgoing("POST", "/images/generations", json=fields)
        return Outgoing("POST", "/images/edits", fields=form_fields(fields), files=_files(call))

    def read_submit(self, call: Call, reply: Reply) -> Outcome:
        answer = reply.dict()
        return answers.finished(call, tuple(map(answers.found, answer["data"])), [answer.get("usage")])

    def reading(self, call: Call, head: Reply) -> Reading | None:
        if not streams.is_stream(head):
            return None
        return streams.ImageStream(call, lambda error: replace(self._failure(call, head, error), accepted=True))

    def probe(self) -> Outgoing:
        return Outgoing("GET", "/models")

    def read_error(self, call: Call, reply: Reply) -> Failure:
        error = reply.dict().get("error")
        return self._failure(call, reply, error if isinstance(error, dict) else {})

    def _failure(self, call: Call, reply: Reply, error: Mapping[str, Any]) -> Failure:
        code, message = str(error.get("code") or error.get("type") or ""), str(error.get("message") or "")
        param = str(error.get("param") or "")
        if param == "model" and call.model.retired_at:
            code = "model_not_found"  # how a retired model is refused differs, and no caller chose this field's value
        failure = self.errors.lookup(reply, code=code, detail=message, param=param)
        if failure.reason == ErrorReason.ERROR_REASON_MODERATION_BLOCKED:
            return _moderated(error)
        again = _AGAIN.search(message)
        if failure.reason == ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED and failure.retry_after is None and again:
            return replace(failure, retry_after=float(again[1]) * (0.001 if again[2] == "ms" else 1))
        return failure


def _fields(call: Call) -> dict[str, Any]:
    task, native = call.task, call.route.native
    fields: dict[str, Any] = {"model": native, "prompt": task.prompt, "n": call.count}
    if task.width:
        fields["size"] = f"{task.width}x{task.height}"
    if task.user:
        fields["user"] = task.user
    return {**fields, **(_dalle_fields(call) if native in DALLE else _gpt_fields(call))}


def _dalle_fields(call: Call) -> dict[str, Any]:
    fields = {"response_format": "b64_json"}
    for name in ("quality", "style"):
        if getattr(call.task, name):
            fields[name] = getattr(call.task, name)
    unmet.fields(call, "moderation")
    return fields


def _gpt_fields(call: Call) -> dict[str, Any]:
    task = call.task
    fields: dict[str, Any] = {}
    if task.quality:
        fields["quality"] = _GPT_QUALITY.get(task.quality, task.quality)
    for name in ("background", "output_format", "moderation"):
        if getattr(task, name):
            fields[name] = getattr(task, name)
    if task.HasField("output_compression") and task.output_format in _COMPRESSED:
        fields["output_compression"] = task.output_compression
    if task.input_fidelity and call.inputs:
        if task.input_fidelity in INPUT_FIDELITY.get(call.route.native, ()):
            fields["input_fidelity"] = task.input_fidelity
        else:
            what = f"{call.model.id} has no input fidelity {task.input_fidelity!r}."
            call.warn("unsupported_parameter", "input_fidelity", what)
    if task.partial_images:
        fields["stream"], fields["partial_images"] = True, task.partial_images
    return fields


def _files(call: Call) -> tuple[Upload, ...]:
    name = "image" if len(call.inputs) == 1 else "image[]"
    files = [picture.upload(name, f"image-{index}") for index, picture in enumerate(call.inputs)]
    if call.mask is not None:
        files.append(Upload("mask", "mask.png", transparent_where_white(call.mask.data), "image/png"))
    return tuple(files)


def _moderated(error: Mapping[str, Any]) -> Failure:
    """Blocked before anything was made, unless the details say that it was the result."""
    details = error.get("moderation_details")
    details = details if isinstance(details, dict) else {}
    output = details.get("moderation_stage") == "output"
    categories = details.get("categories")
    named = [str(name)[:40] for name in categories[:10]] if isinstance(categories, list) else []
    why = f" ({', '.join(named)})" if named else ""
    return Failure(
        ErrorReason.ERROR_REASON_MODERATION_BLOCKED,
        f"OpenAI refused the {'result' if output else 'prompt or an input picture'} by its content policy{why}.",
        param="" if output else "prompt",
        accepted=output,
    )
