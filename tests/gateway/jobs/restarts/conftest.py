"""The stack that tests stop and start again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.gateway.jobs.stacks import PAUSES, restartable_stack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.gateway.jobs.stacks import RestartableStack


@pytest.fixture(scope="package")
def restartable() -> Iterator[RestartableStack]:
    """Yield a stack with three slots, so that other jobs wait."""
    with restartable_stack(local_concurrency="3", allow_hosts="127.0.0.1", webhook_pauses=PAUSES) as made:
        yield made
