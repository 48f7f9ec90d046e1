"""Fixtures of the tests of keys: a NATS server as the job engine's tests use it."""

from __future__ import annotations

from tests.jobs.conftest import client, nats

__all__ = ["client", "nats"]
