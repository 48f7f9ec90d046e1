"""Measured subjects: this chain, chains of other checkouts, Envoy as a plain proxy. `bench.peers` adds gateways."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from imagegateway.platform import setting_source
from imagegateway.stack.config import binary
from jinja2 import Template

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from bench.cells import Cell

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parent
_READY_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 60.0
_READY: Final = "imagegateway is ready"
# Child processes end with the benchmark, also when it is killed.
_DIE_WITH_PARENT: Final = (sys.executable, "-m", "imagegateway.stack.die_with_parent")


class SubjectError(Exception):
    """A subject does not start or respond. The message is for the terminal."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Measured server."""

    name: str
    pid: int
    """Process id of the root of the measured processes."""
    port: int
    key: str
    plain: bool
    beside: tuple[int, ...] = ()
    """Required processes that are not measured."""
    run: Path = Path()
    """Folder of a chain's sockets."""
    headers: str = ""
    """Additional header lines, each with its line end."""
    peer: bool = False
    """True for another gateway, which returns the provider's JSON."""

    def request(self, cell: Cell) -> bytes:
        return cell.request(f"/{cell.name}" if self.plain else cell.path, self.key, self.headers)

    def ask(self, cell: Cell) -> bytes:
        """Return the body of one response. Raises SubjectError for an error."""
        path = f"/{cell.name}" if self.plain else cell.path
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            data=cell.body,
            headers={
                "authorization": f"Bearer {self.key}",
                "content-type": cell.content_type,
                **dict(line.split(": ", 1) for line in (cell.headers + self.headers).splitlines()),
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310  a local address
                body: bytes = response.read()
                return body
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")
            raise SubjectError(f"{self.name} refused {cell.name}: {error.code} {text[:500]}") from error
        except OSError as error:
            raise SubjectError(f"{self.name} does not answer {cell.name}: {error}") from error


@contextmanager
def chain(
    name: str,
    tree: Path,
    folder: Path,
    image: Path,
    *,
    more: Mapping[str, str] | None = None,
    beside: tuple[int, ...] = (),
) -> Iterator[Subject]:
    """Run `imagegateway up` of the checkout in `tree` on this Python; its model responds with `image`.

    `more`: further settings, without their prefix; `beside`: processes that the chain needs and that do not count.
    """
    port, key = free_port(), f"bench-{secrets.token_hex(16)}"
    output = folder / "output"
    variables = {
        **environment(),
        "PYTHONPATH": f"{tree}:{tree / 'generated'}",
        "IMAGEGATEWAY_DATA_DIR": str(folder / "data"),
        "IMAGEGATEWAY_PORT": str(port),
        "IMAGEGATEWAY_API_KEY": key,
        "IMAGEGATEWAY_LOCAL_IMAGE": str(image),
        "IMAGEGATEWAY_LOG_FORMAT": "json",
        **{f"{setting_source.PREFIX}{name}": value for name, value in (more or {}).items()},
    }
    command = [sys.executable, "-c", "import sys; from imagegateway.cli import main; sys.exit(main())", "up"]
    with running(command, output, tree, variables) as process:
        until(lambda: _READY in output.read_text(errors="replace"), process, output, name)
        yield Subject(name, process.pid, port, key, plain=False, beside=beside, run=folder / "data" / "run")


@contextmanager
def provider(folder: Path, images: Mapping[str, bytes]) -> Iterator[tuple[int, str]]:
    """Run a stub of OpenAI's Images API. Yield its process id and base URL."""
    for name, image in images.items():
        (folder / name).write_bytes(image)
    port, output = free_port(), folder / "output"
    serve = [sys.executable, "-m", "bench.provider", str(port), str(folder)]
    with running(serve, output, ROOT, environment()) as process:
        until(lambda: listens(port), process, output, "the stub of a provider")
        yield process.pid, f"http://127.0.0.1:{port}"


@contextmanager
def plain(folder: Path, answers: Mapping[str, bytes]) -> Iterator[Subject]:
    """Run Envoy with the chain's number of threads in front of a server with these responses by name."""
    stored = folder / "answers"
    stored.mkdir()
    for name, body in answers.items():
        (stored / name).write_bytes(body)
    upstream, port, output = folder / "upstream.sock", free_port(), folder / "output"
    serve = [sys.executable, "-m", "bench.upstream", str(upstream), str(stored)]
    config = folder / "plain.yaml"
    config.write_text(Template((HERE / "plain.yaml.j2").read_text()).render(port=port, upstream=upstream))
    threads = str(min(os.cpu_count() or 1, 4))
    envoy = [binary("envoy"), "-c", str(config), "--disable-hot-restart", "--log-level", "error"]
    with (
        running(serve, folder / "upstream-output", ROOT, environment()) as server,
        running([*envoy, "--concurrency", threads], output, ROOT, environment()) as process,
    ):
        until(upstream.exists, server, folder / "upstream-output", "upstream")
        until(lambda: listens(port), process, output, "plain")
        yield Subject("plain", process.pid, port, "none", plain=True, beside=(server.pid,))


def environment() -> dict[str, str]:
    """Return this process's environment without the gateway's settings."""
    return {
        name: text
        for name, text in setting_source.environment().items()
        if not name.startswith(setting_source.PREFIX)
    }


def free_port() -> int:
    """Return a free TCP port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listens(port: int) -> bool:
    """Return True if a process listens on the port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def running(
    command: list[str], output: Path, folder: Path, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process that ends with this context and with this process."""
    with output.open("wb") as file:
        process = subprocess.Popen(
            [*_DIE_WITH_PARENT, *command],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def until(
    met: Callable[[], bool],
    process: subprocess.Popen[bytes],
    output: Path,
    name: str,
    seconds: float = _READY_SECONDS,
) -> None:
    """Wait until a process is ready. Raises SubjectError with its output on failure."""
    deadline = time.monotonic() + seconds
    while not met():
        if process.poll() is not None or time.monotonic() > deadline:
            tail = output.read_text(errors="replace")[-3000:]
            raise SubjectError(f"{name} does not start; the end of its output:\n{tail}")
        time.sleep(0.05)
