"""Fleet: the gateway on three hosts, behind two Envoys and a load balancer.

Each host runs a router, provider servers, a media server and a NATS server of a cluster of three; two hosts run an
Envoy. Parts reach each other by TCP with mutual TLS from an authority of the tests, as in production. They share NATS
and a bucket alone.

    fleet.caller().generate()                # through the load balancer and an Envoy
    fleet.parts["router-1"].kill()           # SIGKILL; `stop` ends a part as an operator does, `start` starts again
    fleet.restart("providers-0")             # stop, start, wait until ready
    fleet.hosts[1].cut()                     # the host vanishes from the network

- `Fleet.parts` holds each process by name: `nats-0`, `router-0`, `providers-1`, `media-2`, `envoy-0`, … The number is
  that of the host.
- `Fleet.renew(name)` replaces a part's certificate on its disk; running processes load it by themselves.
- `Fleet.certificate(name, *dns_names)` issues a certificate for a test that calls a part itself.
- A part's output is in `Part.text()`; a part that ends during its start fails the test with its output.
"""

from __future__ import annotations

import json
import secrets
import signal
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import grpc
from imagegateway.jobs.stream_connection import NAME
from imagegateway.stack.config import binary
from imagegateway.v1 import image_service_pb2_grpc as pb_grpc

from tests.fleet import balancer
from tests.fleet.balancer import Balancer, Target
from tests.fleet.part import READY_SECONDS, STOP_SECONDS, Part
from tests.gateway.jobs.calls import Caller
from tests.jobs.server import NodeAddress, write_nodes
from tests.support import command
from tests.support.process_certificates import ProcessAuthority, environment
from tests.support.stack import Stack, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from imagegateway.platform.internal_settings import TlsFiles

    from tests.fleet.hosts import Address, Host

ENVOYS: Final = 2
_PROGRAM: Final = str(command.PROGRAM)


@dataclass(slots=True)
class Fleet:
    """Running parts."""

    folder: Path
    hosts: Sequence[Host]
    settings: Mapping[str, str]
    """Settings of all parts, by name without prefix, in lower case."""
    variables: Mapping[str, str]
    """Further environment variables of all parts."""
    key: str
    """An accepted API key with every scope."""
    authority: ProcessAuthority
    public: ProcessAuthority
    """Authority of the Envoys' public certificates."""
    parts: dict[str, Part] = field(default_factory=dict)
    balancer: Balancer = field(init=False)

    def of(self, kind: str) -> list[Part]:
        """Return the parts of a kind: `nats`, `router`, `providers`, `media`, `envoy`."""
        return [part for part in self.parts.values() if part.kind == kind]

    def on(self, number: int) -> list[Part]:
        """Return the parts of a host."""
        return [part for part in self.parts.values() if part.host is self.hosts[number]]

    def caller(self, key: str = "") -> Caller:
        """Return a client of the load balancer, with the fleet's key or another one."""
        return Caller(self.gateway(), key or self.key)

    def gateway(self) -> Stack:
        """Return the load balancer's port for clients of whole stacks."""
        process = self.parts["envoy-0"].process
        assert process
        return Stack(process, self.folder, self.balancer.port, self.key, self.settings)

    @contextmanager
    def direct(self, name: str) -> Iterator[pb_grpc.ImageServiceStub]:
        """Yield a stub of a router, called as Envoy does."""
        files = self.certificate("visitor", "envoy")
        pems = (self.authority.path.read_bytes(), files.key.read_bytes(), files.certificate.read_bytes())
        options = [("grpc.ssl_target_name_override", _identity(name))]
        target, credentials = str(self.parts[name].ports["grpc"]), grpc.ssl_channel_credentials(*pems)
        with grpc.secure_channel(target, credentials, options) as channel:
            yield pb_grpc.ImageServiceStub(channel)

    def healthy(self, kind: str, envoy: int = 0) -> float:
        """Return how many parts of a kind an Envoy regards as healthy."""
        name = "envoy_cluster_membership_healthy"
        return self.parts[f"envoy-{envoy}"].scrape().total(name, envoy_cluster_name=kind)

    def job_leader(self) -> str:
        """Return the name of the NATS server that leads the job stream, once there is one."""
        found: list[str] = []

        def is_elected() -> bool:
            _, text = self.parts["nats-0"].get("/jsz?accounts=true&streams=true", READY_SECONDS)
            streams = json.loads(text)["account_details"][0]["stream_detail"]
            found[:] = [stream["cluster"].get("leader", "") for stream in streams if stream["name"] == NAME]
            return any(found)

        eventually(is_elected, READY_SECONDS, "the job stream has a leader")
        return found[0]

    def restart(self, name: str) -> None:
        """Stop a part, start it again, and wait until it is ready."""
        part = self.parts[name]
        part.stop()
        part.start()
        self.wait_ready(name)

    def wait_ready(self, *names: str) -> None:
        """Wait until these parts serve, by default all."""
        for name in names or self.parts:
            self.parts[name].wait_ready()
        targets = {target.name: target for target in self.balancer.targets}
        for name in names or targets:
            if name in targets:
                eventually(lambda: targets[name].is_ready, READY_SECONDS, f"{name} is in rotation")  # noqa: B023

    def certificate(self, name: str, *dns_names: str) -> TlsFiles:
        """Write a certificate with DNS names (by default, its own name)."""
        return self.authority.issue(name, *dns_names)

    def renew(self, name: str) -> None:
        """Replace the certificates of a part on its disk."""
        self.certificate(name, _identity(name))
        if self.parts[name].kind == "envoy":
            self.public.issue(name, balancer.NAME)

    def add(self, kind: str, number: int, arguments: Sequence[str], ports: dict[str, Address], **own: str) -> Part:
        """Add a part of the gateway that has not started. `own`: its own settings."""
        name, host = f"{kind}-{number}", self.hosts[number % len(self.hosts)]
        ports["metrics"] = host.port()
        values = {
            "data_dir": str(self.folder / name),
            "metrics_host": host.address,
            "metrics_port": str(ports["metrics"].port),
            **environment(self.certificate(name, _identity(name))),
            **own,
        }
        variables = {**command.environment(**{**self.settings, **values}), **self.variables}
        self.parts[name] = Part(name, host, arguments, variables, self.folder / f"{name}.log", ports)
        return self.parts[name]

    def add_router(self, number: int, **own: str) -> Part:
        """Add a router that has not started."""
        host = self.hosts[number % len(self.hosts)]
        ports = {"grpc": host.port(), "uploads": host.port()}
        listen = {"router_listen": ports["grpc"].url, "uploads_listen": ports["uploads"].url}
        providers = self.urls("providers", "grpc")
        return self.add(
            "router", number, [_PROGRAM, "run", "router"], ports, providers_url=providers, **listen, **own
        )

    def urls(self, kind: str, use: str) -> str:
        """Return the addresses of a kind of parts, as settings name them."""
        return ",".join(part.ports[use].url for part in self.of(kind))


@contextmanager
def running(
    folder: Path, hosts: Sequence[Host], settings: Mapping[str, str], variables: Mapping[str, str]
) -> Iterator[Fleet]:
    """Yield a fleet whose parts are ready. Stop all parts afterwards, the ones before others first."""
    fleet = _planned(folder, hosts, settings, variables)
    targets = [Target(part.name, part.ports["public"], part.ports["metrics"]) for part in fleet.of("envoy")]
    with balancer.balancing(targets, fleet.public.path) as fleet.balancer:
        _configure(fleet)
        try:
            for part in fleet.parts.values():
                part.start()
            fleet.wait_ready()
            yield fleet
        finally:
            for kind in ("envoy", "router", "providers", "media", "nats"):
                for part in fleet.of(kind):
                    if part.is_running:
                        part.send(signal.SIGCONT)
                        part.send(signal.SIGTERM)
                for part in fleet.of(kind):
                    if part.process:
                        _end(part.process)


def _planned(folder: Path, hosts: Sequence[Host], settings: Mapping[str, str], variables: Mapping[str, str]) -> Fleet:
    """Return a fleet of parts that have addresses. None has started."""
    internal, public = folder / "internal", folder / "public"
    for each in (internal, public):
        each.mkdir()
    key = f"key-{secrets.token_hex(16)}"
    nats = {
        f"nats-{number}": NodeAddress(host.address, host.port().port, host.port().port)
        for number, host in enumerate(hosts)
    }
    shared = {
        "nats_url": ",".join(node.url for node in nats.values()),
        "nats_replicas": str(len(nats)),
        "secret_key": secrets.token_hex(16),
        "api_key": key,
        "lame_duck": "2",
        **settings,
    }
    fleet = Fleet(folder, hosts, shared, variables, key, ProcessAuthority(internal), ProcessAuthority(public))
    for number, (name, config) in enumerate(write_nodes(folder, nats).items()):
        metrics = hosts[number].port()
        with config.open("a") as text:
            text.write(f'http: "{metrics}"\n')
        arguments = [binary("nats-server"), "-c", str(config)]
        log = folder / f"{name}.log"
        fleet.parts[name] = Part(
            name, hosts[number], arguments, command.environment(), log, {"metrics": metrics}, "/healthz"
        )
    for number, host in enumerate(hosts):
        grpc = host.port()
        fleet.add("providers", number, [_PROGRAM, "run", "providers"], {"grpc": grpc}, providers_listen=grpc.url)
    for number in range(len(hosts)):
        fleet.add_router(number)
    for number, host in enumerate(hosts):
        http = host.port()
        listen = {"media_listen": http.url, "router_url": fleet.urls("router", "grpc")}
        fleet.add("media", number, [_PROGRAM, "run", "media"], {"http": http}, **listen)
    for number, host in enumerate(hosts[:ENVOYS]):
        _add_envoy(fleet, number, host.port())
    return fleet


def _add_envoy(fleet: Fleet, number: int, address: Address) -> None:
    config, name = fleet.folder / f"envoy-{number}.yaml", f"envoy-{number}"
    arguments = [binary("envoy"), "-c", str(config), "--disable-hot-restart", "--log-level", "warning"]
    arguments += ["--concurrency", "1", "--base-id", "0"]
    files = fleet.public.issue(name, balancer.NAME)
    own = {
        "host": address.host,
        "port": str(address.port),
        "tls_cert": str(files.certificate),
        "tls_key": str(files.key),
    }
    part = fleet.add("envoy", number, arguments, {"public": address}, **own)
    part.files = fleet.folder / name


def _configure(fleet: Fleet) -> None:
    """Add the settings that depend on the load balancer, and write the Envoys' configuration."""
    public = {"IMAGEGATEWAY_PUBLIC_URL": f"http://127.0.0.1:{fleet.balancer.port}"}
    for part in fleet.parts.values():
        if part.kind != "nats":
            part.environment = {**part.environment, **public}
    for part in fleet.of("envoy"):
        (fleet.folder / f"{part.name}.yaml").write_text(_rendered(fleet, part))


def _rendered(fleet: Fleet, envoy: Part) -> str:
    """Return the configuration of an Envoy."""
    done = subprocess.run(
        [
            *(_PROGRAM, "render", "envoy", "--files", str(fleet.folder / envoy.name)),
            *("--routers", fleet.urls("router", "grpc")),
            *("--uploads", fleet.urls("router", "uploads")),
            *("--media", fleet.urls("media", "http")),
        ],
        env=envoy.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _identity(name: str) -> str:
    """Return the DNS name of a part's certificate: its number, and its role as last label."""
    kind, _, number = name.rpartition("-")
    return f"host-{number}.{kind}"


def _end(process: subprocess.Popen[Any]) -> None:
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
