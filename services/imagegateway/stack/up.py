"""Start the stack, wait until it serves, make a first picture, and watch over it until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from imagegateway.keys.api_keys import API_KEY_NAME, KeyStore, RevokedKeyError
from imagegateway.keys.root_secret import RootSecret
from imagegateway.platform import logs, setting_source, sockets
from imagegateway.platform.identity import GATEWAY, load_identity
from imagegateway.platform.nats import connect
from imagegateway.stack.config import Stack
from imagegateway.stack.die_with_parent import tie
from imagegateway.stack.first_image import FirstPicture, make
from imagegateway.stack.nats_watch import NatsWatch, restart_by

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import IO

    from imagegateway.platform.settings import Settings

_CRASHED: Final = re.compile(r" exited: (\S+) \(exit status (?!0;)")
"""An orderly end is none: somebody has sent the process SIGTERM."""
START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 90.0
CRASHES: Final = 4
CRASH_SECONDS: Final = 60
"""A process that ends by itself so often in so many seconds can't be kept running."""
_log = logs.get(__name__)
_LOCK: Final = "lock"
"""Name of the file in the data directory that a running stack holds."""
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_SESSION_KEY: Final = "until this stack stops"


class StackError(Exception):
    """The stack can't start or go on; the message is for the terminal."""


@dataclass(slots=True)
class Supervisor:
    """supervisord as a child, and what it says of the stack's processes."""

    process: subprocess.Popen[bytes]
    log: Path
    read: int = 0
    """Bytes of the log that have been read."""
    ends: dict[str, list[float]] = field(default_factory=dict)
    """When each process was seen to have ended by itself, monotonic seconds."""

    @classmethod
    def spawn(cls, stack: Stack, log_format: str) -> Supervisor:
        log = stack.run_dir / "supervisord.log"
        log.unlink(missing_ok=True)
        process = subprocess.Popen(
            [sys.executable, "-m", "supervisor.supervisord", "-c", str(stack.run_dir / "supervisord.conf")],
            # A session of its own: Ctrl-C reaches only us, and we stop the stack in order.
            start_new_session=True,
            preexec_fn=tie,  # noqa: PLW1509  no threads run yet
            env={
                **setting_source.environment(),
                "IMAGEGATEWAY_DATA_DIR": str(stack.settings.data_dir),
                "IMAGEGATEWAY_LOG_FORMAT": log_format,
                "PYTHONUNBUFFERED": "1",
            },
        )
        return cls(process, log)

    def failed(self) -> list[str]:
        """Names of the processes that can't be kept running: they end by themselves, again and again.

        Those that somebody kills come back for as long as it pleases him. Only supervisord's log tells the two
        apart: its answers say nothing of how the life before ended.
        """
        with contextlib.suppress(FileNotFoundError), self.log.open() as file:
            if file.seek(0, os.SEEK_END) >= self.read:  # else it is a new file: the old one was full
                file.seek(self.read)
            else:
                file.seek(0)
            for name in _CRASHED.findall(file.read()):
                self.ends.setdefault(name, []).append(time.monotonic())
            self.read = file.tell()
        return [
            name
            for name, ends in self.ends.items()
            if len(ends) >= CRASHES and ends[-1] - ends[-CRASHES] < CRASH_SECONDS
        ]

    def stop(self) -> None:
        """Stop the stack in order; kill it when it does not."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@dataclass(frozen=True, slots=True)
class First:
    """What a start makes for a newcomer."""

    image: bool
    key: bool

    @classmethod
    def of(cls, settings: Settings, *, image: bool, key: bool) -> First:
        """Both for a gateway on its own; on a NATS server that others may share, what the flags ask for."""
        alone = not settings.nats_url
        return cls(image or alone, key or alone)


@dataclass(frozen=True, slots=True)
class ShownKey:
    """The key of the examples that the start prints."""

    secret: str
    shown: str
    """How the examples write it: the secret, or where it comes from."""
    about: str


def up(settings: Settings, first: First) -> int:
    """Run the stack until SIGINT or SIGTERM; gives the exit status. Raises StackError."""
    logs.configure(settings, "up")
    # The children open our output anew: where it is a file, neither may overwrite the other.
    fcntl.fcntl(1, fcntl.F_SETFL, fcntl.fcntl(1, fcntl.F_GETFL) | os.O_APPEND)
    make_private(settings.data_dir)
    with lock(settings):
        free_port(settings)
        _make_socket_dir(settings)
        stack = Stack.prepare(settings)
        stack.write()
        stop = _stop_on_signal()
        watch = _nats_watch(stack)
        supervisor = Supervisor.spawn(stack, _log_format(settings))
        try:
            return asyncio.run(_serve(settings, first, supervisor, watch, stop))
        finally:
            supervisor.stop()
            sockets.remove_folder(sockets.folder(settings.run_dir))


def _nats_watch(stack: Stack) -> NatsWatch:
    config = stack.run_dir / "supervisord.conf"
    return NatsWatch(stack.run_dir / "nats.log", stack.settings.data_dir, lambda: restart_by(config))


async def _serve(settings: Settings, first: First, supervisor: Supervisor, watch: NatsWatch, stop: list[int]) -> int:
    began = time.monotonic()
    if not await _until_ready(settings, supervisor, stop, began):
        return 0
    gateway = load_identity(settings.data_dir / GATEWAY)
    client = await connect(settings, "up")
    try:
        store = await KeyStore.open(client, settings.nats_replicas, RootSecret.load(settings))
        await store.delete_session_keys(gateway)  # of a life that could not do so itself
        key = await _key(settings, first, store, gateway)
        picture: FirstPicture | None = None
        if first.image:
            picture = await _first_picture(settings, supervisor, stop, await _secret(key, store, gateway))
            if picture is None:
                return 0
            if key is None:
                await store.delete_session_keys(gateway)
        _welcome(settings, key, picture, seconds=time.monotonic() - began)
        while not stop:
            await asyncio.sleep(0.5)
            _check(supervisor)
            await watch.look()
        with contextlib.suppress(Exception):
            await store.delete_session_keys(gateway)
    finally:
        # It raises when the server is gone, even CancelledError; what ended the stack must be told instead.
        with contextlib.suppress(Exception, asyncio.CancelledError):
            await client.close()
    print("\nimagegateway: stopping", flush=True)
    return 0


async def _until_ready(settings: Settings, supervisor: Supervisor, stop: list[int], began: float) -> bool:
    """Wait for /readyz. False when we were told to stop. Raises StackError when the stack does not come up."""
    while not stop:
        _check(supervisor)
        if await asyncio.to_thread(_ready, settings):
            return True
        if time.monotonic() - began > START_SECONDS:
            raise StackError(f"the gateway is not ready after {START_SECONDS:.0f} s; its log is above")
        await asyncio.sleep(0.05)
    return False


async def _first_picture(
    settings: Settings, supervisor: Supervisor, stop: list[int], secret: str
) -> FirstPicture | None:
    """The self-check; None when we were told to stop meanwhile. Raises SelfCheckError, and StackError for a stack
    that does not keep running.
    """
    making = asyncio.ensure_future(make(settings, secret))
    try:
        while not making.done():
            await asyncio.wait([making], timeout=0.5)
            if stop:
                return None
            _check(supervisor)
        return making.result()
    finally:
        making.cancel()
        await asyncio.gather(making, return_exceptions=True)


def _ready(settings: Settings) -> bool:
    try:
        with socket.create_connection((settings.local_host, settings.port), timeout=2) as connection:
            connection.sendall(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            return connection.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def _check(supervisor: Supervisor) -> None:
    status = supervisor.process.poll()
    if status is not None:
        raise StackError(f"the process manager ended with status {status}")
    failed = supervisor.failed()
    if failed:
        raise StackError(f"{', '.join(failed)} can't be kept running; the log above says why")


async def _key(settings: Settings, first: First, store: KeyStore, gateway: str) -> ShownKey | None:
    """The key of the examples: the setting's, the first one, or one for this run; None where none is wanted.

    Only hashes are stored, so a later start can't show the first key again; it makes one that ends with it.
    """
    if settings.api_key:
        secret = settings.api_key.reveal()
        try:
            await store.adopt(secret, gateway)
        except RevokedKeyError:
            print(
                f"\nimagegateway: {API_KEY_NAME} holds a key that was revoked: it is NOT accepted. Set another one.",
                file=sys.stderr,
                flush=True,
            )
            return None
        # Whoever set it knows it; the terminal and its logs need not.
        return ShownKey(secret, f"${API_KEY_NAME}", "the one that was set")
    if not first.key:
        return None
    if all(key.session_of for key in await store.list()):
        secret, _ = await store.create("default", "made at the first start")
        return ShownKey(secret, secret, "made now and shown only this once: keep it")
    secret, _ = await store.create("default", _SESSION_KEY, session_of=gateway)
    return ShownKey(secret, secret, "lives until this stack stops; `imagegateway keys create` makes lasting ones")


async def _secret(key: ShownKey | None, store: KeyStore, gateway: str) -> str:
    """A key for the self-check, also where none is to be shown."""
    if key:
        return key.secret
    secret, _ = await store.create("default", _SESSION_KEY, session_of=gateway)
    return secret


def _welcome(settings: Settings, key: ShownKey | None, picture: FirstPicture | None, *, seconds: float) -> None:
    url = settings.local_url
    lines = [f"imagegateway is ready after {seconds:.1f} s at {url} ({datetime.now(UTC):%Y-%m-%d %H:%M} UTC)", ""]
    if picture:
        lines.append(f"  first picture  {picture.path}")
    lines.append(f"  web page       {url}/")
    if key:
        lines += [f"  key            {key.shown}", f"                 ({key.about})"]
    else:
        lines.append("  keys           `imagegateway keys create --tenant NAME` makes one")
    shown = key.shown if key else "KEY"
    lines += [
        "",
        "Try it:",
        "",
        f'  curl -s {url}/v1/images/generations -H "Authorization: Bearer {shown}" \\',
        "    -H 'Content-Type: application/json' \\",
        """    -d '{"model": "local/sketch", "prompt": "a lighthouse at dusk", "size": "1024x1024"}'""",
        "",
        "Ctrl-C stops everything.",
    ]
    print("\n" + "\n".join(lines) + "\n", flush=True)


def make_private(folder: Path) -> None:
    """Make the data directory, or close it to other users: it holds the root secret, keys and images.

    One of another owner, such as the root of a mounted volume, stays as it is, with a warning. Raises StackError when
    the directory can't be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        mode = stat.S_IMODE(folder.stat().st_mode)
    except OSError as error:
        raise StackError(
            f"the data directory {folder} can't be made ({error.strerror}): set IMAGEGATEWAY_DATA_DIR to another one"
        ) from None
    if not mode & _OTHERS:
        return
    try:
        folder.chmod(0o700)
    except PermissionError:
        _log.warning("data_directory_open", path=str(folder), mode=f"{mode:04o}")
    else:
        _log.warning("data_directory_closed", path=str(folder), mode=f"{mode:04o}")


def _make_socket_dir(settings: Settings) -> None:
    try:
        sockets.make_folder(sockets.folder(settings.run_dir))
    except OSError as error:
        raise StackError(f"the folder of the stack's sockets can't be made: {error}") from None


@contextlib.contextmanager
def lock(settings: Settings) -> Iterator[None]:
    """Hold the data directory. Raises StackError when another stack does, naming its process."""
    path = settings.data_dir / _LOCK
    file: IO[str]
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise StackError(
                f"the data directory {settings.data_dir} is in use by process {file.read().strip() or '?'}: "
                "stop that stack, or set IMAGEGATEWAY_DATA_DIR"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def free_port(settings: Settings) -> None:
    """Raises StackError when the port can't be listened on."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise StackError(
                f"port {settings.port} on {settings.host} can't be used ({error.strerror}): "
                "stop what listens there, or set IMAGEGATEWAY_PORT"
            ) from None


def _stop_on_signal() -> list[int]:
    """A list that holds the signal once one has come."""
    seen: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, _frame: seen.append(received))
    return seen


def _log_format(settings: Settings) -> str:
    if settings.log_format != "auto":
        return settings.log_format
    return "pretty" if sys.stdout.isatty() else "json"
