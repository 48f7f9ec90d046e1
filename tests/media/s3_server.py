"""A real S3 server (SeaweedFS) for the tests; import the fixture `s3_server` where it is needed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
import pytest
from obstore.exceptions import BaseError
from obstore.store import S3Store

from tests.support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

_ACCESS_KEY = "test-access"
_SECRET_KEY = "test-secret"
BUCKET = "ready"
"""Bucket that exists when the server is ready."""
_PORTS = ("master", "master_grpc", "volume", "volume_grpc", "filer", "filer_grpc", "s3", "s3_grpc")
_SOCKETS = Path("/tmp")  # noqa: S108  where it puts them; a path in a folder of the test may be too long


@dataclass(frozen=True, slots=True)
class S3Server:
    """Address of the server. The first upload creates a bucket."""

    endpoint: str
    filer: str
    """Return the URL of the storage below the buckets, for direct access without credentials."""

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment by which a process opens `s3://…` URLs here."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": _ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": _SECRET_KEY,
            "AWS_REGION": "us-east-1",
        }


def _command(folder: Path, host: str, ports: dict[str, int]) -> list[str]:
    config = folder / "s3.json"
    config.write_text(
        json.dumps(
            {
                "identities": [
                    {
                        "name": "test",
                        "credentials": [{"accessKey": _ACCESS_KEY, "secretKey": _SECRET_KEY}],
                        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
                    }
                ]
            }
        )
    )
    return [
        str(Path(sys.executable).with_name("weed")),
        "server",
        f"-dir={folder}",
        f"-ip={host}",
        f"-ip.bind={host}",
        f"-master.port={ports['master']}",
        f"-master.port.grpc={ports['master_grpc']}",
        "-master.peers=none",  # no election to wait for
        "-master.volumeSizeLimitMB=64",
        "-master.telemetry=false",
        f"-volume.port={ports['volume']}",
        f"-volume.port.grpc={ports['volume_grpc']}",
        "-volume.max=20",
        "-filer",
        f"-filer.port={ports['filer']}",
        f"-filer.port.grpc={ports['filer_grpc']}",
        "-s3",
        f"-s3.port={ports['s3']}",
        f"-s3.port.grpc={ports['s3_grpc']}",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        f"-s3.config={config}",
    ]


def _await_first_upload(server: S3Server, process: subprocess.Popen[bytes], log: Path) -> None:
    store = S3Store(
        BUCKET,
        endpoint=server.endpoint,
        access_key_id=_ACCESS_KEY,
        secret_access_key=_SECRET_KEY,
        region="us-east-1",
        client_options={"allow_http": True},
        retry_config={"max_retries": 0},
    )
    deadline = time.monotonic() + 60
    while True:
        try:
            obstore.put(store, "object", b"x")
        except (BaseError, OSError):
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the S3 server did not start:\n{log.read_text()[-3000:]}")
            time.sleep(0.05)
        else:
            return


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Yield a server ready for uploads, for the session."""
    with serving(tmp_path_factory.mktemp("s3")) as server:
        yield server


@contextmanager
def serving(folder: Path, host: str = "127.0.0.1") -> Iterator[S3Server]:
    """Yield a server at an address, ready for uploads."""
    ports = {name: free_port() for name in _PORTS}
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            _command(folder, host, ports),
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={"TMPDIR": str(folder)},
        )
    server = S3Server(f"http://{host}:{ports['s3']}", f"http://{host}:{ports['filer']}")
    try:
        _await_first_upload(server, process, log)
        yield server
    finally:
        process.kill()  # it would take 15 s over an orderly end, and its data is thrown away
        process.wait()
        for part in ("master", "volume", "filer", "s3"):
            _SOCKETS.joinpath(f"seaweedfs-{part}-grpc-{ports[f'{part}_grpc']}.sock").unlink(missing_ok=True)
            _SOCKETS.joinpath(f"seaweedfs-{part}-{ports[part]}.sock").unlink(missing_ok=True)
