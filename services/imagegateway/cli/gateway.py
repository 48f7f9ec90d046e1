"""Calls of commands to the gateway by gRPC: to the one that is named, else to a router on this machine."""

from __future__ import annotations

import os
import pwd
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, TypeVar, cast
from urllib.parse import urlsplit

import grpc
from imagegateway.admin.v1.admin_service_pb2_grpc import AdminServiceStub
from imagegateway.cli.errors import CommandError
from imagegateway.cli.local import settings_here
from imagegateway.cli.target import NoGatewayError, Target
from imagegateway.keys.operator_tokens import OperatorTokens
from imagegateway.keys.root_secret import SETTING, RootSecret
from imagegateway.platform.grpc_server import MESSAGE_OPTIONS
from imagegateway.stack.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imagegateway.cli.target import Connection
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
def connected(connection: Connection) -> Iterator[Gateway]:
    """Yield a connection to the gateway of the options, the environment or the login, else to a local router.

    Raises CommandError and StackError without a gateway, SettingError for a wrong setting.
    """
    if target := Target.named(connection):
        channel, place, authorization = _from_afar(target.url), target.url, f"Bearer {target.key}"
    else:
        current = settings_here()
        channel, place = _on_this_machine(current), str(current.data_dir)
        root = RootSecret.load(current, make=False)
        authorization = f"Bearer {OperatorTokens(root).sign(_user())}"
    with channel:
        yield Gateway(channel, authorization, place, local=target is None)


def _from_afar(url: str) -> grpc.Channel:
    parts = urlsplit(url)
    if parts.path:
        raise CommandError(f"administration by gRPC needs an origin, such as https://images.example.com, not {url!r}")
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    if parts.scheme == "http":
        return grpc.insecure_channel(f"{host}:{parts.port or 80}", MESSAGE_OPTIONS)
    return grpc.secure_channel(f"{host}:{parts.port or 443}", grpc.ssl_channel_credentials(), MESSAGE_OPTIONS)


def _on_this_machine(current: Settings) -> grpc.Channel:
    for replica in range(current.routers):
        socket = current.socket(f"router-{replica}")
        if socket.exists():
            return grpc.insecure_channel(f"unix:{socket}", MESSAGE_OPTIONS)
    raise NoGatewayError(current.data_dir)


def _user() -> str:
    """Return the name of the operating system's user, which no variable of the environment changes."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
