"""Call context: caller, preferences and response headers of one call.

REST headers arrive as gRPC metadata of the same name.
"""

from __future__ import annotations

import re
import time
from contextlib import nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

from imagegateway.keys import provider_keys
from imagegateway.platform import ids, logs, trace_context, tracing
from imagegateway.platform.client_address import client_address
from imagegateway.platform.errors import GatewayError, invalid
from imagegateway.platform.spans import NO_SPAN, SpanKind
from imagegateway.router.permissions import Permissions, check_scopes
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from imagegateway.keys.api_keys import ApiKey
    from imagegateway.keys.key_ring import KeyRing
    from imagegateway.keys.policy import Scope
    from imagegateway.platform.spans import Span
    from imagegateway.router.call_limiter import CallLimiter

_T = TypeVar("_T")

_BYOK: Final = "x-byok-"
_WHITESPACE: Final = " \t"
"""Whitespace around a header's value (RFC 9110). `str.strip` alone would remove bytes that are not ASCII, too."""
_OPENAI_SDK: Final = "x-stainless-"
"""Start of header names that OpenAI's SDKs, and those built on them, send with every call."""
_IMAGE_ONLY_AGENT: Final = re.compile(r"(?:^|\s)(?:ai-sdk[^/\s]*|litellm)/", re.IGNORECASE)
"""User agents of SDKs that read images and no jobs. Vercel's AI SDK names one of several packages (`ai-sdk/openai`,
`ai-sdk-provider-utils`); LiteLLM edits images without OpenAI's SDK."""
STATUS: Final = "x-http-status"
"""Response header with the status over REST; absent: 200. Envoy's hook removes it."""
LENGTH: Final = "x-content-length"
"""Response header with the length of a streamed body over REST. Envoy's hook removes it."""
_MAX_WAIT: Final = 600


@dataclass(frozen=True, slots=True)
class Preferences:
    """Preferences of the header `Prefer` (RFC 7240). Unknown ones are ignored, as the RFC requires."""

    strict: bool = False
    """`handling=strict`: warnings become errors."""
    wait: int | None = None
    """`wait=N`: hold the response for N seconds, at most 600."""
    respond_async: bool = False
    """`respond-async`: respond with the job at once."""
    dry_run: bool = False
    """`dry-run`: respond with the plan, and do nothing."""

    @classmethod
    def parse(cls, header: str) -> Preferences:
        """Return the preferences. Raises GatewayError for a wait that is not a whole number of seconds."""
        if not header:
            return NO_PREFERENCES
        found: dict[str, str] = {}
        for part in re.split(r"[,;]", header):
            name, _, value = part.strip().partition("=")
            # The first of equal preferences counts (RFC 7240, section 2).
            found.setdefault(name.strip().lower(), value.strip().strip('"'))
        wait: int | None = None
        if "wait" in found:
            if not re.fullmatch(r"\d{1,9}", found["wait"]):
                raise invalid("Prefer", "Prefer: wait must be a whole number of seconds.")
            wait = min(int(found["wait"]), _MAX_WAIT)
        return cls(
            strict=found.get("handling", "").lower() == "strict",
            wait=wait,
            respond_async="respond-async" in found,
            dry_run="dry-run" in found,
        )


NO_PREFERENCES: Final = Preferences()


@dataclass(slots=True)
class Call:
    """One call in progress."""

    request_id: str
    method: str
    metadata: Mapping[str, str]
    rest: bool
    """True for a call over REST, False for native gRPC and gRPC-Web."""
    key: ApiKey | None = None
    stated: Preferences = NO_PREFERENCES
    """Preferences of the call itself."""
    preferences: Preferences = NO_PREFERENCES
    """Preferences of the call, or the key's default ones without any: for calls that make jobs."""
    byok: Mapping[str, str] = field(default_factory=dict)
    """The caller's own provider keys by route: the headers `X-BYOK-<route>`."""
    body_idempotency_key: str = ""
    """The request field `request_id`."""
    headers: dict[str, str] = field(default_factory=dict)
    """Response metadata; over REST, response headers."""
    log: dict[str, object] = field(default_factory=dict)
    """Fields of the canonical log line."""
    key_guard: Callable[[], AbstractAsyncContextManager[None]] = nullcontext
    """Context for long waits: raises GatewayError INVALID_API_KEY in its body as soon as the caller's key is revoked
    or expires. `authenticate` sets it."""
    span: Span = NO_SPAN
    """The call's span; `call_record.record` ends it."""
    ended: bool = False
    """True after the response is sent, or after the caller has disconnected."""
    _releases: list[Callable[[], None]] = field(default_factory=list)

    def at_end(self, release: Callable[[], None]) -> None:
        """Call `release` at the end of the call, or now if the call has ended."""
        if self.ended:
            release()
        else:
            self._releases.append(release)

    def name_job(self, job_id: str) -> None:
        """Name the call's job on its further log lines."""
        self.log["job_id"] = job_id
        logs.add(job_id=job_id)

    def end(self) -> None:
        """Release the resources of the call. Idempotent."""
        self.ended = True
        while self._releases:
            self._releases.pop()()

    @property
    def idempotency_key(self) -> str:
        """Return the header `Idempotency-Key`, or the field `request_id`; empty: none."""
        return self.metadata.get("idempotency-key", "") or self.body_idempotency_key

    @property
    def head(self) -> bool:
        """Return True for HEAD: the response has GET's headers and no body."""
        return self.metadata.get("x-http-method") == "HEAD"

    @property
    def needs_images(self) -> bool:
        """Return True when the headers name an SDK that reads images and no jobs."""
        return bool(_IMAGE_ONLY_AGENT.search(self.metadata.get("user-agent", ""))) or any(
            name.startswith(_OPENAI_SDK) for name in self.metadata
        )

    @property
    def permissions(self) -> Permissions:
        """Return the permissions of the caller's key. Raises RuntimeError before `authenticate`."""
        return Permissions.of(self.caller)

    @property
    def caller(self) -> ApiKey:
        """Return the caller's key. Raises RuntimeError before `authenticate`."""
        if self.key is None:
            raise RuntimeError("the call is not authenticated")
        return self.key

    @property
    def tenant(self) -> str:
        """Return the caller's tenant. Raises RuntimeError before `authenticate`."""
        return self.caller.tenant


_current: ContextVar[Call] = ContextVar("call")


def current() -> Call:
    """Return the call that runs in this task."""
    return _current.get()


def decode(value: str | bytes) -> str:
    """Return a header's value as text of one character per byte, whichever server has read it."""
    if isinstance(value, str):
        if value.isascii():
            return value
        value = value.encode("utf-8", "surrogateescape")
    return value.decode("latin-1")


def begin(method: str, metadata: Mapping[str, str], *, rest: bool) -> Call:
    """Return a new call, and make it the current one. It continues the caller's trace.

    Its request id is the caller's, if well-formed.
    """
    request_id = ids.request_id(metadata.get("x-request-id", ""))
    logs.enter(request_id=request_id)
    trace_context.continue_from(metadata)
    span = tracing.span(method, SpanKind.SERVER, {"imagegateway.request.id": request_id})
    span.activate()
    call = Call(
        request_id=request_id,
        method=method,
        metadata=metadata,
        rest=rest,
        byok={
            name.removeprefix(_BYOK): key.strip(_WHITESPACE)
            for name, key in metadata.items()
            if name.startswith(_BYOK) and key.strip(_WHITESPACE)
        },
        headers={"x-request-id": request_id},
        log={"client": client_address(metadata)},
        span=span,
    )
    _current.set(call)
    return call


def missing_key() -> GatewayError:
    """Return the error of a call without a key."""
    return GatewayError(
        ErrorReason.ERROR_REASON_INVALID_API_KEY,
        "An API key is required: send it as `Authorization: Bearer <key>`.",
    )


def expired_key() -> GatewayError:
    """Return the error of a call with a key whose time is over."""
    return GatewayError(ErrorReason.ERROR_REASON_INVALID_API_KEY, "The API key has expired.")


def unknown_key() -> GatewayError:
    """Return the error of a call with an invalid key."""
    return GatewayError(ErrorReason.ERROR_REASON_INVALID_API_KEY, "The API key is unknown or revoked.")


async def authenticate(call: Call, ring: KeyRing, limiter: CallLimiter, enough: frozenset[Scope]) -> None:
    """Set the call's key, preferences and rate limit headers. `enough`: scopes of which the key needs one.

    Raises GatewayError INVALID_API_KEY, INSUFFICIENT_SCOPE, and for a malformed Prefer, Idempotency-Key or X-BYOK
    header.
    """
    scheme, _, secret = call.metadata.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise missing_key()
    key = await ring.find(secret.strip())
    if key is None:
        raise unknown_key()
    if key.is_over(time.time()):
        raise expired_key()
    call.key = key
    call.key_guard = lambda: ring.hold(key, unknown_key)
    call.log["tenant"] = key.tenant
    call.log["key_id"] = key.id
    ring.note_use(key)
    await limiter.set_headers(call.headers, key)  # before any error, which carries the headers too
    check_scopes(key, enough)
    header = call.metadata.get("prefer", "")
    call.stated = Preferences.parse(header)
    call.preferences = call.stated if header else Preferences.parse(key.prefer)
    if not call.idempotency_key.isascii():
        raise invalid("Idempotency-Key", "An idempotency key has ASCII characters only.")
    for route, provider_key in call.byok.items():
        provider_keys.check(provider_key, f"X-BYOK-{route}")


async def stop_on_revocation(call: Call, items: AsyncIterator[_T]) -> AsyncIterator[_T]:
    """Yield the items. Raises GatewayError INVALID_API_KEY as soon as the caller's key is revoked or expires."""
    while True:
        async with call.key_guard():
            try:
                item = await anext(items)
            except StopAsyncIteration:
                return
        yield item
