"""Tenants of the shared stack."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from tests.gateway.jobs.calls import Caller
from tests.gateway.jobs.stacks import new_caller

if TYPE_CHECKING:
    from tests.support.stack import Stack


@pytest.fixture(scope="session")
def caller(stack: Stack) -> Caller:
    """Return the first tenant."""
    return Caller(stack, stack.key)


@pytest.fixture(scope="session")
def stranger(stack: Stack) -> Caller:
    """Return another tenant."""
    return new_caller(stack, "stranger")


@pytest.fixture
def fresh(stack: Stack) -> Caller:
    """Return a tenant that has no jobs yet."""
    return new_caller(stack, f"tenant-{uuid.uuid4().hex[:12]}")


@pytest.fixture
def mark() -> str:
    """Return a word that no other test uses."""
    return uuid.uuid4().hex
