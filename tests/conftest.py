"""Fixtures that several folders share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.gateway.origin import Origin, serving
from tests.stack import running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.stack import Stack


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of whole stacks first: they take longest, and the short ones then keep every worker busy."""
    items.sort(key=lambda item: "gateway" not in item.path.parent.name)


@pytest.fixture(scope="session")
def origin() -> Iterator[Origin]:
    """Yield the only web server from which the stack may fetch images."""
    with serving() as server:
        yield server


@pytest.fixture(scope="session")
def stack(origin: Origin) -> Iterator[Stack]:
    """Yield a running stack for all tests that neither stop nor configure a stack.

    Whatever the tests sent, in the end its log must hold nothing but events, and no key.
    """
    with running(allow_hosts=origin.host) as shared:
        yield shared
        assert shared.events()
        assert not [line for line in shared.log_lines() if shared.key in line]
