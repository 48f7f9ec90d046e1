"""Who calls, and what the call's headers ask for. REST headers arrive as gRPC metadata of the same name."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from imagegateway.keys import provider_keys
from imagegateway.keys.api_keys import RevokedKeyError
from imagegateway.platform import ids
from imagegateway.platform.errors import GatewayError, invalid
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from imagegateway.keys.api_keys import Key, KeyRing

_T = TypeVar("_T")

_BYOK: Final = "x-byok-"
_BLANK: Final = " \t"
"""What surrounds a header's value (RFC 9110); Python's own idea of blanks includes bytes that are not ASCII."""
_OPENAI_SDK: Final = "x-stainless-"
"""Start of header names that OpenAI's SDKs, and those built on them, send with every call."""
_JOBLESS: Final = re.compile(r"(?:^|\s)(?:ai-sdk[^/\s]*|litellm)/", re.IGNORECASE)
"""Products of a user agent that read images and no jobs. Vercel's AI SDK names one package or another
(`ai-sdk/openai`, `ai-sdk-provider-utils`); LiteLLM edits images without OpenAI's SDK."""
STATUS: Final = "x-http-status"
"""The header by which an answer says its status over REST; without it, 200. Envoy's hook takes it out."""
LENGTH: Final = "x-content-length"
"""The header by which a streamed answer says its length over REST, as STATUS does."""
_MAX_WAIT: Final = 600


@dataclass(frozen=True, slots=True)
class Preferences:
    """The `Prefer` header (RFC 7240): what we know of it; the rest is ignored, as the RFC wants."""

    strict: bool = False
    """`handling=strict`: what would be a warning is an error."""
    wait: int | None = None
    """`wait=N`: hold the answer up to N seconds, at most 600."""
    respond_async: bool = False
    """`respond-async`: answer with the job at once."""

    @classmethod
    def parse(cls, header: str) -> Preferences:
        """Raises GatewayError for a wait that is not a whole number of seconds."""
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
        )


@dataclass(slots=True)
class Call:
    """One call as it runs: who, what it asked for, and what the answer's headers will say."""

    request_id: str
    method: str
    metadata: Mapping[str, str]
    rest: bool
    """True when Envoy made this call from REST."""
    key: Key | None = None
    stated: Preferences = field(default_factory=Preferences)
    """What the call itself prefers."""
    preferences: Preferences = field(default_factory=Preferences)
    """The same, or the key's default where the call states nothing: for calls that make jobs."""
    key_in_body: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    """Metadata of the answer; over REST, its headers."""
    log: dict[str, object] = field(default_factory=dict)
    """Facts for the canonical log line."""
    authorized: Callable[[], AbstractAsyncContextManager[None]] = nullcontext
    """Context for whatever may wait for long: once the caller's key has ended, it ends its body with GatewayError
    INVALID_API_KEY. `authenticate` sets it."""
    ended: bool = False
    """True once the answer is written, or its caller has gone."""
    _at_end: list[Callable[[], None]] = field(default_factory=list)

    def at_end(self, release: Callable[[], None]) -> None:
        """Have `release` called when the call has ended."""
        if self.ended:
            release()
        else:
            self._at_end.append(release)

    def end(self) -> None:
        """Release what the call holds. Harmless to repeat."""
        self.ended = True
        while self._at_end:
            self._at_end.pop()()

    @property
    def byok(self) -> dict[str, str]:
        """The caller's own provider keys, by route: `X-BYOK-<route>`."""
        return {
            name.removeprefix(_BYOK): key.strip(_BLANK)
            for name, key in self.metadata.items()
            if name.startswith(_BYOK) and key.strip(_BLANK)
        }

    @property
    def idempotency_key(self) -> str:
        """The header `Idempotency-Key`, or the field `request_id`; empty: none."""
        return self.metadata.get("idempotency-key", "") or self.key_in_body

    @property
    def head(self) -> bool:
        """True for HEAD, which asks for the headers of GET's answer."""
        return self.metadata.get("x-http-method") == "HEAD"

    @property
    def needs_images(self) -> bool:
        """True where the caller is an SDK that reads images and no jobs, by its own headers."""
        return bool(_JOBLESS.search(self.metadata.get("user-agent", ""))) or any(
            name.startswith(_OPENAI_SDK) for name in self.metadata
        )

    @property
    def tenant(self) -> str:
        """The caller's tenant. Only authenticated calls come so far."""
        if self.key is None:
            raise RuntimeError("the call is not authenticated")
        return self.key.tenant


_current: ContextVar[Call] = ContextVar("call")


def current() -> Call:
    """The call that runs in this task."""
    return _current.get()


def decode(value: str | bytes) -> str:
    """Return a header's value as text, each byte one character, whichever server read it."""
    data = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    return data.decode("latin-1")


def begin(method: str, metadata: Mapping[str, str], *, rest: bool = False) -> Call:
    """Open a call; its request id is the caller's when that is well-formed. `rest`: it came without gRPC."""
    request_id = ids.request_id(metadata.get("x-request-id", ""))
    call = Call(
        request_id=request_id,
        method=method,
        metadata=metadata,
        rest=rest or "x-envoy-original-path" in metadata,
        headers={"x-request-id": request_id},
    )
    _current.set(call)
    return call


def missing_key() -> GatewayError:
    """Return the refusal of a call without a key."""
    return GatewayError(
        ErrorReason.ERROR_REASON_INVALID_API_KEY,
        "An API key is required: send it as `Authorization: Bearer <key>`.",
    )


def unknown_key() -> GatewayError:
    """Return the refusal of a key that is not valid."""
    return GatewayError(ErrorReason.ERROR_REASON_INVALID_API_KEY, "The API key is unknown or revoked.")


async def authenticate(call: Call, ring: KeyRing) -> None:
    """Find the caller's key and read the call's headers. Raises GatewayError INVALID_API_KEY, or for a malformed
    Prefer, Idempotency-Key or X-BYOK header.
    """
    scheme, _, secret = call.metadata.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise missing_key()
    key = await ring.find(secret.strip())
    if key is None:
        raise unknown_key()
    call.key = key
    call.authorized = partial(_authorized, ring, key)
    call.log["tenant"] = key.tenant
    call.log["key_id"] = key.id
    header = call.metadata.get("prefer", "")
    call.stated = Preferences.parse(header)
    call.preferences = call.stated if header else Preferences.parse(key.prefer)
    if not call.idempotency_key.isascii():
        raise invalid("Idempotency-Key", "An idempotency key has ASCII characters only.")
    for route, provider_key in call.byok.items():
        provider_keys.check(provider_key, f"X-BYOK-{route}")


async def while_authorized(call: Call, items: AsyncIterator[_T]) -> AsyncIterator[_T]:
    """Yield the items as long as the caller's key is valid. Raises GatewayError INVALID_API_KEY once it has ended."""
    while True:
        async with call.authorized():
            try:
                item = await anext(items)
            except StopAsyncIteration:
                return
        yield item


@asynccontextmanager
async def _authorized(ring: KeyRing, key: Key) -> AsyncIterator[None]:
    try:
        async with ring.hold(key):
            yield
    except RevokedKeyError:
        raise unknown_key() from None
