"""Tools of these tests."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def node() -> Path:
    """Return the folder of the packages that `make test-deploy` installs by npm."""
    return Path(__file__).with_name("node")
