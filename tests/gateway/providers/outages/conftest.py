"""The stack whose routes fail, and whose processes die during calls: some routes have a key, one is unreachable."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.emulators.openai import OpenAI
from tests.gateway.jobs.calls import Caller
from tests.gateway.providers.providers import every, serving
from tests.support.stack import free_port, running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiohttp import web

    from tests.gateway.providers.providers import Providers
    from tests.support.stack import Stack


@dataclass
class SlowOpenAI(OpenAI):
    """OpenAI whose images wait until `released` is set. `in_flight`: present number of calls."""

    released: threading.Event = field(default_factory=threading.Event)
    in_flight: int = 0

    async def _generate(self, request: web.Request) -> web.StreamResponse:
        self.in_flight += 1
        try:
            while not self.released.is_set():  # noqa: ASYNC110  another thread sets the event
                await asyncio.sleep(0.02)
            return await super()._generate(request)
        finally:
            self.in_flight -= 1


@pytest.fixture(scope="package")
def served() -> Iterator[Providers]:
    emulators = every()
    slow = SlowOpenAI(key="operator-key")
    with serving(
        {route: emulators[route] for route in ("bfl", "cloudflare", "fal", "ideogram")} | {"openai": slow}
    ) as run:
        yield run


@pytest.fixture(scope="package")
def stack(served: Providers) -> Iterator[Stack]:
    """Yield the stack. Its route replicate refuses connections, ideogram has one slot, and others have no key."""
    unreachable = f"http://127.0.0.1:{free_port()}"
    with running(
        **served.settings(), replicate_base_url=unreachable, replicate_api_key="r" * 20, ideogram_concurrency="1"
    ) as own:
        yield own


@pytest.fixture(scope="package")
def caller(stack: Stack) -> Caller:
    return Caller(stack, stack.key)


@pytest.fixture
def providers(served: Providers) -> Providers:
    """Return the stack's emulators with their counts reset."""
    served.forget()
    return served
