"""Routers of the last release and of this version, side by side on one NATS server and one data directory.

`data/last-release.tar.xz` holds the code of the last release; `make released` renews the file. The code runs with the
packages of this environment, so a clone needs neither tags nor history.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tarfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import grpc
from imagegateway.platform import sockets
from imagegateway.v1 import image_service_pb2 as pb
from imagegateway.v1 import image_service_pb2_grpc as pb_grpc

from tests.gateway.jobs.wire import small
from tests.support import command

if TYPE_CHECKING:
    from collections.abc import Iterator

ARCHIVE: Final = Path(__file__).parent / "data" / "last-release.tar.xz"
KEY: Final = "key-of-both-versions-0123456789"
SECONDS: Final = 60.0
ENDED: Final = frozenset({"completed", "failed", "cancelled"})
_LAST_PROVIDERS: Final = """
from imagegateway.providers.registry import FAMILIES, main
main({"local": FAMILIES["local"]})
"""
"""Program of the provider server."""


class Version(StrEnum):
    """A version of the gateway."""

    LAST = "last"
    PRESENT = "present"


@dataclass(slots=True)
class Router:
    """Router process of one version, and its public service on its own socket."""

    process: subprocess.Popen[bytes]
    stub: pb_grpc.ImageServiceStub

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {KEY}"),)

    def submit(self, delay: float) -> str:
        """Start a job and return its id."""
        request = small(provider_options={"delay": delay})
        metadata = (*self.metadata, ("prefer", "respond-async"))
        job_id: str = self.stub.Generate(request, metadata=metadata, timeout=SECONDS).id
        return job_id

    def job(self, job_id: str) -> Any:
        return self.stub.GetJob(pb.GetJobRequest(job_id=job_id), metadata=self.metadata, timeout=SECONDS)

    def cancel(self, job_id: str) -> Any:
        return self.stub.CancelJob(pb.CancelJobRequest(job_id=job_id), metadata=self.metadata, timeout=SECONDS)

    def listed(self) -> set[str]:
        """Return the ids of all jobs."""
        return {job.id for job in self.stub.ListJobs(pb.ListJobsRequest(), metadata=self.metadata).data}

    def statuses(self, job_id: str) -> list[str]:
        """Return the job's status in each event, up to its end."""
        request = pb.StreamJobRequest(job_id=job_id)
        return [event.job.status for event in self.stub.StreamJob(request, metadata=self.metadata, timeout=SECONDS)]

    def ended(self, job_id: str) -> Any:
        """Wait for the job's end. Return the job."""
        deadline = time.monotonic() + SECONDS
        while (job := self.job(job_id)).status not in ENDED:
            assert time.monotonic() < deadline, job
            time.sleep(0.05)
        return job

    def stop(self) -> None:
        """Stop the process as a rolling update does."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(SECONDS) == 0


@dataclass(frozen=True, slots=True)
class Host:
    """Data directory in which processes of both versions run."""

    folder: Path
    code: Path
    """Code of the last release."""
    environment: dict[str, str]
    held: ExitStack

    def providers(self) -> None:
        """Start a provider server of the last release. Return when it listens."""
        self._start(Version.LAST, "-c", _LAST_PROVIDERS)
        self._channel("local").close()

    def router(self, version: Version, number: int) -> Router:
        """Start a router. Return when it serves."""
        process = self._start(version, "-m", "imagegateway.router", str(number))
        channel = self.held.enter_context(self._channel(f"router-{number}"))
        return Router(process, pb_grpc.ImageServiceStub(channel))

    def _start(self, version: Version, *arguments: str) -> subprocess.Popen[bytes]:
        environment = self.environment
        if version is Version.LAST:
            environment = environment | {"PYTHONPATH": f"{self.code / 'services'}:{self.code / 'generated'}"}
        process = subprocess.Popen([sys.executable, *arguments], env=environment, stdout=subprocess.DEVNULL)
        self.held.callback(_end, process)
        return process

    def _channel(self, name: str) -> grpc.Channel:
        """Return a connected channel to a process, which may still be starting."""
        channel = grpc.insecure_channel(f"unix:{sockets.folder(self.folder / 'run')}/{name}.sock")
        grpc.channel_ready_future(channel).result(SECONDS)
        return channel


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


@contextmanager
def host(folder: Path, code: Path, nats_url: str, **values: str) -> Iterator[Host]:
    """Yield a host. End its processes afterwards. `values` are settings by name."""
    environment = command.environment(
        data_dir=str(folder),
        nats_url=nats_url,
        secret_key="root secret of both versions",
        api_key=KEY,
        **values,
    )
    with ExitStack() as held:
        yield Host(folder, code, environment, held)


def unpack(folder: Path) -> Path:
    """Unpack the last release. Return its folder."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder
