"""The stack of two routers with one slot, on a NATS server that it does not start."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest

from tests.gateway.jobs.calls import Caller
from tests.gateway.jobs.external_nats.engine_proxy import relayed
from tests.support.stack import short_folder, start

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.gateway.jobs.external_nats.engine_proxy import Relay
    from tests.support.stack import Stack


@pytest.fixture(scope="package")
def relay() -> Iterator[Relay]:
    with relayed() as made:
        yield made


@pytest.fixture(scope="package")
def shared(relay: Relay) -> Mapping[str, str]:
    """Return the settings that stacks on one server share."""
    return {"nats_url": relay.url, "secret_key": secrets.token_hex(16)}


@pytest.fixture(scope="package")
def first(shared: Mapping[str, str]) -> Iterator[Stack]:
    """Yield the stack. It makes its own key, which its welcome shows."""
    with short_folder() as folder:
        stack = start(folder, "--first-key", routers="2", local_concurrency="1", **shared)
        try:
            stack.wait_ready()
            yield stack
        finally:
            stack.stop()


@pytest.fixture(scope="package")
def caller(first: Stack) -> Caller:
    return Caller(first, first.printed_key())
