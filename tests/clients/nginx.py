"""nginx as Debian ships it, in front of the gateway, with its defaults: HTTP/1.0 upstream, buffered answers."""

from __future__ import annotations

import shutil
import socket
import subprocess
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from tests.clients import suites
from tests.support.stack import eventually, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_UNPACKED: Final = suites.ROOT / "build/nginx/usr/sbin/nginx"
"""Folder for `make test-clients` to unpack Debian's package on a machine without nginx."""
_CONFIGURATION: Final = """
daemon off;
master_process off;
pid {folder}/pid;
error_log stderr;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass {url}; }}
  }}
}}
"""


def _accepts(port: int) -> bool:
    with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


@contextmanager
def proxying(url: str, folder: Path) -> Iterator[str]:
    """Run nginx in front of an origin; `folder` takes its files. Yield the origin that clients call instead."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin") or str(_UNPACKED)
    port = free_port()
    configuration = folder / "nginx.conf"
    configuration.write_text(_CONFIGURATION.format(folder=folder, port=port, url=url))
    log = folder / "log"
    with log.open("wb") as errors:
        process = subprocess.Popen([program, "-p", folder, "-c", configuration], stderr=errors)
    try:

        def ready() -> bool:
            assert process.poll() is None, log.read_text()
            return _accepts(port)

        eventually(ready, 30, "nginx listens")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)
