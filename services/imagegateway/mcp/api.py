"""Client of the gateway's public REST API, with one caller's credentials."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import httpx  # noqa: TID251  calls the gateway itself, no URL from outside
import orjson
from imagegateway.outbound import sse
from imagegateway.platform import trace_context

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping
    from pathlib import Path

GENERATIONS: Final = "/v1/images/generations"
EDITS: Final = "/v1/images/edits"
VIDEOS: Final = "/v1/videos/generations"
ENDED: Final = frozenset({"completed", "failed", "cancelled"})
"""Statuses of jobs that do not change any more."""
_SECONDS: Final = 60.0
"""Timeout of a call. Events come every 15 s."""
_PAUSES: Final = (0.5, 2.0, 5.0)
"""Pauses before repeats of a call without a response, or refused for a time, in seconds."""

Json = dict[str, Any]


class ApiError(Exception):
    """Error of the API, or of the way to it: one sentence for people that names the field."""

    def __init__(self, message: str, response: httpx.Response | None = None, *, passes: bool = False) -> None:
        super().__init__(message)
        self.response = response
        """The refusal, with its body. None: none arrived, or a tool refuses an argument."""
        self.passes = passes
        """True: a repeat of the call may succeed, and an earlier attempt may have begun a job."""


@dataclass(frozen=True, slots=True)
class GatewayApi:
    """The API as one caller sees it."""

    client: httpx.AsyncClient
    headers: Mapping[str, str]
    """The caller's credentials."""

    async def submit(self, path: str, request: Json, idempotency_key: str) -> str:
        """Start a job and return its id. The key makes repeats of the call the same job. Raises ApiError."""
        headers = {"prefer": "respond-async", "idempotency-key": idempotency_key}
        try:
            job = await self._json("POST", path, headers=headers, content=orjson.dumps(request))
        except ApiError as error:
            if not error.passes:
                raise
            raise ApiError(
                f"{error} Whether a job began is unknown: call again with the same arguments and idempotency_key "
                f"{idempotency_key}, which costs nothing twice."
            ) from error
        return str(job["id"])

    async def job(self, job_id: str) -> Json:
        """Return a job. Raises ApiError."""
        return await self._json("GET", f"/v1/jobs/{job_id}")

    async def cancel(self, job_id: str) -> Json:
        """Cancel a job and return it. Raises ApiError."""
        return await self._json("POST", f"/v1/jobs/{job_id}/cancel")

    async def models(self, modality: str | None = None) -> list[Json]:
        """Return the models that the caller may use. Raises ApiError."""
        models: list[Json] = (await self._json("GET", "/v1/models", params={"modality": modality or ""}))["data"]
        return models

    async def check_key(self) -> None:
        """Raise ApiError unless the API takes the caller's key."""
        # The shortest response that every scope may read.
        await self._json("GET", "/v1/models", params={"modality": "video"})

    async def events(self, job_id: str) -> AsyncGenerator[Json, None]:
        """Yield a job: its present state first, then each change to its end. Raises ApiError."""
        async with self._response("GET", f"/v1/jobs/{job_id}/events") as response:
            parser = sse.Parser()
            async for piece in response.aiter_bytes():
                for event in parser.feed(piece):
                    yield orjson.loads(event)

    async def file(self, job_id: str, name: str, max_bytes: int) -> bytes | None:
        """Return a file of a job, or None for one over `max_bytes`. Raises ApiError."""
        async with self._response("GET", f"/v1/files/jobs/{job_id}/{name}") as response:
            if int(response.headers.get("content-length", 0)) > max_bytes:
                return None
            content = bytearray()
            async for piece in response.aiter_bytes():
                content += piece
                if len(content) > max_bytes:
                    return None
            return bytes(content)

    async def _json(self, method: str, path: str, **options: Any) -> Json:
        """Return the JSON of a response. Repeat a call whose error may pass: every call here is idempotent."""
        for pause in (*_PAUSES, None):
            try:
                async with self._response(method, path, **options) as response:
                    body = await response.aread()
                return orjson.loads(body) if body else {}
            except ApiError as error:
                if pause is None or not error.passes:
                    raise
                await asyncio.sleep(pause)
        raise AssertionError("unreachable")

    @asynccontextmanager
    async def _response(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **options: Any
    ) -> AsyncIterator[httpx.Response]:
        """Yield a successful response before its body. Raises ApiError, also for a body that breaks off."""
        position = trace_context.current()
        trace = position.headers() if position else {}
        given = {"content-type": "application/json", **trace, **self.headers, **(headers or {})}
        try:
            async with self.client.stream(method, path, headers=given, **options) as response:
                if response.is_error:
                    await response.aread()
                    raise _refusal(response)
                yield response
        except httpx.HTTPError as error:
            raise ApiError("The gateway can't be reached.", passes=True) from error


def _refusal(response: httpx.Response) -> ApiError:
    """Return the error of a response in one sentence, with the name of the field if the sentence lacks it."""
    try:
        error = orjson.loads(response.content)["error"]
        message, param = str(error["message"]), error["param"]
    except (ValueError, TypeError, LookupError):
        message, param = f"The gateway's response has the status {response.status_code}.", None
    if param and str(param) not in message:
        message = f"{param}: {message}"
    passes = response.is_server_error and response.headers.get("x-should-retry") != "false"
    return ApiError(message, response, passes=passes)


def file_name(url: str) -> str:
    """Return the name of a job's file from its signed URL: index and extension."""
    return url.partition("?")[0].rpartition("/")[2]


def client(base_url: str, socket: Path | None = None) -> httpx.AsyncClient:
    """Return a client of the gateway at `base_url`, over its UNIX socket if there is one."""
    return httpx.AsyncClient(
        base_url=base_url,
        transport=httpx.AsyncHTTPTransport(uds=str(socket)) if socket else None,
        timeout=_SECONDS,
        trust_env=socket is None,
        headers={"user-agent": "imagegateway-mcp"},
        limits=httpx.Limits(max_connections=None),
    )
