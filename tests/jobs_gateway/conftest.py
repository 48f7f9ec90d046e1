"""The stack that the jobs' tests share, its tenants, and the server that takes its webhooks."""

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
    """Takes the webhooks of every stack of these tests."""
    with receiving() as server:
        yield server


@pytest.fixture(scope="package")
def shared() -> Iterator[Stack]:
    """Two routers, for the tests that neither stop nor hurt their stack."""
    with running(routers="2", allow_hosts="127.0.0.1", webhook_pauses=PAUSES) as stack:
        yield stack


@pytest.fixture(scope="package")
def caller(shared: Stack) -> Caller:
    """The first tenant."""
    return Caller(shared, shared.key)


@pytest.fixture(scope="package")
def stranger(shared: Stack) -> Caller:
    """Another tenant."""
    return new_caller(shared, "stranger")


@pytest.fixture
def fresh(shared: Stack) -> Caller:
    """A tenant that has no jobs yet."""
    return new_caller(shared, f"tenant-{uuid.uuid4().hex[:12]}")


@pytest.fixture
def mark() -> str:
    """A word that no other test uses."""
    return uuid.uuid4().hex
