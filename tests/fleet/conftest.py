"""The fleet that the tests of this folder share. A test leaves all parts running."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest

from tests.emulators.bfl import Bfl
from tests.emulators.openai import OpenAI
from tests.fleet import fleet as fleets
from tests.fleet import hosts
from tests.gateway.providers.providers import serving
from tests.media import s3_server
from tests.support.collector import collecting
from tests.support.stack import short_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fleet.fleet import Fleet
    from tests.fleet.hosts import Network
    from tests.gateway.providers.providers import Providers
    from tests.media.s3_server import S3Server
    from tests.support.collector import Collector


@pytest.fixture(scope="session")
def network() -> Iterator[Network]:
    """Yield three hosts."""
    with hosts.network(3) as found:
        yield found


@pytest.fixture(scope="session")
def bucket(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Yield the S3 server of the media store."""
    with s3_server.serving(tmp_path_factory.mktemp("s3"), network.gateway) as server:
        yield server


@pytest.fixture(scope="session")
def paid(network: Network) -> Iterator[Providers]:
    """Yield emulators of providers that bill each call."""
    key = secrets.token_hex(16)
    emulators = {"openai": OpenAI(key=key, host=network.gateway), "bfl": Bfl(key=key, host=network.gateway)}
    with serving(emulators) as found:
        yield found


@pytest.fixture(scope="session")
def collector(network: Network) -> Iterator[Collector]:
    """Yield the receiver of all traces."""
    with collecting(network.gateway) as found:
        yield found


@pytest.fixture(scope="session")
def fleet(network: Network, bucket: S3Server, paid: Providers, collector: Collector) -> Iterator[Fleet]:
    """Yield three hosts, each with all parts, behind two Envoys."""
    settings = {**paid.settings(), "allow_hosts": network.gateway, "media_url": f"s3://{s3_server.BUCKET}/fleet"}
    traces = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.grpc_url,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "OTEL_TRACES_SAMPLER": "parentbased_always_off",
    }
    with (
        short_folder() as folder,
        fleets.running(folder, network.hosts, settings, {**bucket.environment, **traces}) as found,
    ):
        yield found


@pytest.fixture(autouse=True)
def whole(request: pytest.FixtureRequest) -> Iterator[None]:
    """Assert that a test has left all parts of the shared fleet ready."""
    yield
    if "fleet" in request.fixturenames:
        request.getfixturevalue("fleet").wait_ready()
