"""The gateway that all tests of the API description call."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.gateway.providers.providers import every, serving
from tests.support.stack import running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.stack import Stack


@pytest.fixture(scope="session")
def gateway() -> Iterator[Stack]:
    """Yield a running gateway with every route configured."""
    with serving(every()) as providers, running(**providers.settings()) as stack:
        yield stack
