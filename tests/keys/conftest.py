"""Fixtures of the tests of keys: a NATS server as the job engine's tests use it, and a bucket in memory."""

from __future__ import annotations

import pytest
from imagegateway.platform import patience

from tests.jobs.conftest import client, nats
from tests.platform.key_values import MemoryBucket

__all__ = ["client", "nats"]


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> MemoryBucket:
    """Return a bucket whose reads are repeated without a pause."""
    monkeypatch.setattr(patience, "RETRY_SECONDS", 0.0)
    return MemoryBucket()
