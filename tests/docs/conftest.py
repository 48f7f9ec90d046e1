"""The gateway that readers of the documentation call, with emulators in place of the providers."""

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
    """Yield a running gateway with every route configured. Its URL guard admits this machine, for webhooks."""
    with serving(every()) as providers, running(**providers.settings()) as stack:
        yield stack
