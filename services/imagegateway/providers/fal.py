"""Adapter base class for fal's queue: submit to an app, poll the status, fetch the response.

A family's subclass adds the fields of its apps.
"""

from __future__ import annotations

import json
import re
from abc import abstractmethod
from dataclasses import replace
from datetime import date
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from imagegateway.providers.kit.adapter import Adapter
from imagegateway.providers.kit.error_table import (
    ErrorTable,
    Failure,
    RefusedPart,
    UnchargedErrors,
    moderation_failure,
    refused_part,
)
from imagegateway.providers.kit.http_messages import HttpRequest
from imagegateway.providers.kit.outcomes import Finished, Pending, ResultMedia, Unknown
from imagegateway.providers.kit.parsing import parse_seed
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imagegateway.providers.kit.call import Call
    from imagegateway.providers.kit.http_messages import HttpResponse
    from imagegateway.providers.kit.outcomes import Outcome

_FIRST_POLL_SECONDS: Final = 0.5
_POLL_SECONDS: Final = 1.0
_LOCKED: Final = re.compile(r"\b(lock|locked|balance)\b", re.IGNORECASE)
"""Words of a 403 for lack of the account's credit."""


class _Stage(StrEnum):
    """Next request for a task: its status, its result, or the response that explains its failure."""

    STATUS = "status"
    RESULT = "result"
    FAILED = "failed"


_BLOCKED: Final = moderation_failure("fal", RefusedPart.RESULT, may_be_billed=True)
_TASK_FAILED: Final = Failure(ErrorReason.ERROR_REASON_PROVIDER_ERROR, "fal failed.", may_be_billed=True)
_NO_IMAGE: Final = Failure(
    ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE, "fal answered without an image.", may_be_billed=True
)


class FalAdapter(Adapter):
    """Adapter of one family's apps on fal.

    Source: fal.ai/docs (queue, errors, platform headers) and fal's own clients, read 2026-11-22.

    A reference is JSON: `at`, the stage; `urls` from the response to submit; and `error`, the error type from the
    status of a failed request.
    """

    route = "fal"
    default_base_url = "https://queue.fal.run"
    trusted_hosts = ("queue.fal.run",)
    timeout_seconds = 60.0
    errors = ErrorTable(
        provider="fal",
        by_status={
            400: ErrorReason.ERROR_REASON_INVALID_VALUE,
            401: ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS,
            402: ErrorReason.ERROR_REASON_PROVIDER_BILLING,
            403: ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS,
            404: ErrorReason.ERROR_REASON_MODEL_RETIRED,
            410: ErrorReason.ERROR_REASON_MODEL_RETIRED,
            413: ErrorReason.ERROR_REASON_FILE_TOO_LARGE,
            422: ErrorReason.ERROR_REASON_INVALID_VALUE,
            429: ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED,
            503: ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE,
            504: ErrorReason.ERROR_REASON_PROVIDER_TIMEOUT,
        },
        by_code={
            "account_locked": ErrorReason.ERROR_REASON_PROVIDER_BILLING,
            "content_policy_violation": ErrorReason.ERROR_REASON_MODERATION_BLOCKED,
            "no_media_generated": ErrorReason.ERROR_REASON_PROVIDER_ERROR,
            "downstream_service_error": ErrorReason.ERROR_REASON_PROVIDER_ERROR,
            "image_too_small": ErrorReason.ERROR_REASON_INVALID_IMAGE,
            "image_too_large": ErrorReason.ERROR_REASON_INVALID_IMAGE,
            "image_load_error": ErrorReason.ERROR_REASON_INVALID_IMAGE,
            "file_too_large": ErrorReason.ERROR_REASON_INVALID_IMAGE,
            "face_detection_error": ErrorReason.ERROR_REASON_INVALID_IMAGE,
            "unsupported_image_format": ErrorReason.ERROR_REASON_INVALID_IMAGE,
            "feature_not_supported": ErrorReason.ERROR_REASON_UNSUPPORTED_PARAMETER,
            "concurrent_requests_limit": ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED,
            "client_cancelled": ErrorReason.ERROR_REASON_CANCELLED,
            "request_timeout": ErrorReason.ERROR_REASON_PROVIDER_TIMEOUT,
            "startup_timeout": ErrorReason.ERROR_REASON_PROVIDER_TIMEOUT,
            "generation_timeout": ErrorReason.ERROR_REASON_PROVIDER_TIMEOUT,
        },
        # fal bills no 5xx of an app, which `read_error` finds; of the ingress's 5xx, 503 alone is certainly free.
        uncharged=UnchargedErrors(frozenset({503}), "https://docs.fal.ai/errors", date(2026, 11, 22)),
    )
    defaults: Mapping[str, Any] = {}
    """Values of fields that neither the gateway nor the caller's options set."""
    params: Mapping[str, str] = {}
    """The gateway's field for each of the apps' own, where the names differ: errors name the gateway's."""

    @abstractmethod
    def app(self, call: Call) -> str:
        """Return the app that serves this call, with its path: `owner/alias/path`."""

    @abstractmethod
    def arguments(self, call: Call) -> dict[str, Any]:
        """Return the app's input, without the caller's options. Raises GatewayError for an unsupported request."""

    def read_output(self, call: Call, output: Mapping[str, Any]) -> Outcome:
        """Return the outcome of the app's output: by default its `images` or its `image`, without flagged ones."""
        files = output.get("images") or [output["image"]]
        return finished(files, output.get("has_nsfw_concepts"), seed=output.get("seed"), count=call.count)

    def auth_headers(self, credential: str) -> Mapping[str, str]:
        return {"authorization": f"Key {credential}"}

    def probe(self) -> HttpRequest:
        # No such request exists; fal says so to valid keys only.
        return HttpRequest("GET", "/fal-ai/fast-sdxl/requests/00000000-0000-0000-0000-000000000000/status")

    def accepts_key(self, response: HttpResponse) -> bool:
        return response.status == 404 and response.json_object().get("status") == "NOT_FOUND"

    def submit(self, call: Call) -> HttpRequest:
        return HttpRequest("POST", f"/{self.app(call)}", json=call.with_options(self.arguments(call), self.defaults))

    def read_submit(self, call: Call, response: HttpResponse) -> Outcome:
        answer = response.json_object()
        urls = {name: str(answer.get(f"{name}_url") or "") for name in ("status", "response", "cancel")}
        if not all(urls.values()):
            # The queue's paths leave out the app's own path.
            root = f"/{'/'.join(self.app(call).split('/')[:2])}/requests/{answer['request_id']}"
            urls = {"status": f"{root}/status", "response": root, "cancel": f"{root}/cancel"}
        return Pending(_ref(_Stage.STATUS, urls), after=_FIRST_POLL_SECONDS)

    def poll(self, call: Call, ref: str) -> HttpRequest:
        task = json.loads(ref)
        return HttpRequest("GET", task["urls"]["status" if task["at"] == _Stage.STATUS else "response"])

    def read_poll(self, call: Call, ref: str, response: HttpResponse) -> Outcome:
        task = json.loads(ref)
        answer = response.json_object()
        if task["at"] == _Stage.RESULT:
            return self.read_output(call, answer)
        if task["at"] == _Stage.FAILED:
            return self._failure(call, response, task["error"])
        match answer["status"]:
            case "IN_QUEUE" | "IN_PROGRESS":
                return Pending(ref, after=_POLL_SECONDS)
            case "COMPLETED":
                # fal has no status for a failure; the response of a failed request states the error.
                error = answer.get("error_type") or ""
                stage = _Stage.FAILED if error or answer.get("error") else _Stage.RESULT
                return Pending(_ref(stage, task["urls"], str(error)), after=0.0)
            case other:
                return Unknown(str(other))

    def read_poll_error(self, call: Call, ref: str, response: HttpResponse) -> Outcome:
        task = json.loads(ref)
        if task["at"] == _Stage.FAILED:
            failure = self._failure(call, response, task["error"])
            # The missing resource is the response, not the app.
            return _TASK_FAILED if failure.reason == ErrorReason.ERROR_REASON_MODEL_RETIRED else failure
        if response.status in {404, 410}:
            # A request that is not visible yet looks like a deleted one.
            return Unknown("NOT_FOUND")
        if task["at"] == _Stage.STATUS or not self._is_from_app(response):
            outcome = super().read_poll_error(call, ref, response)
            return replace(outcome, may_be_billed=True) if isinstance(outcome, Failure) else outcome
        return self._failure(call, response)

    def cancel(self, call: Call, ref: str) -> HttpRequest | None:
        return HttpRequest("PUT", json.loads(ref)["urls"]["cancel"])

    def read_error(self, call: Call, response: HttpResponse) -> Failure:
        failure = self._failure(call, response, may_be_billed=False)
        if response.status >= 500 and self._is_from_app(response):
            # fal does not bill the app's 5xx; the effect of the ingress's is unknown.
            failure = replace(failure, may_be_billed=False, retry_once=True)
        return failure

    def _failure(
        self, call: Call, response: HttpResponse, error_type: str = "", *, may_be_billed: bool = True
    ) -> Failure:
        """Return the failure of an error response; `error_type`: the status's, for a response without one."""
        code, words, field = _parse_error(response)
        failure = self.errors.lookup(response, code=code or error_type, detail=words, param=self._param(field))
        if failure.reason == ErrorReason.ERROR_REASON_MODERATION_BLOCKED:
            return moderation_failure("fal", self._refused_part(call, field), may_be_billed=may_be_billed)
        return replace(failure, may_be_billed=may_be_billed or failure.may_be_billed)

    def _param(self, field: list[str]) -> str:
        """Return the gateway's name of a field of the app."""
        first, rest = field[:1], field[1:]
        return "".join([self.params.get(name, name) for name in first] + [_step(part) for part in rest])

    def _refused_part(self, call: Call, field: list[str]) -> RefusedPart:
        """Return the refused part by the field that the error names, else by the call's inputs."""
        by_param = {part.param: part for part in (RefusedPart.PROMPT, RefusedPart.INPUT)}
        return by_param.get(self._param(field[:1]), refused_part(call))

    @staticmethod
    def _is_from_app(response: HttpResponse) -> bool:
        """Return whether an error is fal's or the app's. 408 and 429 are limits of the queue, and a 5xx without an
        error type, a detail or a request id is the ingress's.
        """
        if response.status in {408, 429}:
            return False
        has_error = "detail" in response.json_object() or bool(_parse_error(response)[0])
        return response.status < 500 or "x-fal-request-id" in response.headers or has_error


def finished(
    files: Sequence[Mapping[str, Any]], flagged: Sequence[bool] | None = None, *, seed: Any = None, count: int = 0
) -> Outcome:
    """Return the outcome of file objects, of `count` requested images. A flagged file is black, and left out."""
    flags = [*(flagged or ()), *[False] * len(files)]
    kept = [file for file, flag in zip(files, flags, strict=False) if not flag]
    if not kept:
        return _BLOCKED if files else _NO_IMAGE
    # The seed is of the whole request: it reproduces the first image and no other.
    first_seed = parse_seed(seed) if kept[0] is files[0] else None
    results = (
        ResultMedia.from_url(_url(file), first_seed if index == 0 else None) for index, file in enumerate(kept)
    )
    missing = (_BLOCKED,) * (len(files) - len(kept)) + (_NO_IMAGE,) * (count - len(files))
    return Finished(tuple(results), missing=missing)


def _url(file: Mapping[str, Any]) -> str:
    """Return a file's URL, a `data:` URL with `sync_mode`, which callers can set. Raises TypeError."""
    url = file["url"]
    if not isinstance(url, str):
        raise TypeError("a file without a URL")
    return url


def _ref(stage: _Stage, urls: Mapping[str, str], error: str = "") -> str:
    return json.dumps({"at": stage, "urls": urls, "error": error})


def _parse_error(response: HttpResponse) -> tuple[str, str, list[str]]:
    """Return the error's type, its words, and the path of the field that it names."""
    answer = response.json_object()
    detail = answer.get("detail")
    kind = str(answer.get("error_type") or response.headers.get("x-fal-error-type", ""))
    if isinstance(detail, list) and detail and isinstance(detail[0], dict):
        first = detail[0]
        return str(first.get("type") or kind), str(first.get("msg", "")), _field(first.get("loc"))
    words = detail if isinstance(detail, str) else ""
    if response.status == 403 and _LOCKED.search(words):
        kind = "account_locked"
    return kind, words, []


def _step(part: str) -> str:
    return f"[{part}]" if part.isdecimal() else f".{part}"


def _field(loc: object) -> list[str]:
    parts = [str(part) for part in loc] if isinstance(loc, list) else []
    return parts[1:] if parts[:1] == ["body"] else parts
