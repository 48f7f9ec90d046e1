"""Bria's own API, version 2: submit, ask for the status, fetch one picture. There is no `n` and no cancel."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import pybase64
from imagegateway.v1.error_reason_pb2 import ErrorReason

from services.bria import operations
from services.common.adapter import Adapter, ErrorTable, Failure, Finished, Found, Outgoing, Pending, Reply, Unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.common.adapter import Call, Outcome, Picture

# Asking for a status counts against the requests per minute.
_FIRST_POLL: Final = 2.0
_PACE: Final = 3.0

# Moderation has no code of its own: it is a 422 whose words tell.
_MODERATED: Final = re.compile(r"moderat|content[ _-]?policy|nsfw|unsafe|inappropriate", re.IGNORECASE)
_MODERATION: Final = "moderation"


class BriaAdapter(Adapter):
    """Source: Bria's OpenAPI documents and its pages on errors and rate limits, read 2026-11-22."""

    route = "bria"
    origin = "https://engine.prod.bria-api.com"
    version = "/v2"
    errors = ErrorTable(
        provider="Bria",
        by_status={
            400: ErrorReason.ERROR_REASON_INVALID_VALUE,
            401: ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS,
            403: ErrorReason.ERROR_REASON_PROVIDER_BILLING,
            404: ErrorReason.ERROR_REASON_MODEL_RETIRED,
            413: ErrorReason.ERROR_REASON_INVALID_IMAGE,
            415: ErrorReason.ERROR_REASON_INVALID_IMAGE,
            422: ErrorReason.ERROR_REASON_INVALID_VALUE,
            429: ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED,
            460: ErrorReason.ERROR_REASON_INVALID_IMAGE,
        },
        by_code={
            _MODERATION: ErrorReason.ERROR_REASON_MODERATION_BLOCKED,
            "VALIDATION_ERROR": ErrorReason.ERROR_REASON_INVALID_VALUE,
        },
    )

    def auth(self, credential: str) -> Mapping[str, str]:
        return {"api_token": credential}

    def submit(self, call: Call) -> Outgoing:
        return Outgoing("POST", call.route.native, json={**operations.arguments(call, _encoded), **call.options})

    def read_submit(self, call: Call, reply: Reply) -> Outcome:
        answer = reply.dict()
        if "result" in answer:  # the caller's own options can ask for a whole answer
            return _finished(call, answer["result"])
        if answer.get("error"):
            return self._failed(answer["error"])
        return Pending(str(answer["request_id"]), after=_FIRST_POLL)

    def poll(self, call: Call, ref: str) -> Outgoing:
        return Outgoing("GET", f"/status/{quote(ref, safe='')}")

    def read_poll(self, call: Call, ref: str, reply: Reply) -> Outcome:
        answer = reply.dict()
        match answer["status"]:
            case "IN_PROGRESS":
                return Pending(ref, after=_PACE)
            case "COMPLETED":
                return _finished(call, answer["result"])
            case "ERROR" | "FAILED" | "UNKNOWN":  # UNKNOWN is Bria's word for a fault of its own
                return self._failed(answer.get("error"))
            case other:
                return Unknown(str(other))

    def read_poll_error(self, call: Call, ref: str, reply: Reply) -> Outcome:
        if reply.status == 404:
            # A task that is not visible yet looks like one that has expired.
            return Unknown(str(reply.dict().get("status", "NOT_FOUND")))
        outcome = super().read_poll_error(call, ref, reply)
        return replace(outcome, accepted=True) if isinstance(outcome, Failure) else outcome

    def read_error(self, call: Call, reply: Reply) -> Failure:
        return self._failure(reply, reply.dict().get("error"))

    def _failed(self, error: Any) -> Failure:
        """The error of a task, which stands in an answer with status 200."""
        code = str(error.get("code")) if isinstance(error, dict) else ""
        # Bria writes an HTTP status here, or a word.
        status = int(code) if code.isdigit() else 200
        return replace(self._failure(Reply(status, {}, b""), error), accepted=True)

    def _failure(self, reply: Reply, error: Any) -> Failure:
        told = error if isinstance(error, dict) else {}
        words = ": ".join(str(told[name]) for name in ("message", "details") if told.get(name))
        if not _MODERATED.search(f"{told.get('code', '')} {words}"):
            return self.errors.lookup(reply, code=str(told.get("code", "")), detail=words)
        of_result = "output" in words.lower()
        what = "result" if of_result else "prompt or the picture"
        return replace(
            self.errors.lookup(reply, code=_MODERATION),
            message=f"Bria refused the {what} by its content policy.",
            param="" if of_result else "prompt",
            accepted=of_result,
        )


def _encoded(picture: Picture) -> str:
    return pybase64.b64encode_as_string(picture.data)


def _finished(call: Call, result: dict[str, Any]) -> Finished:
    seed = str(result.get("seed", call.seed))  # a number, or one as text
    return Finished(
        (
            Found(
                url=result["image_url"],
                seed=int(seed) if seed.isdigit() and int(seed) < 1 << 32 else None,
                revised_prompt=str(result.get("refined_prompt") or ""),
            ),
        )
    )
