"""A pytest plugin for OpenAI's own SDK tests: the gateway's key, and images that decode.

The tests are those of the `openai` source distribution, unchanged. They send `b"Example data"` where an image belongs
and a fixed key. Both are replaced on the way into the SDK; the address is the distribution's own TEST_API_BASE_URL.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from openai.resources.images import AsyncImages, Images

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

_KEY: Final = os.environ["GATEWAY_KEY"]
_FILES: Final = Path(os.environ["GATEWAY_FILES"])
_IMAGES: Final = {
    "image": (_FILES / "input.png").read_bytes(),
    "mask": (_FILES / "mask.png").read_bytes(),
    "markup": (_FILES / "mask.png").read_bytes(),
}
_PLACEHOLDER: Final = b"Example data"


def _with_images(edit: Callable[..., Any]) -> Callable[..., Any]:
    """Return `edit` with a real image in place of each placeholder."""

    @functools.wraps(edit)
    def call(self: object, **fields: Any) -> Any:
        return edit(self, **{name: _IMAGES[name] if it == _PLACEHOLDER else it for name, it in fields.items()})

    return call


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any]) -> Generator[None, Any, Any]:
    """Set the gateway's key in the clients."""
    client = yield
    if fixturedef.argname in {"client", "async_client"}:
        client.api_key = _KEY
    return client


def pytest_configure() -> None:
    """Replace placeholders in both SDK classes."""
    for images in (Images, AsyncImages):
        images.edit = _with_images(images.edit)  # type: ignore[method-assign]
