"""Measured subjects: this chain, chains of other checkouts, Envoy as a plain proxy. `bench.peers` adds gateways."""

from __future__ import annotations

import os
import secrets
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
from imagegateway.stack.free_port import free_port
from jinja2 import Template

from bench import usage
from bench.processes import HERE, ROOT, SubjectError, environment, listens, running, until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bench.cells import Cell

_READY: Final = "imagegateway is ready"


@dataclass(frozen=True, slots=True)
class Subject:
    """Measured server."""

    name: str
    pid: int
    """Process id of the launcher whose descendants are measured."""
    port: int
    key: str
    plain: bool
    beside: tuple[int, ...] = ()
    """Process ids of the launchers of required processes that are not measured."""
    run: Path = Path()
    """Folder of a chain's sockets."""
    headers: str = ""
    """Additional header lines, each with its line end."""
    peer: bool = False
    """True for another gateway, which returns the provider's JSON."""
    own_answers: bool = False
    """True for a subject whose responses are not the chain's. It serves the group `upstream` only."""
    start_seconds: float = 0.0
    """Seconds from the start of a chain's process until the chain was ready."""

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
        "PYTHONPATH": f"{tree / 'services'}:{tree / 'generated'}",
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
        yield Subject(
            name,
            process.pid,
            port,
            key,
            plain=False,
            beside=beside,
            run=folder / "data" / "run",
            start_seconds=time.time() - usage.started_at(process.pid),
        )


def upstream_settings(upstream: str) -> dict[str, str]:
    """Return the settings, without their prefix, of a chain whose provider OpenAI is the stub at this base URL."""
    return {
        "OPENAI_BASE_URL": upstream,
        "OPENAI_API_KEY": "bench",
        "ALLOW_HOSTS": upstream.removeprefix("http://"),
    }


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
