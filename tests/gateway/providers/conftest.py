"""The shared stack with every route configured, and the emulators that it calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.gateway.jobs.calls import Caller
from tests.gateway.providers.every_model import call_every_model
from tests.gateway.providers.providers import every, serving
from tests.support.stack import running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.gateway.providers.every_model import Answers
    from tests.gateway.providers.providers import Providers
    from tests.support.stack import Stack


@pytest.fixture(scope="package")
def all_providers() -> Iterator[Providers]:
    with serving(every()) as served:
        yield served


@pytest.fixture(scope="package")
def shared(all_providers: Providers) -> Iterator[Stack]:
    """Yield the shared stack. Assert afterwards that its log contains no provider key."""
    with running(**all_providers.settings(), inline_wait="120") as stack:
        yield stack
        text = stack.text()
        for route, emulator in all_providers.by_route.items():
            assert emulator.key not in text, f"the key of {route} is in the log"


@pytest.fixture(scope="package")
def caller(shared: Stack) -> Caller:
    return Caller(shared, shared.key)


@pytest.fixture(scope="package")
def answers(caller: Caller, all_providers: Providers) -> Answers:
    """Return the replies of every model."""
    return call_every_model(caller, all_providers)


@pytest.fixture
def providers(all_providers: Providers) -> Providers:
    """Return the shared stack's emulators with their counts reset."""
    all_providers.forget()
    return all_providers
