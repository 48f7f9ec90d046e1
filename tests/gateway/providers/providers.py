"""Emulators of all providers in a thread of the test process, called by the processes of the stack."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.emulators import (
    ark,
    automatic1111,
    bfl,
    bria,
    cloudflare,
    fal,
    google,
    ideogram,
    openai,
    recraft,
    replicate,
    stability,
)
from tests.providers.test_bria_fal import APPS as BRIA_APPS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.emulators.base import Emulator, Sent

_DRAWING: Final = (
    (ark, "image_bytes"),
    (automatic1111, "image_bytes"),
    (bfl, "image_bytes"),
    (bria, "image_bytes"),
    (cloudflare, "image_bytes"),
    (fal, "image_bytes"),
    (google, "image_bytes"),
    (ideogram, "image_bytes"),
    (openai, "image_bytes"),
    (recraft, "image_bytes"),
    (recraft, "drawing"),
    (replicate, "image_bytes"),
    (stability, "image_bytes"),
)
"""Functions by which the emulators make images."""


@dataclass
class Providers:
    """The running emulators by route."""

    by_route: Mapping[str, Emulator]
    made: set[str] = field(default_factory=set)
    """SHA-256 of every image and video of these emulators."""

    def __getitem__(self, route: str) -> Emulator:
        return self.by_route[route]

    def settings(self) -> dict[str, str]:
        """Return the settings by which a stack calls these emulators, for `tests.support.stack.running`."""
        values = {"allow_hosts": "127.0.0.1", "cloudflare_account_id": cloudflare.Cloudflare.account}
        for route, emulator in self.by_route.items():
            values |= {f"{route}_base_url": emulator.base, f"{route}_api_key": emulator.key}
        return values

    def billed(self) -> dict[str, int]:
        """Return the number of images by route, without zeros."""
        return {route: emulator.billed for route, emulator in self.by_route.items() if emulator.billed}

    def calls(self) -> dict[str, int]:
        """Return the number of requests by route, without zeros."""
        return {route: len(emulator.sent) for route, emulator in self.by_route.items() if emulator.sent}

    def forget(self) -> None:
        """Reset the counts."""
        for emulator in self.by_route.values():
            emulator.sent.clear()
            emulator.failures.clear()
            emulator.billed = 0


def submissions(emulator: Emulator) -> list[Sent]:
    """Return the requests that can start work."""
    return [sent for sent in emulator.sent if sent.method == "POST"]


def every() -> dict[str, Emulator]:
    """Return a fast emulator for each route, each with a unique key."""
    return {
        "automatic1111": automatic1111.Automatic1111(key=f"me:{secrets.token_hex(16)}"),
        "bfl": bfl.Bfl(key=_key(), script=("Ready",)),
        "bria": bria.Bria(key=_key(), script=("COMPLETED",)),
        "bytedance": ark.Ark(key=_key(), script=("succeeded",)),
        "cloudflare": cloudflare.Cloudflare(key=_key()),
        "fal": fal.Fal(key=f"me:{secrets.token_hex(16)}", apps={**fal.APPS, **BRIA_APPS}, script=("COMPLETED",)),
        "google": google.Google(key=_key(), polls=0),
        "ideogram": ideogram.Ideogram(key=_key()),
        "openai": openai.OpenAI(key=_key()),
        "recraft": recraft.Recraft(key=_key()),
        "replicate": replicate.Replicate(key=_key(), script=("succeeded",)),
        "stability": stability.Stability(key=_key(), script=()),
    }


def _key() -> str:
    return f"operator-{secrets.token_hex(16)}"


@contextmanager
def serving(emulators: Mapping[str, Emulator]) -> Iterator[Providers]:
    """Run the emulators on a loop of their own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    started: list[Emulator] = []
    providers = Providers(emulators)
    providers.made |= {hashlib.sha256(data).hexdigest() for data in (ark.VIDEO, bfl.MOVIE, google.VIDEO)}
    with pytest.MonkeyPatch.context() as patch:
        for module, name in _DRAWING:
            patch.setattr(module, name, _noting(getattr(module, name), providers.made))
        try:
            for emulator in emulators.values():
                asyncio.run_coroutine_threadsafe(emulator.start(), loop).result(10)
                started.append(emulator)
            yield providers
        finally:
            for emulator in started:
                asyncio.run_coroutine_threadsafe(emulator.stop(), loop).result(60)
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()


def _noting(draw: Any, made: set[str]) -> Any:
    def drawn(*arguments: Any, **named: Any) -> bytes:
        data: bytes = draw(*arguments, **named)
        made.add(hashlib.sha256(data).hexdigest())
        return data

    return drawn
