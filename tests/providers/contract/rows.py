"""What a row of the contract's table holds: a provider's answers, and what the gateway is to make of them."""

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
"""In an answer: the provider's own origin."""
PICTURE: Final = "<results>/result.png"
VIDEO: Final = "<results>/result.mp4"
B64: Final = base64.b64encode(PNG).decode()
B64_MP4: Final = base64.b64encode(MP4).decode()


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of a provider."""

    body: Any
    """Bytes, or what is sent as JSON."""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    def raw(self, base: str, results: str) -> bytes:
        data: bytes = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        return data.replace(BASE.encode(), base.encode()).replace(b"<results>", results.encode())


@dataclass(frozen=True, slots=True)
class End:
    """How a task can end: the last answers, and what the gateway makes of them. An empty code means done."""

    answers: tuple[Answer, ...]
    code: str = ""
    accepted: bool = True


@dataclass(frozen=True, slots=True)
class Row:
    """One API of a route."""

    family: str
    route: str
    model: str
    ends: Mapping[str, End]
    """By the provider's name of the state; \"done\" is the usual success."""
    accepted: Answer | None = None
    """What a submit is answered with where tasks are polled; None where the answer is the end."""
    working: tuple[Answer, ...] = ()
    """Answers to polls of a task that goes on."""
    unknown: tuple[str, Answer] | None = None
    """A state that the provider does not document, and the answer that holds it; None where there are no states."""
    cancel: tuple[str, str] | None = None
    """Method and path of the call that stops the task; None where the provider has none."""
    coded: Callable[[str], Answer] | None = None
    """The answer to a submit that carries an error code of the provider's."""
    worded: Mapping[str, Answer] = field(default_factory=dict)
    """Answers for codes of the table that stand for words or details, not for a code."""
    options: Mapping[str, Any] = field(default_factory=lambda: {"x_new": 7})
    """The caller's own options, which go beside the gateway's fields."""
    defaults: frozenset[str] = frozenset()
    """Names that the gateway sends unless the caller's options have them."""
    under: str = ""
    """The object of the request's body that takes them."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """More fields of the task."""
    settings: Mapping[str, str] = field(default_factory=dict)
    empty: str = "provider_bad_response"
    """What an answer without any content means."""
    free: Callable[[int, Any], bool] = lambda _status, _body: False
    """Whether a failure of the server, by its status and its JSON, costs nothing."""

    @property
    def name(self) -> str:
        return f"{self.family}-{self.model.rpartition('/')[2]}-{self.route}{'-tasks' if self.accepted else ''}" + (
            "-stream" if self.fields.get("partial_images") else ""
        )

    def script(self, *answers: Answer) -> list[Answer]:
        """The answers of a whole task that ends with these."""
        return [self.accepted, *answers] if self.accepted else list(answers)


def done(*answers: Any) -> End:
    """Success by these answers, each an Answer or the JSON of one."""
    return End(tuple(answer if isinstance(answer, Answer) else Answer(answer) for answer in answers))


def fails(code: str, *answers: Any, accepted: bool = True) -> End:
    """A failure by these answers, as in `done`."""
    return End(tuple(answer if isinstance(answer, Answer) else Answer(answer) for answer in answers), code, accepted)
