"""fal's queue: submit to an app, ask for its status, fetch its answer. A family's subclass knows the app's fields."""

from __future__ import annotations

import json
import re
from abc import abstractmethod
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from imagegateway.providers.kit.adapter import Adapter, Finished, HttpRequest, Pending, ResultMedia, Unknown
from imagegateway.providers.kit.error_table import (
    ErrorTable,
    Failure,
    RefusedPart,
    UnchargedErrors,
    moderation_failure,
    refused_part,
)
from imagegateway.providers.kit.parsing import parse_seed
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imagegateway.providers.kit.adapter import Call, HttpResponse, Outcome

_FIRST_POLL: Final = 0.5
_PACE: Final = 1.0
_LOCKED: Final = re.compile(r"\b(lock|locked|balance)\b", re.IGNORECASE)
"""Words of a 403 that speaks of the account's credit."""

# Where a reference stands: the queue is asked, the answer is fetched, the answer of a failed request is fetched.
_STATUS: Final = "status"
_RESULT: Final = "result"
_FAILED: Final = "failed"

_BLOCKED: Final = moderation_failure("fal", RefusedPart.RESULT, may_be_billed=True)
_FAILED_SO: Final = Failure(ErrorReason.ERROR_REASON_PROVIDER_ERROR, "fal failed.", may_be_billed=True)
_LEFT_OUT: Final = Failure(
    ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE, "fal answered without an image.", may_be_billed=True
)


class FalAdapter(Adapter):
    """Source: fal.ai/docs (queue, errors, platform headers) and fal's own clients, read 2026-11-22.

    A reference is JSON: `at` (status, result or failed), `urls` of the submit's answer, and `error`, the type that a
    failed request's status named.
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
        # "5xx are not billed": the app's own, which `read_error` tells from the ingress's; those but for 503 are not.
        uncharged=UnchargedErrors(frozenset({503}), "https://docs.fal.ai/errors", date(2026, 11, 22)),
    )
    defaults: Mapping[str, Any] = {}
    """What the app is sent where neither the gateway nor the caller's options say anything."""
    params: Mapping[str, str] = {}
    """The gateway's field for each of the apps' own, where the names differ: errors name ours."""

    @abstractmethod
    def app(self, call: Call) -> str:
        """The app that serves this call, with its path: `owner/alias/path`."""

    @abstractmethod
    def arguments(self, call: Call) -> dict[str, Any]:
        """The app's input, without the caller's own options. Raises GatewayError for what it can't be asked."""

    def read_output(self, call: Call, output: Mapping[str, Any]) -> Outcome:
        """What the app's output says: by default its `images` or its `image`, the flagged ones left out."""
        files = output.get("images") or [output["image"]]
        return finished(files, output.get("has_nsfw_concepts"), seed=output.get("seed"), count=call.count)

    def auth_headers(self, credential: str) -> Mapping[str, str]:
        return {"authorization": f"Key {credential}"}

    def probe(self) -> HttpRequest:
        # There is no such request, which is told to good keys only.
        return HttpRequest("GET", "/fal-ai/fast-sdxl/requests/00000000-0000-0000-0000-000000000000/status")

    def accepts_key(self, response: HttpResponse) -> bool:
        return response.status == 404 and response.json_object().get("status") == "NOT_FOUND"

    def submit(self, call: Call) -> HttpRequest:
        return HttpRequest("POST", f"/{self.app(call)}", json=call.with_options(self.arguments(call), self.defaults))

    def read_submit(self, call: Call, response: HttpResponse) -> Outcome:
        answer = response.json_object()
        urls = {name: str(answer.get(f"{name}_url") or "") for name in ("status", "response", "cancel")}
        if not all(urls.values()):
            # The app's own path is no part of the queue's.
            root = f"/{'/'.join(self.app(call).split('/')[:2])}/requests/{answer['request_id']}"
            urls = {"status": f"{root}/status", "response": root, "cancel": f"{root}/cancel"}
        return Pending(_ref(_STATUS, urls), after=_FIRST_POLL)

    def poll(self, call: Call, ref: str) -> HttpRequest:
        standing = json.loads(ref)
        return HttpRequest("GET", standing["urls"]["status" if standing["at"] == _STATUS else "response"])

    def read_poll(self, call: Call, ref: str, response: HttpResponse) -> Outcome:
        standing = json.loads(ref)
        answer = response.json_object()
        if standing["at"] == _RESULT:
            return self.read_output(call, answer)
        if standing["at"] == _FAILED:
            return self._failure(call, response, standing["error"])
        match answer["status"]:
            case "IN_QUEUE" | "IN_PROGRESS":
                return Pending(ref, after=_PACE)
            case "COMPLETED":
                # There is no state for a failure; the answer of a failed request says what was wrong.
                error = answer.get("error_type") or ""
                at = _FAILED if error or answer.get("error") else _RESULT
                return Pending(_ref(at, standing["urls"], str(error)), after=0.0)
            case other:
                return Unknown(str(other))

    def read_poll_error(self, call: Call, ref: str, response: HttpResponse) -> Outcome:
        standing = json.loads(ref)
        if standing["at"] == _FAILED:
            failure = self._failure(call, response, standing["error"])
            # What is gone is the answer, not the app.
            return _FAILED_SO if failure.reason == ErrorReason.ERROR_REASON_MODEL_RETIRED else failure
        if response.status in {404, 410}:
            # A request that is not visible yet looks like one that is gone.
            return Unknown("NOT_FOUND")
        if standing["at"] == _STATUS or not self._of_the_app(response):
            outcome = super().read_poll_error(call, ref, response)
            return replace(outcome, may_be_billed=True) if isinstance(outcome, Failure) else outcome
        return self._failure(call, response)

    def cancel(self, call: Call, ref: str) -> HttpRequest | None:
        return HttpRequest("PUT", json.loads(ref)["urls"]["cancel"])

    def read_error(self, call: Call, response: HttpResponse) -> Failure:
        failure = self._failure(call, response, may_be_billed=False)
        if response.status >= 500 and self._of_the_app(response):
            # fal's own 5xx is not billed; of the ingress's nobody knows what is behind it.
            failure = replace(failure, may_be_billed=False, retry_once=True)
        return failure

    def _failure(self, call: Call, response: HttpResponse, told: str = "", *, may_be_billed: bool = True) -> Failure:
        """`told`: the type that the status named, for answers that name none."""
        code, words, where = _problem(response)
        failure = self.errors.lookup(response, code=code or told, detail=words, param=self._param(where))
        if failure.reason == ErrorReason.ERROR_REASON_MODERATION_BLOCKED:
            return moderation_failure("fal", self._refused(call, where), may_be_billed=may_be_billed)
        return replace(failure, may_be_billed=may_be_billed or failure.may_be_billed)

    def _param(self, where: list[str]) -> str:
        first, rest = where[:1], where[1:]
        return "".join([self.params.get(name, name) for name in first] + [_step(part) for part in rest])

    def _refused(self, call: Call, where: list[str]) -> RefusedPart:
        """What was refused, by the field that the error names."""
        named = {refused.param: refused for refused in (RefusedPart.PROMPT, RefusedPart.INPUT)}
        return named.get(self._param(where[:1]), refused_part(call))

    @staticmethod
    def _of_the_app(response: HttpResponse) -> bool:
        """Whether an error is fal's or the app's: a 5xx without these is the ingress's, and passes as limits do."""
        if response.status in {408, 429}:
            return False
        told = "detail" in response.json_object() or bool(_problem(response)[0])
        return response.status < 500 or "x-fal-request-id" in response.headers or told


def finished(
    files: Sequence[Mapping[str, Any]], flagged: Sequence[bool] | None = None, *, seed: Any = None, count: int = 0
) -> Outcome:
    """File objects as an outcome, of `count` that were asked for. A flagged one comes back black: it is left out."""
    flags = [*(flagged or ()), *[False] * len(files)]
    kept = [file for file, flag in zip(files, flags, strict=False) if not flag]
    if not kept:
        return _BLOCKED if files else _LEFT_OUT
    # The seed is of the whole request: it makes the first picture again and no other.
    first = parse_seed(seed) if kept[0] is files[0] else None
    pictures = (ResultMedia.from_url(_url(file), first if index == 0 else None) for index, file in enumerate(kept))
    missing = (_BLOCKED,) * (len(files) - len(kept)) + (_LEFT_OUT,) * (count - len(files))
    return Finished(tuple(pictures), missing=missing)


def _url(file: Mapping[str, Any]) -> str:
    """Where a file is; with `sync_mode`, which callers can set, it is in the URL itself."""
    url = file["url"]
    if not isinstance(url, str):
        raise TypeError("a file without a URL")
    return url


def _ref(at: str, urls: Mapping[str, str], error: str = "") -> str:
    return json.dumps({"at": at, "urls": urls, "error": error})


def _problem(response: HttpResponse) -> tuple[str, str, list[str]]:
    """The error's type, its words and the field it speaks of."""
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
