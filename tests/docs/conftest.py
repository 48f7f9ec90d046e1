"""The gateway that readers of the documentation call."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.stack import running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.stack import Stack


@pytest.fixture(scope="session")
def gateway() -> Iterator[Stack]:
    """Yield a running gateway that may call webhooks on this machine, and has a provider key, for plans only."""
    with running(allow_hosts="127.0.0.1", openai_api_key="for plans only") as stack:
        yield stack
