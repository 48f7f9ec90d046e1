"""Cases of the contract tests: a provider's responses, and the outcomes that the gateway derives from them."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tests.emulators.base import image_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PNG: Final = image_bytes(16, 16)
MP4: Final = b"\0\0\0\x18ftypmp42" + bytes(64)
BASE: Final = "<base>"
"""Placeholder in a response for the provider's own origin."""
IMAGE_URL: Final = "<results>/result.png"
VIDEO_URL: Final = "<results>/result.mp4"
B64: Final = base64.b64encode(PNG).decode()
B64_MP4: Final = base64.b64encode(MP4).decode()


@dataclass(frozen=True, slots=True)
class Response:
    """Response of a provider."""

    body: Any
    """Bytes, or an object to send as JSON."""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    def raw(self, base: str, results: str) -> bytes:
        """Return the body with origins in place of `<base>` and `<results>`."""
        data: bytes = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        return data.replace(BASE.encode(), base.encode()).replace(b"<results>", results.encode())


@dataclass(frozen=True, slots=True)
class Outcome:
    """Outcome of a task: the last responses, and the code and billing of the failure. An empty code means done."""

    responses: tuple[Response, ...]
    code: str = ""
    may_be_billed: bool = True


@dataclass(frozen=True, slots=True)
class ApiCase:
    """Case for one API of a route."""

    family: str
    route: str
    model: str
    ends: Mapping[str, Outcome]
    """Outcomes by the provider's name of the state; \"done\" is the usual success."""
    accepted: Response | None = None
    """Response to the submit of a polled task; None where the submit's response ends the task."""
    working: tuple[Response, ...] = ()
    """Responses to polls of a running task."""
    unknown: tuple[str, Response] | None = None
    """Name of an undocumented state and its response; None for an API without states."""
    cancel: tuple[str, str] | None = None
    """Method and path of the request that cancels the task; None for a provider without cancel."""
    coded: Callable[[str], Response] | None = None
    """Function that returns the response to a submit for an error code of the provider."""
    worded: Mapping[str, Response] = field(default_factory=dict)
    """Responses for codes of the error table that the adapter derives from words or details."""
    options: Mapping[str, Any] = field(default_factory=lambda: {"x_new": 7})
    """Provider options of the caller, sent in addition to the gateway's fields."""
    defaults: frozenset[str] = frozenset()
    """Names of fields that the gateway sends unless an option replaces them."""
    under: str = ""
    """Object of the request's body that holds the options; empty: the body itself."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the task."""
    settings: Mapping[str, str] = field(default_factory=dict)
    empty: str = "provider_bad_response"
    """Code of the failure for a response without content."""
    free: Callable[[int, Any], bool] = lambda _status, _body: False
    """Function that returns whether a server error, by its status and JSON, is not billed."""

    @property
    def name(self) -> str:
        return f"{self.family}-{self.model.rpartition('/')[2]}-{self.route}{'-tasks' if self.accepted else ''}" + (
            "-stream" if self.fields.get("partial_images") else ""
        )

    def script(self, *responses: Response) -> list[Response]:
        """Return the responses of a whole task that ends with these."""
        return [self.accepted, *responses] if self.accepted else list(responses)


def done(*responses: Any) -> Outcome:
    """Return a success by these responses, each a Response or its JSON."""
    return Outcome(_as_responses(responses))


def fails(code: str, *responses: Any, may_be_billed: bool = True) -> Outcome:
    """Return a failure by these responses, as in `done`."""
    return Outcome(_as_responses(responses), code, may_be_billed)


def _as_responses(values: tuple[Any, ...]) -> tuple[Response, ...]:
    return tuple(value if isinstance(value, Response) else Response(value) for value in values)
