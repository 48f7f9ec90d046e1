"""The stack of two routers that tests kill and restart, with a price and a webhook for events."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import pytest

from tests.emulators import openai
from tests.gateway.jobs.stacks import PAUSES
from tests.gateway.providers.providers import serving
from tests.support.stack import running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiohttp import web

    from tests.gateway.jobs.receiver import Receiver
    from tests.gateway.providers.providers import Providers
    from tests.support.stack import Stack

EVENTS: Final = "/two-routers-events"
"""Path of the operator's webhook at the receiver."""
PRICE: Final = "0.03"
"""Price of an image of `local/sketch` in US dollars."""


class SlowOpenAI(openai.OpenAI):
    """Emulator whose calls take a while, so that restarts meet calls in progress."""

    async def _make(self, request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.3)
        return await super()._make(request)


@pytest.fixture(scope="package")
def paid() -> Iterator[Providers]:
    """Yield the provider that bills each call."""
    with serving({"openai": SlowOpenAI()}) as served:
        yield served


@pytest.fixture(scope="package")
def pair(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver, paid: Providers) -> Iterator[Stack]:
    prices = tmp_path_factory.mktemp("prices") / "prices.toml"
    prices.write_text(f'[prices."local/sketch"]\nper_image = {PRICE}\n')
    with running(
        routers="2",
        **paid.settings(),
        prices=str(prices),
        events_webhook=receiver.hook(EVENTS),
        webhook_pauses=PAUSES,
    ) as stack:
        yield stack
