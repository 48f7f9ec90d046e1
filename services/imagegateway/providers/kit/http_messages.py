"""HTTP requests and responses of adapters."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imagegateway.providers.kit.media_extractor import MediaExtractor


@dataclass(frozen=True, slots=True)
class FilePart:
    """File of a multipart request."""

    field: str
    filename: str
    data: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """Request to the provider.

    `path` is joined to the route's base URL; an absolute URL is called unchanged, with the key only where
    `Endpoint.trusts` allows it. The body is `json`, or `fields` and `files`; fields alone are urlencoded unless
    `multipart` is set.
    """

    method: str
    path: str
    json: Mapping[str, Any] | None = None
    fields: tuple[tuple[str, str], ...] = ()
    files: tuple[FilePart, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    multipart: bool = False
    timeout_seconds: float | None = None
    """Longest time until the whole response has arrived; None: the endpoint's `timeout_seconds`."""


@dataclass(frozen=True)
class HttpResponse:
    """Whole response of the provider."""

    status: int
    headers: Mapping[str, str]
    content: bytes
    media: Mapping[bytes, bytes] = field(default_factory=dict)
    """Media that `content` encodes as markers, by marker (`media_extractor`)."""
    spooled: MediaExtractor | None = None
    """Content of a large response that waits for memory: `response_spool` loads it before an adapter reads it."""

    @property
    def is_success(self) -> bool:
        """Return whether the status is 2xx."""
        return 200 <= self.status < 300

    @cached_property
    def json(self) -> Any:
        """Return the body as JSON; None for a body that is not JSON."""
        try:
            return orjson.loads(self.content)
        except ValueError:
            return None

    def json_object(self) -> dict[str, Any]:
        """Return the body as a JSON object; empty for a body that is not one."""
        return self.json if isinstance(self.json, dict) else {}
