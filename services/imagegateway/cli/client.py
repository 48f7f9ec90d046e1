"""Client of a gateway's public REST API, for commands that work from any machine.

Every command that calls the API goes through this module. Errors become one sentence: `ApiError` for an answer that
refuses, `UnreachableError` without an answer.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import httpx  # noqa: TID251  a client of the gateway, with the user's proxies and certificates, makes no outbound call
from imagegateway.cli.errors import CommandError
from imagegateway.cli.target import Connection, Target
from imagegateway.outbound import sse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType
    from typing import Self

_TIMEOUT: Final = httpx.Timeout(60, connect=10)
_EVENT_TIMEOUT: Final = httpx.Timeout(60, connect=10, read=45)
"""An event stream sends a comment every 15 s."""


class UnreachableError(CommandError):
    """No answer, or none to its end: another attempt may succeed."""


class ApiError(CommandError):
    """Error answer of the gateway, with the fields of its body."""

    def __init__(self, message: str, *, status: int, code: str = "", param: str = "", request_id: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param
        self.request_id = request_id


class Client:
    """Connection to one gateway. `transport` replaces the network in tests."""

    def __init__(self, target: Target, transport: httpx.BaseTransport | None = None) -> None:
        self.target = target
        self._http = httpx.Client(
            base_url=target.url,
            headers={"authorization": f"Bearer {target.key}", "user-agent": "imagegateway-cli"},
            timeout=_TIMEOUT,
            transport=transport,
        )

    @classmethod
    def connect(cls, connection: Connection) -> Self:
        """Return a client for the gateway that the options, the environment or the login name."""
        return cls(Target.resolve(connection))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Return the answer, body included. `options` are those of httpx, such as `json`, `params` and `headers`.

        Raises ApiError for a status from 400, UnreachableError without an answer.
        """
        with self._reachable():
            response = self._http.request(method, path, **options)
        _raise_for(response)
        return response

    def call(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """Return the JSON object of the answer. Raises as `request` does."""
        return self._document(self.request(method, path, **options))

    def pages(self, path: str, params: Mapping[str, str | int] | None = None) -> Iterator[dict[str, Any]]:
        """Yield the entries of a list, page after page. Raises as `request` does."""
        query = dict(params or {})
        while True:
            page = self.call("GET", path, params=query)
            yield from page.get("data", [])
            if not page.get("next_page_token"):
                return
            query["page_token"] = page["next_page_token"]

    def events(self, method: str, path: str, **options: Any) -> Iterator[dict[str, Any]]:
        """Yield the data of each event of a stream. Raises as `request` does, also when the stream breaks."""
        parser = sse.Parser()
        with (
            self._reachable(),
            self._http.stream(method, path, **{"timeout": _EVENT_TIMEOUT, **options}) as response,
        ):
            if response.is_error:
                response.read()
            _raise_for(response)
            for chunk in response.iter_raw():
                for data in parser.feed(chunk):
                    if data != b"[DONE]":
                        yield json.loads(data)

    def _document(self, response: httpx.Response) -> dict[str, Any]:
        try:
            document = response.json()
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise CommandError(f"{self.target.url} is no gateway: its answer is not JSON")
        return document

    @contextmanager
    def _reachable(self) -> Iterator[None]:
        """Turn errors of the network into one sentence."""
        try:
            yield
        except httpx.TimeoutException:
            raise UnreachableError(f"the gateway at {self.target.url} does not answer") from None
        except httpx.TransportError as error:
            reason = f" ({error})" if str(error) else ""
            raise UnreachableError(f"the gateway at {self.target.url} can't be reached{reason}") from None


def _raise_for(response: httpx.Response) -> None:
    """Raise ApiError for a status from 400."""
    if not response.is_error:
        return
    request_id = response.headers.get("x-request-id", "")
    try:
        error = response.json()["error"]
        message, code, param = (str(error.get(name) or "") for name in ("message", "code", "param"))
    except (ValueError, LookupError, TypeError, AttributeError):
        message = code = param = ""
    raise ApiError(
        message or f"the gateway answered with status {response.status_code}",
        status=response.status_code,
        code=code,
        param=param,
        request_id=request_id,
    )
