"""Preparations before the stack starts: data directory, lock, sockets and port."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import stat
from itertools import combinations
from typing import TYPE_CHECKING, Final

from imagegateway.platform import logs, sockets
from imagegateway.platform.addresses import TcpAddress
from imagegateway.platform.hosts import HostPort
from imagegateway.stack.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import IO

    from imagegateway.platform.settings import Settings

_log = logs.get(__name__)
_LOCK: Final = "lock"
"""Name of the file in the data directory that a running stack locks."""
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def make_private(folder: Path) -> None:
    """Create the data directory, or close an existing one to other users.

    The directory holds the root secret, keys and images. A directory of another owner, such as the root of a mounted
    volume, keeps its mode and causes a warning. Raises StackError if the directory can't be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        mode = stat.S_IMODE(folder.stat().st_mode)
    except OSError as error:
        raise StackError(
            f"the data directory {folder} can't be created ({error.strerror}): "
            "set IMAGEGATEWAY_DATA_DIR to another directory"
        ) from None
    if not mode & _OTHERS:
        return
    try:
        folder.chmod(0o700)
    except PermissionError:
        _log.warning("data_directory_open", path=str(folder), mode=f"{mode:04o}")
    else:
        _log.warning("data_directory_closed", path=str(folder), mode=f"{mode:04o}")


@contextlib.contextmanager
def lock(settings: Settings, name: str = _LOCK) -> Iterator[None]:
    """Lock the data directory, or by another `name` one part in it.

    Raises StackError, naming the process, if another process holds the lock.
    """
    path = settings.data_dir / name
    file: IO[str]
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise StackError(
                f"the data directory {settings.data_dir} is in use by process {file.read().strip() or '?'}: "
                "stop that process, or set IMAGEGATEWAY_DATA_DIR"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def check_settings(settings: Settings) -> None:
    """Raise StackError for settings that exclude each other in a stack on one machine.

    These are two addresses with the same port, and more copies of streams than the stack's own NATS server can keep.
    """
    for (setting, first), (other, second) in combinations(_listeners(settings), 2):
        if first.overlaps(second):
            raise StackError(f"{setting} and {other} are both port {first.port}: choose another port for one of them")
    if settings.nats_replicas > 1 and not settings.nats_url:
        raise StackError(
            f"IMAGEGATEWAY_NATS_REPLICAS is {settings.nats_replicas}, but the stack's own NATS server is one: set "
            "IMAGEGATEWAY_NATS_URL to a cluster, or IMAGEGATEWAY_NATS_REPLICAS to 1"
        )


def check_port(settings: Settings) -> None:
    """Raise StackError if the stack can't listen on a port: the public one, that of administration or of metrics.

    A busy default port for metrics is no error.
    """
    public = HostPort(settings.host, settings.port)
    _probe(public, "IMAGEGATEWAY_PORT")
    if settings.edge.http3:
        _probe(public, "IMAGEGATEWAY_PORT", socket.SOCK_DGRAM)
    if settings.admin_listen:
        _probe(settings.admin_listen, "IMAGEGATEWAY_ADMIN_LISTEN")
    if settings.metrics_port_is_set:
        _probe(HostPort(settings.metrics_host, settings.metrics_port), "IMAGEGATEWAY_METRICS_PORT")


def _listeners(settings: Settings) -> Iterator[tuple[str, HostPort]]:
    """Yield each TCP address that the stack listens on, with its setting."""
    yield "IMAGEGATEWAY_PORT", HostPort(settings.host, settings.port)
    yield "IMAGEGATEWAY_METRICS_PORT", HostPort(settings.metrics_host, settings.metrics_port)
    if settings.admin_listen:
        yield "IMAGEGATEWAY_ADMIN_LISTEN", settings.admin_listen
    internal = settings.internal
    for name, address in (
        ("ROUTER", internal.router_listen),
        ("UPLOADS", internal.uploads_listen),
        ("MEDIA", internal.media_listen),
        ("PROVIDERS", internal.providers_listen),
    ):
        if isinstance(address, TcpAddress):
            yield f"IMAGEGATEWAY_{name}_LISTEN", HostPort(address.host, address.port)


def _probe(address: HostPort, setting: str, kind: socket.SocketKind = socket.SOCK_STREAM) -> None:
    """Raise StackError naming the setting if an address can't be listened on."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    protocol = "UDP" if kind == socket.SOCK_DGRAM else "TCP"
    with socket.socket(family, kind) as probe:
        if kind == socket.SOCK_STREAM:  # for UDP the option would share the port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
        except OSError as error:
            raise StackError(
                f"{protocol} port {address.port} on {address.host} can't be used ({error.strerror}): "
                f"stop the process that listens there, or set {setting}"
            ) from None


@contextlib.contextmanager
def socket_folder(settings: Settings) -> Iterator[None]:
    """Create the folder of the stack's sockets, and remove the folder at the end. Raises StackError."""
    folder = sockets.folder(settings.run_dir)
    try:
        sockets.make_folder(folder)
    except OSError as error:
        raise StackError(f"the folder of the stack's sockets can't be created: {error}") from None
    try:
        yield
    finally:
        sockets.remove_folder(folder)
