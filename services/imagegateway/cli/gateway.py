"""Calls of commands to the gateway: to the one of IMAGEGATEWAY_URL, else to a router on this machine."""

from __future__ import annotations

import os
import pwd
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, TypeVar, cast
from urllib.parse import urlsplit

import grpc
from imagegateway.admin.v1.admin_service_pb2_grpc import AdminServiceStub
from imagegateway.cli.local import settings_here
from imagegateway.keys.operator_tokens import OperatorTokens
from imagegateway.keys.root_secret import SETTING, RootSecret
from imagegateway.platform.grpc_server import CHANNEL_OPTIONS
from imagegateway.platform.setting_source import SettingError
from imagegateway.stack.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imagegateway.platform.settings import Settings

_SECONDS: Final = 60.0
_DETAILS: Final = "grpc-status-details-bin"
_Q = TypeVar("_Q")
_R = TypeVar("_R")
_PageQ = TypeVar("_PageQ", bound="_PagedRequest")
_Page = TypeVar("_Page", bound="_PagedResponse")


class _PagedRequest(Protocol):
    page_token: str


class _PagedResponse(Protocol):
    next_page_token: str


@dataclass(frozen=True, slots=True)
class Gateway:
    """Connection of a command to the gateway."""

    channel: grpc.Channel
    authorization: str
    place: str
    """Address or directory, for messages."""
    local: bool
    """True for a router on this machine."""

    @property
    def admin(self) -> AdminServiceStub:
        """Stub of AdminService."""
        return AdminServiceStub(self.channel)

    def call(self, method: grpc.UnaryUnaryMultiCallable[_Q, _R], request: _Q) -> _R:
        """Return the response of a method. Raises StackError with the gateway's message."""
        try:
            return method(request, metadata=(("authorization", self.authorization),), timeout=_SECONDS)
        except grpc.RpcError as error:
            raise StackError(self._message(cast("grpc.Call", error))) from None

    def pages(self, method: grpc.UnaryUnaryMultiCallable[_PageQ, _Page], request: _PageQ) -> Iterator[_Page]:
        """Yield the pages of a list from the request's page on. Raises StackError as `call` does."""
        while True:
            page = self.call(method, request)
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def stream(
        self, method: grpc.UnaryStreamMultiCallable[_Q, _R], request: _Q, *metadata: tuple[str, str]
    ) -> Iterator[_R]:
        """Yield the responses of a method. Raises StackError with the gateway's message."""
        try:
            yield from method(request, metadata=(("authorization", self.authorization), *metadata))
        except grpc.RpcError as error:
            raise StackError(self._message(cast("grpc.Call", error))) from None

    def _message(self, error: grpc.Call) -> str:
        """Return the reason of a failed call in one sentence."""
        if self.local and error.code() == grpc.StatusCode.UNAUTHENTICATED:
            return (
                f"the router in {self.place} has another root secret: run the command with the gateway's settings "
                f"({SETTING})"
            )
        if any(name == _DETAILS for name, _ in error.trailing_metadata() or ()):
            return error.details() or "the gateway refused the call"
        if error.code() == grpc.StatusCode.UNIMPLEMENTED:
            return (
                f"the gateway at {self.place} does not serve administration: IMAGEGATEWAY_URL must be the address of "
                "its listener for administration (IMAGEGATEWAY_ADMIN_LISTEN)"
            )
        return f"the gateway at {self.place} can't be reached by gRPC ({error.code().name.lower()})"


@contextmanager
def connected() -> Iterator[Gateway]:
    """Yield a connection. Raises StackError without a running gateway, SettingError for a wrong setting."""
    current = settings_here()
    url, key = (current.source.text(name) for name in ("URL", "KEY"))
    if url:
        channel, place, authorization = _from_afar(url), url, f"Bearer {_checked(key)}"
    else:
        channel, place = _on_this_machine(current), str(current.data_dir)
        root = RootSecret.load(current, make=False)
        authorization = f"Bearer {OperatorTokens(root).sign(_user())}"
    with channel:
        yield Gateway(channel, authorization, place, local=not url)


def _checked(key: str) -> str:
    if not key or not key.isascii():
        raise SettingError("IMAGEGATEWAY_KEY must be set beside IMAGEGATEWAY_URL: a key with the scope admin")
    return key


def _from_afar(url: str) -> grpc.Channel:
    try:
        parts = urlsplit(url)
        default = {"https": 443, "http": 80}[parts.scheme]
        port = parts.port or default
    except (ValueError, KeyError):
        raise SettingError(f"IMAGEGATEWAY_URL must start with http:// or https://, not {url!r}") from None
    if not parts.hostname or parts.path.strip("/"):
        raise SettingError(f"IMAGEGATEWAY_URL must be an origin, such as https://images.example.com, not {url!r}")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    if parts.scheme == "http":
        return grpc.insecure_channel(f"{host}:{port}", CHANNEL_OPTIONS)
    return grpc.secure_channel(f"{host}:{port}", grpc.ssl_channel_credentials(), CHANNEL_OPTIONS)


def _on_this_machine(current: Settings) -> grpc.Channel:
    for replica in range(current.routers):
        socket = current.socket(f"router-{replica}")
        if socket.exists():
            return grpc.insecure_channel(f"unix:{socket}", CHANNEL_OPTIONS)
    raise StackError(
        f"no gateway runs in {current.data_dir}: start it with `imagegateway up`, or set IMAGEGATEWAY_URL and "
        "IMAGEGATEWAY_KEY to administer another one"
    )


def _user() -> str:
    """Return the name of the operating system's user, which no variable of the environment changes."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
