"""HTTP client of the tests, and the checks that hold for every response."""

from __future__ import annotations

import http.client
import json
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.support.stack import Stack

GENERATIONS: Final = "/v1/images/generations"
EDITS: Final = "/v1/images/edits"
JSON: Final = {"content-type": "application/json"}
_INTERNALS: Final = (
    "Traceback",
    "Exception",
    "imagegateway.",
    ".py",
    ".sock",
    "/run/",
    "grpc",
    "upstream",
    "envoy",
    "nats",
)
"""Text that no message to callers may contain."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete response."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        assert self.headers.get_content_type() == "application/json", (self.headers.items(), self.body[:500])
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, str | None]:
        """Return the error in OpenAI's shape. Fail at any other response."""
        document = self.json()
        assert set(document) == {"error"}, document
        error: dict[str, str | None] = document["error"]
        assert set(error) == {"message", "type", "param", "code"}, error
        return error


def ask(
    stack: Stack,
    method: str,
    path: str,
    body: bytes | Iterable[bytes] | dict[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    key: str | None = None,
) -> Answer:
    """Send one request on a new connection. A dict is sent as JSON; `key=""` sends no key."""
    given = dict(headers or {})
    key = stack.key if key is None else key
    if key:
        given.setdefault("authorization", f"Bearer {key}")
    if isinstance(body, dict):
        body = json.dumps(body).encode()
        given.setdefault("content-type", "application/json")
    with closing(http.client.HTTPConnection("127.0.0.1", stack.port, timeout=60)) as connection:
        connection.request(method, path, body, given)
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())


def generate(stack: Stack, headers: Mapping[str, str] | None = None, **fields: Any) -> Answer:
    """POST a small generation; `fields` add to the request or replace parts of it."""
    return ask(stack, "POST", GENERATIONS, {**SMALL, **fields}, headers)


SMALL: Final[Mapping[str, Any]] = {"model": "local/sketch", "prompt": "a red kite over hills", "size": "64x64"}


def assert_error(
    answer: Answer,
    status: int,
    code: str | None,
    param: str | None = None,
    kind: str = "invalid_request_error",
) -> str:
    """Check status, body and request id of an error, and that it has no internals. Return its message."""
    error = answer.error
    assert (answer.status, error["type"], error["code"], error["param"]) == (status, kind, code, param), error
    message = error["message"]
    assert message
    assert answer.headers["x-request-id"]
    assert_no_internals(answer)
    return message


def assert_no_internals(answer: Answer) -> None:
    """Assert that an error's text and headers contain no internals."""
    text = str(answer.error["message"])
    assert not [word for word in _INTERNALS if word in text], text
    leaked = {"x-oai-error", "x-http-status", "grpc-status", "grpc-message", "grpc-status-details-bin"}
    assert not leaked & {name.lower() for name in answer.headers}


def link(stack: Stack, url: str) -> str:
    """Return path and query of a link of the stack."""
    assert url.startswith(stack.url + "/media/"), url
    return url.removeprefix(stack.url)
