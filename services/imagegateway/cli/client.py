"""Client of a gateway's public REST API, for commands that work from any machine.

Every command that calls the API goes through this module. Errors become one sentence: `ApiError` for an answer that
refuses, `UnreachableError` without an answer.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from imagegateway.cli.errors import CommandError
from imagegateway.cli.target import Connection, Target
from imagegateway.outbound import sse
from imagegateway.platform.optional_imports import hidden

with hidden("click"):  # httpx would import its own command line
    import httpx  # noqa: TID251  a client of the gateway makes no outbound call

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType
    from typing import Self

_TIMEOUT: Final = httpx.Timeout(60, connect=10)
_EVENT_TIMEOUT: Final = httpx.Timeout(60, connect=10, read=45)
"""An event stream sends a comment every 15 s."""


class UnreachableError(CommandError):
    """No answer, or none to its end: another attempt may succeed. `is_sent`: the request may have arrived."""

    def __init__(self, message: str, *, is_sent: bool) -> None:
        super().__init__(message)
        self.is_sent = is_sent


class ApiError(CommandError):
    """Error answer of the gateway. `document`: its JSON object, empty for another body."""

    def __init__(self, response: httpx.Response) -> None:
        self.status: Final = response.status_code
        self.request_id: Final[str] = response.headers.get("x-request-id", "")
        self.document: Final = _object(response) or {}
        error = self.document.get("error")
        fields = error if isinstance(error, dict) else {}
        self.code, self.param = (str(fields.get(name) or "") for name in ("code", "param"))
        super().__init__(str(fields.get("message") or f"the gateway answered with status {self.status}"))


class Client:
    """Connection to one gateway. `transport` replaces the network in tests."""

    def __init__(self, target: Target, transport: httpx.BaseTransport | None = None) -> None:
        self.target = target
        if target.socket and not transport:
            transport = httpx.HTTPTransport(uds=str(target.socket))
        self._http = httpx.Client(
            base_url=target.base_url,
            headers={"authorization": f"Bearer {target.key}", "user-agent": "imagegateway-cli"},
            timeout=_TIMEOUT,
            transport=transport,
            trust_env=target.socket is None,  # no proxy of the environment leads to a socket
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
        document = _object(self.request(method, path, **options))
        if document is None:
            raise CommandError(f"{self.target.url} is no gateway: its answer is no JSON object")
        return document

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

    def download(self, path: str) -> Iterator[bytes]:
        """Yield the bytes of a file as they arrive. Raises as `request` does, also for a file that ends early."""
        with self._reachable(), self._http.stream("GET", path) as response:
            if response.is_error:
                response.read()
            _raise_for(response)
            yield from response.iter_bytes()

    @contextmanager
    def _reachable(self) -> Iterator[None]:
        """Turn errors of the network into one sentence."""
        try:
            yield
        except httpx.TransportError as error:
            is_sent = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            if isinstance(error, httpx.TimeoutException):
                sentence = f"the gateway at {self.target.url} does not answer"
            else:
                reason = f" ({error})" if str(error) else ""
                sentence = f"the gateway at {self.target.url} can't be reached{reason}"
            raise UnreachableError(sentence, is_sent=is_sent) from None


def _raise_for(response: httpx.Response) -> None:
    """Raise ApiError for a status from 400."""
    if response.is_error:
        raise ApiError(response)


def _object(response: httpx.Response) -> dict[str, Any] | None:
    """Return the JSON object of a body, or None for another one."""
    try:
        document = response.json()
    except ValueError:
        return None
    return document if isinstance(document, dict) else None
