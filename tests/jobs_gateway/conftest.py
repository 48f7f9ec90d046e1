"""The shared stack of the job tests, its tenants, and the webhook receiver."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from tests.jobs_gateway.calls import Caller
from tests.jobs_gateway.receiver import receiving
from tests.jobs_gateway.stacks import PAUSES, new_caller
from tests.stack import running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.jobs_gateway.receiver import Receiver
    from tests.stack import Stack


@pytest.fixture(scope="session")
def receiver() -> Iterator[Receiver]:
    """Yield the webhook receiver of all stacks of these tests."""
    with receiving() as server:
        yield server


@pytest.fixture(scope="package")
def shared() -> Iterator[Stack]:
    """Yield a stack of two routers for tests that neither stop nor damage it."""
    with running(routers="2", allow_hosts="127.0.0.1", webhook_pauses=PAUSES) as stack:
        yield stack


@pytest.fixture(scope="package")
def caller(shared: Stack) -> Caller:
    """Return the first tenant."""
    return Caller(shared, shared.key)


@pytest.fixture(scope="package")
def stranger(shared: Stack) -> Caller:
    """Return another tenant."""
    return new_caller(shared, "stranger")


@pytest.fixture
def fresh(shared: Stack) -> Caller:
    """Return a tenant without jobs."""
    return new_caller(shared, f"tenant-{uuid.uuid4().hex[:12]}")


@pytest.fixture
def mark() -> str:
    """Return a unique word."""
    return uuid.uuid4().hex
