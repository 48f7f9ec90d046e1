"""OpenAI's Images API: one response with all images; generations as JSON, edits as a form."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.json_format import MessageToDict
from imagegateway.providers.kit import unsupported_options
from imagegateway.providers.kit.adapter import Adapter
from imagegateway.providers.kit.error_table import (
    ErrorTable,
    Failure,
    RefusedPart,
    UnchargedErrors,
    moderation_failure,
    refused_part,
)
from imagegateway.providers.kit.http_messages import FilePart, HttpRequest
from imagegateway.providers.kit.parsing import form_fields
from imagegateway.providers.openai import answers, streams
from imagegateway.providers.openai.catalog import DALLE, INPUT_FIDELITY
from imagegateway.providers.openai.masks import transparent_where_white
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imagegateway.providers.kit.adapter import StreamDecoder
    from imagegateway.providers.kit.call import Call
    from imagegateway.providers.kit.http_messages import HttpResponse
    from imagegateway.providers.kit.outcomes import Outcome

_COMPRESSED: Final = frozenset({"jpeg", "webp"})
_GPT_QUALITY: Final = {"standard": "medium", "hd": "high"}
_RETRY_AFTER: Final = re.compile(r"try again in ((?:[0-9]+(?:\.[0-9]+)?(?:ms|h|m|s))+)")
_DURATION: Final = re.compile(r"([0-9.]+)(ms|h|m|s)")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_VIOLATION: Final = re.compile(r"safety_violations=\[([a-z_/, -]*)\]")
# Hosts refuse a retired model in different words.
_RETIRED: Final = re.compile(
    r"\bmodel\b.*\b(?:deprecated|retired|discontinued|shut down|no longer|not exist)", re.IGNORECASE
)


class OpenAIAdapter(Adapter):
    """Adapter of OpenAI's Images API.

    Source: OpenAI's OpenAPI document 2.3.0 and its Python SDK 3.57.0, read 2026-11-28.
    """

    route = "openai"
    default_base_url = "https://api.openai.com"
    version = "/v1"
    max_images_per_call = 10
    timeout_seconds = 240.0
    errors = ErrorTable(
        provider="OpenAI",
        by_status={
            400: ErrorReason.ERROR_REASON_INVALID_VALUE,
            401: ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS,
            403: ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS,
            404: ErrorReason.ERROR_REASON_MODEL_RETIRED,
            408: ErrorReason.ERROR_REASON_PROVIDER_TIMEOUT,
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
        # 503 means overload, before any work. The page does not say whether 500 is charged.
        uncharged=UnchargedErrors(
            frozenset({503}), "https://developers.openai.com/api/docs/guides/error-codes", date(2026, 11, 22)
        ),
    )

    def auth_headers(self, credential: str) -> Mapping[str, str]:
        return {"authorization": f"Bearer {credential}"}

    def submit(self, call: Call) -> HttpRequest:
        fields = call.with_options(_fields(call))
        if not call.inputs:
            return HttpRequest("POST", "/images/generations", json=fields)
        return HttpRequest("POST", "/images/edits", fields=form_fields(_bracketed(fields)), files=_files(call))

    def read_submit(self, call: Call, response: HttpResponse) -> Outcome:
        body = response.json_object()
        images = tuple(answers.parse_image(entry) for entry in body["data"] if answers.has_image(entry))
        return answers.outcome_of(call, images, [body.get("usage")], svg_usage=body.get("svg_usage"))

    def stream_decoder(self, call: Call, head: HttpResponse) -> StreamDecoder | None:
        if not streams.is_stream(head):
            return None
        return streams.ImageStream(call, lambda error: replace(self._failure(call, head, error), may_be_billed=True))

    def probe(self) -> HttpRequest:
        return HttpRequest("GET", "/models")

    def read_error(self, call: Call, response: HttpResponse) -> Failure:
        error = response.json_object().get("error")
        return self._failure(call, response, error if isinstance(error, dict) else {})

    def _failure(self, call: Call, response: HttpResponse, error: Mapping[str, Any]) -> Failure:
        code, param = str(error.get("code") or error.get("type") or ""), str(error.get("param") or "")
        message = error.get("message")
        message = message if isinstance(message, str) else ""
        if call.model.retired_at and (param == "model" or (response.status == 400 and _RETIRED.search(message))):
            code = "model_not_found"  # the catalog's native id, not the caller, is wrong
        if code not in self.errors.by_code and _VIOLATION.search(message):
            code = "moderation_blocked"
        failure = self.errors.lookup(response, code=code, detail=message, param=param)
        if failure.reason == ErrorReason.ERROR_REASON_MODERATION_BLOCKED:
            details = error.get("moderation_details") or response.json_object().get("moderation_details")
            return _moderated(call, error, details)
        pause = _RETRY_AFTER.search(message)
        if failure.reason == ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED and failure.retry_after is None and pause:
            seconds = sum(float(number) * _SECONDS[unit] for number, unit in _DURATION.findall(pause[1]))
            return replace(failure, retry_after=seconds)
        return failure


def _fields(call: Call) -> dict[str, Any]:
    task, native = call.task, call.route.native_id
    fields: dict[str, Any] = {"model": native, "prompt": task.prompt, "n": call.count}
    if task.width:
        fields["size"] = f"{task.width}x{task.height}"
    return {**fields, **(_dalle_fields(call) if native in DALLE else _gpt_fields(call))}


def _dalle_fields(call: Call) -> dict[str, Any]:
    fields = {"response_format": "b64_json"}
    for name in ("quality", "style", "user"):
        if getattr(call.task, name):
            fields[name] = getattr(call.task, name)
    unsupported_options.warn_fields(call, "moderation", "input_fidelity")
    return fields


def _gpt_fields(call: Call) -> dict[str, Any]:
    task = call.task
    fields: dict[str, Any] = {}
    if task.quality:
        fields["quality"] = _GPT_QUALITY.get(task.quality, task.quality)
    for name in ("background", "output_format", "moderation", "complexity", "frame_count", "frame_duration_ms"):
        if getattr(task, name):
            fields[name] = getattr(task, name)
    if task.user:
        fields["safety_identifier" if task.safety_identifier else "user"] = task.user
    if task.HasField("svg"):
        fields["svg"] = MessageToDict(task.svg)
    if task.HasField("output_compression") and task.output_format in _COMPRESSED:
        fields["output_compression"] = task.output_compression
    if task.input_fidelity and call.inputs:
        if task.input_fidelity in INPUT_FIDELITY.get(call.route.native_id, ()):
            fields["input_fidelity"] = task.input_fidelity
        else:
            message = f"{call.model.id} does not support input fidelity {task.input_fidelity!r}."
            call.warn("unsupported_parameter", "input_fidelity", message)
    if task.partial_images:
        fields["stream"], fields["partial_images"] = True, task.partial_images
    return fields


def _bracketed(fields: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the fields of a form, with objects flattened to OpenAI's names such as `svg[model]`."""
    form: dict[str, Any] = {}
    for name, value in fields.items():
        path = f"{prefix}[{name}]" if prefix else name
        form |= _bracketed(value, path) if isinstance(value, dict) else {path: value}
    return form


def _files(call: Call) -> tuple[FilePart, ...]:
    name = "image" if len(call.inputs) == 1 else "image[]"
    files = [image.file_part(name, f"image-{index}") for index, image in enumerate(call.inputs)]
    if call.mask is not None:
        files.append(FilePart("mask", "mask.png", transparent_where_white(call.mask.data), "image/png"))
    if call.markup is not None:
        files.append(call.markup.file_part("markup", "markup"))
    return tuple(files)


def _moderated(call: Call, error: Mapping[str, Any], details: Any) -> Failure:
    """Return the failure of a blocked call: nothing was made, unless the details name the output stage."""
    details = details if isinstance(details, dict) else {}
    output = details.get("moderation_stage") == "output"
    categories = details.get("categories")
    if not isinstance(categories, list):
        listed = _VIOLATION.search(str(error.get("message")))
        categories = [name.strip() for name in listed[1].split(",") if name.strip()] if listed else []
    refused = RefusedPart.RESULT if output else refused_part(call)
    return moderation_failure("OpenAI", refused, may_be_billed=output, categories=categories)
