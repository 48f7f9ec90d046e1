"""Parts of the chain in isolation: nats-server as in the stack, provider servers, replicas."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from imagegateway.platform import setting_source, settings
from imagegateway.stack.config import StackConfig, binary

from bench.processes import ROOT, environment, listens, running, until, worker

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

PLENTY: Final = "100000"
"""Most slots that a setting allows."""
RAISED: Final = {
    "LOCAL_CONCURRENCY": PLENTY,
    "TENANT_CONCURRENCY": PLENTY,
    "QUEUE_LIMIT": PLENTY,
}
"""Settings under which no job waits for a slot."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Running parts: settings as environment variables, and the process id of NATS."""

    environment: Mapping[str, str]
    nats: int


@contextmanager
def parts(folder: Path, image: Path) -> Iterator[Parts]:
    """Run a nats-server and the provider servers in a new data directory."""
    own = {
        "DATA_DIR": str(folder / "data"),
        "LOCAL_IMAGE": str(image),
        "LOG_LEVEL": "error",
        **RAISED,
    }
    named = {f"{setting_source.PREFIX}{name}": value for name, value in own.items()}
    stack = StackConfig.create(settings.load(setting_source.Source(named)))
    everything = {**environment(), **named, "GRPC_EXPERIMENTS": "-event_engine_client,-event_engine_listener"}
    nats = [binary("nats-server"), "-c", str(stack.write_nats())]
    providers = [sys.executable, "-m", "imagegateway.providers"]
    with (
        running(nats, folder / "nats-output", ROOT, everything) as server,
        running(providers, folder / "providers-output", ROOT, everything) as families,
    ):
        until(lambda: listens(stack.nats_port), server, folder / "nats-output", "nats-server")
        until(stack.settings.socket("local").exists, families, folder / "providers-output", "the families' servers")
        yield Parts(everything, server.pid)


def engine(running_parts: Parts, mode: str, **order: Any) -> dict[str, Any]:
    """Run one mode of `bench.replica`. Return its result."""
    with worker("bench.replica", order, running_parts.environment, mode) as process:
        return process.result()
